"""How fast an endpoint is asked, over all processes: one row a name, reserved before and corrected after."""

from typing import Any

from sqlalchemy import Column, Float, MetaData, Table, Text, and_, bindparam, case, update

from holdfast.kernel.errors import Unavailable
from holdfast.ports.storage import Sql
from holdfast.ports.upsert import Upsert, incoming, upsert
from holdfast.rooms.knowledge.rules.embedding import Pace

_meta = MetaData()

rows = Table(
    "knowledge_paces",
    _meta,
    Column("name", Text, primary_key=True),
    Column("requests_end_ms", Float, nullable=False),
    Column("tokens_end_ms", Float, nullable=False),
    Column("at_ms", Float, nullable=False),
)
_r, _new = rows.c, incoming(rows)
_ENDS = ("requests_end_ms", "tokens_end_ms")
STEP_MS = 10_000
"""The last reservation is so far ahead of now: no two machines differ so much, the clock was set back."""


def create(bind: Any) -> None:
    """Make the table."""
    _meta.create_all(bind)


def _later(column: str) -> Any:
    """What is reserved ends so much later: after the end of what others have reserved, or from now on.

    The incoming row is of a free pace: its columns are now and what is asked for. What was reserved before
    the clock was set back would be waited for until it is that late again: then it is from now on.
    """
    was_set_back = _r.at_ms > _new.at_ms + STEP_MS
    return case(
        (was_set_back, _new[column]),
        (_r[column] > _new.at_ms, _r[column] + (_new[column] - _new.at_ms)),
        else_=_new[column],
    )


def _reserve(most_ms: float | None = None) -> Upsert:
    """Reserve what the incoming row asks for, but only where it ends within `most_ms` from now."""
    soon = None if most_ms is None else and_(*(_later(name) <= _new.at_ms + most_ms for name in _ENDS))
    changes = {name: _later(name) for name in _ENDS} | {"at_ms": _new.at_ms}
    return upsert(rows, ("name",), changes, where=soon, returning=_ENDS)


_RESERVE = _reserve()
_CORRECT = (
    update(rows)
    .where(_r.name == bindparam("of_name"))
    .values(tokens_end_ms=_r.tokens_end_ms + bindparam("more_ms"))
)
_HOLD_BACK = (
    update(rows)
    .where(_r.name == bindparam("of_name"), _r.requests_end_ms < bindparam("until_ms"))
    .values(requests_end_ms=bindparam("until_ms"))
)


class Paces:
    """The pace of one endpoint. Raises Unavailable."""

    def __init__(self, sql: Sql, name: str, pace: Pace) -> None:
        self._sql = sql
        self._name = name
        self._pace = pace

    async def reserve(self, tokens: int, now_ms: float, most_wait_s: float | None = None) -> float:
        """Take one request of so many tokens; seconds to wait before it is sent.

        Where that were more than `most_wait_s`, nothing is taken: raises Unavailable.
        """
        asked = {
            "name": self._name,
            "requests_end_ms": now_ms + 60_000 / self._pace.requests_per_minute,
            "tokens_end_ms": now_ms + self._tokens_ms(tokens),
            "at_ms": now_ms,
        }
        burst_ms = self._pace.burst_s * 1_000
        statement = _RESERVE if most_wait_s is None else _reserve(burst_ms + most_wait_s * 1_000)
        reserved = await self._sql.fetch(statement, asked)
        if not reserved:
            raise Unavailable("the embedder has as many requests as it may have", hint="try again later")
        return max(0.0, float(max(reserved[0])) - now_ms - burst_ms) / 1_000

    async def correct(self, reserved: int, used: int) -> None:
        """Give back, or take, the tokens that differ from what was reserved."""
        if reserved != used:
            values = {"of_name": self._name, "more_ms": self._tokens_ms(used - reserved)}
            await self._sql.run(_CORRECT, values)

    async def hold_back(self, seconds: float, now_ms: float) -> None:
        """Nobody asks for so many seconds: the endpoint has said so."""
        until = now_ms + (seconds + self._pace.burst_s) * 1_000
        await self._sql.run(_HOLD_BACK, {"of_name": self._name, "until_ms": until})

    def _tokens_ms(self, tokens: int) -> float:
        return tokens * 60_000 / self._pace.tokens_per_minute
