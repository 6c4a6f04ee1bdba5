"""How fast an endpoint is asked, over all processes: one row a name, reserved before and corrected after."""

from typing import Any

from sqlalchemy import Column, Float, MetaData, Table, Text, bindparam, case, update

from holdfast.ports.storage import Sql
from holdfast.ports.upsert import incoming, upsert
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


def create(bind: Any) -> None:
    """Make the table."""
    _meta.create_all(bind)


def _later(column: str) -> Any:
    """What is reserved ends so much later: after the end of what others have reserved, or from now on.

    The incoming row is of a free pace: its columns are now and what is asked for.
    """
    return case((_r[column] > _new.at_ms, _r[column] + (_new[column] - _new.at_ms)), else_=_new[column])


_RESERVE = upsert(
    rows,
    ("name",),
    {name: _later(name) for name in ("requests_end_ms", "tokens_end_ms")} | {"at_ms": _new.at_ms},
    returning=("requests_end_ms", "tokens_end_ms"),
)
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

    async def reserve(self, tokens: int, now_ms: float) -> float:
        """Take one request of so many tokens; seconds to wait before it is sent."""
        asked = {
            "name": self._name,
            "requests_end_ms": now_ms + 60_000 / self._pace.requests_per_minute,
            "tokens_end_ms": now_ms + self._tokens_ms(tokens),
            "at_ms": now_ms,
        }
        [ends] = await self._sql.fetch(_RESERVE, asked)
        return max(0.0, float(max(ends)) - now_ms - self._pace.burst_s * 1_000) / 1_000

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
