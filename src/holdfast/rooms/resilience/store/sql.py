"""Shared breaker states in the database, for services without Redis: one row a dependency.

No clock is shared and none is stored: a process measures open times and leases on its own monotonic
clock, from the moment it first saw them. That can only make it wait a little longer than others, and steps
of any wall clock change nothing. Moves are single conditional updates, so exactly one of many gets a lease.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, bindparam, select, update

from holdfast.kernel.room import Migration
from holdfast.ports.storage import Sql
from holdfast.ports.upsert import insert_ignore
from holdfast.rooms.resilience.rules.standing import (
    ANY_GENERATION,
    CLOSE,
    FAIL,
    FREE,
    LEASE,
    LOOK,
    OPEN,
    RESET,
    Move,
    Standing,
)

_meta = MetaData()

states = Table(
    "resilience_states",
    _meta,
    Column("name", Text, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("open_ms", BigInteger, nullable=False),
    Column("opens", BigInteger, nullable=False),
    Column("lease", Text, nullable=False),
    Column("lease_ms", BigInteger, nullable=False),
)


def _create(op: Any) -> None:
    _meta.create_all(op.get_bind())


MIGRATIONS = (Migration(1, "shared states of circuit breakers", _create),)

_c = states.c
ADD = insert_ignore(states, ("name",))
ALL = select(*_c).where(_c.name.in_(bindparam("names", expanding=True)))
_mine = (_c.name == bindparam("of"), _c.lease == bindparam("held"))
_known = (_c.name == bindparam("of"), _c.generation == bindparam("known"))
_opened = {
    "generation": _c.generation + 1,
    "open_ms": bindparam("for_ms"),
    "opens": bindparam("times"),
    "lease": "",
    "lease_ms": 0,
}
_closed = {"generation": _c.generation + 1, "open_ms": 0, "opens": 0, "lease": "", "lease_ms": 0}
MOVES = {
    OPEN: update(states).where(*_known, _c.open_ms == 0).values(_opened),
    LEASE: update(states)
    .where(*_known, _c.open_ms > 0, _c.lease == bindparam("held"))
    .values(lease=bindparam("token"), lease_ms=bindparam("lease_for_ms")),
    FAIL: update(states).where(*_mine, _c.open_ms > 0).values(_opened),
    CLOSE: update(states).where(*_mine, _c.open_ms > 0).values(_closed),
    FREE: update(states).where(*_mine).values(lease="", lease_ms=0),
    RESET: update(states).where(*_known, _c.open_ms > 0).values(_closed),
}
_TAKES = {
    OPEN: ("of", "known", "for_ms", "times"),
    LEASE: ("of", "known", "held", "token", "lease_for_ms"),
    FAIL: ("of", "held", "for_ms", "times"),
    CLOSE: ("of", "held"),
    FREE: ("of", "held"),
    RESET: ("of", "known"),
}


class _Row:
    """One state, and when this process first saw its generation and its lease."""

    __slots__ = ("generation", "generation_at", "lease", "lease_at", "lease_s", "open_s", "opens")

    def __init__(self) -> None:
        self.generation = ANY_GENERATION
        self.generation_at = 0.0
        self.open_s = 0.0
        self.opens = 0
        self.lease = ""
        self.lease_at = 0.0
        self.lease_s = 0.0

    def see(self, row: Mapping[str, Any], now: float, *, at_start: bool) -> None:
        if row["generation"] != self.generation:
            self.generation = row["generation"]
            self.open_s = row["open_ms"] / 1000
            self.opens = row["opens"]
            # How long one that was open before our start has been so nobody knows: it may be probed now.
            self.generation_at = now - self.open_s if at_start else now
        if row["lease"] != self.lease:
            self.lease, self.lease_s, self.lease_at = row["lease"], row["lease_ms"] / 1000, now

    def standing(self, now: float, *, granted: bool = False) -> Standing:
        is_open = self.open_s > 0
        left_s = max(0.0, self.generation_at + self.open_s - now) if is_open else 0.0
        leased_s = max(0.0, self.lease_at + self.lease_s - now) if self.lease else 0.0
        return Standing(self.generation, is_open, left_s, self.opens, leased_s, granted)


class SqlStates:
    """The States of engine/sharing.py over the database."""

    pushes = False

    def __init__(self, sql: Sql, monotonic: Callable[[], float]) -> None:
        self._sql = sql
        self._now = monotonic
        self._rows: dict[str, _Row] = {}

    async def look(self, names: Sequence[str]) -> dict[str, Standing]:
        """The standing of each; a name that is not there yet gets its row."""
        rows = await self._sql.fetch(ALL, {"names": list(names)}) if names else []
        missing = sorted(set(names) - {row[0] for row in rows})
        if missing:
            fresh = {"generation": 0, "open_ms": 0, "opens": 0, "lease": "", "lease_ms": 0}
            await self._sql.run_many(ADD, [{"name": name, **fresh} for name in missing])
            rows = [*rows, *await self._sql.fetch(ALL, {"names": missing})]
        now = self._now()
        keys = states.c.keys()
        for row in rows:
            at_start = row[0] not in self._rows
            self._rows.setdefault(row[0], _Row()).see(
                dict(zip(keys, row, strict=True)), now, at_start=at_start
            )
        return {name: self._rows[name].standing(now) for name in names}

    async def move(self, name: str, move: Move) -> Standing:
        """Try the move; what stands afterwards. Raises Unavailable."""
        before = (await self.look([name]))[name]
        if move.kind == LOOK or not self._may(before, move):
            return before
        seen = self._rows[name]
        known = move.generation if move.kind in (OPEN, RESET) else ANY_GENERATION
        values = {
            "of": name,
            "known": before.generation if known == ANY_GENERATION else known,
            # A lease that has run out is replaced only if it is still the one that we watched run out.
            "held": seen.lease if move.kind == LEASE else move.token,
            "token": move.token,
            "for_ms": _ms(move.open_s),
            "times": move.opens,
            "lease_for_ms": _ms(move.lease_s),
        }
        taken = {key: values[key] for key in _TAKES[move.kind]}
        granted = await self._sql.run(MOVES[move.kind], taken) == 1
        await self.look([name])
        return self._rows[name].standing(self._now(), granted=granted)

    def _may(self, before: Standing, move: Move) -> bool:
        """Whether the times allow it; the rest the update itself decides."""
        if move.kind != LEASE:
            return True
        return before.is_open and not before.leased_s and (move.early or not before.left_s)


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
