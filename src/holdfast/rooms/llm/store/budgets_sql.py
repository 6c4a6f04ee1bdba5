"""Budgets in the database: rows locked for the length of one short transaction.

A count's reservations are rows of their own, and what is held is their sum while their lease lasts: what a
dead process held comes back by itself. On PostgreSQL the rows of a decision are locked in the order of their
keys, on SQLite writers are serial anyway. The same table keeps the copy of counts that live in memory.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    MetaData,
    Table,
    Text,
    bindparam,
    case,
    delete,
    func,
    select,
    update,
)

from holdfast.kernel.errors import Unavailable, unavailable
from holdfast.kernel.room import Migration
from holdfast.ports.storage import Sql, Transaction
from holdfast.ports.upsert import incoming, insert_ignore, upsert
from holdfast.rooms.llm.rules.counts import Count, fits, turn
from holdfast.rooms.llm.rules.counts import settle as settle_count
from holdfast.rooms.llm.rules.limits import ROLLING, Limit
from holdfast.rooms.llm.rules.settling import Answer, Charge, Seed, Settlement, Stand, Use

_meta = MetaData()

counts = Table(
    "llm_budget_counts",
    _meta,
    Column("key", Text, primary_key=True),
    Column("mark", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("level", Float, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)
holds = Table(
    "llm_budget_holds",
    _meta,
    Column("id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("mark", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Index("llm_budget_holds_by_key", "key", "mark"),
)


def _create(op: Any) -> None:
    _meta.create_all(op.get_bind())


MIGRATIONS = (Migration(1, "budgets: counts and reservations", _create),)

_c, _h = counts.c, holds.c
_LOCK = (
    select(_c.key, _c.mark, _c.used, _c.level)
    .where(_c.key.in_(bindparam("keys", expanding=True)))
    .order_by(_c.key)
    .with_for_update()
)
_ADD = insert_ignore(counts, ("key",))
_HELD = (
    select(_h.key, _h.mark, func.sum(_h.amount))
    .where(_h.key.in_(bindparam("keys", expanding=True)), _h.done == 0, _h.expires_ms > bindparam("now_ms"))
    .group_by(_h.key, _h.mark)
)
_HOLD = insert_ignore(holds, ("id", "key"))
_KEEP = (
    update(counts)
    .where(_c.key == bindparam("of"))
    .values(
        mark=bindparam("at"),
        used=bindparam("uses"),
        level=bindparam("stands"),
        until_ms=bindparam("lives_ms"),
    )
)
_END = update(holds).where(_h.id == bindparam("of"), _h.done == 0).values(done=1)
_SETTLED = select(_h.id).where(_h.id == bindparam("of"), _h.done == 1).limit(1)
_COPY = upsert(
    counts,
    ("key",),
    {
        "used": case(
            (_c.mark == incoming(counts).mark, _c.used + incoming(counts).used),
            (_c.mark < incoming(counts).mark, incoming(counts).used),
            else_=_c.used,
        ),
        "until_ms": case(
            (_c.mark < incoming(counts).mark, incoming(counts).until_ms),
            else_=_c.until_ms,
        ),
        "mark": case((_c.mark < incoming(counts).mark, incoming(counts).mark), else_=_c.mark),
    },
)
_ALIVE = select(_c.key, _c.mark, _c.used).where(_c.until_ms > bindparam("now_ms"), _c.used > 0)
_OLD_HOLDS = delete(holds).where(_h.expires_ms < bindparam("before_ms"))
_OLD_COUNTS = delete(counts).where(_c.until_ms < bindparam("before_ms"))

_SPARE_MS = 3_600_000
"""How long rows outlive their lease or period: a call may be settled late, or told twice."""


class SqlBudgets:
    """The Store of `engine/shared_counts.py` over the database. Raises Unavailable."""

    def __init__(
        self, sql: Sql, wall: Callable[[], float], *, nodes: int = 1, patience_s: float = 2.0
    ) -> None:
        """`patience_s`: how long a call may wait for its reservation before the database counts as away."""
        self._sql = sql
        self._wall = wall
        self._patience_s = patience_s
        self._nodes = max(1, nodes)
        self.is_up = True
        """Whether it answered last time."""

    def now_s(self) -> float:
        """This machine's time: processes on several machines agree as well as their clocks do."""
        return self._wall()

    async def reserve(self, id: str, charges: Sequence[Charge], lease_s: float) -> Answer:
        """All or nothing, in one transaction."""
        try:
            async with asyncio.timeout(self._patience_s), self._sql.transaction() as tx:
                return await self._reserve(tx, id, charges, lease_s)
        except TimeoutError:
            self.is_up = False
            raise unavailable("the database takes too long to reserve a budget", 1.0) from None
        except Unavailable:
            self.is_up = False
            raise

    async def _reserve(self, tx: Transaction, id: str, charges: Sequence[Charge], lease_s: float) -> Answer:
        now_ms = int(self._wall() * 1000)
        keys = sorted(charge.limit.key for charge in charges)
        found = await _locked(tx, keys, {charge.limit.key: charge for charge in charges})
        sums = {
            (key, mark): held for key, mark, held in await tx.fetch(_HELD, {"keys": keys, "now_ms": now_ms})
        }
        stands = []
        for charge in charges:
            count = found[charge.limit.key]
            turn(count, charge.limit, _mark(charge.limit, charge.mark, now_ms))
            count.held = int(sums.get((charge.limit.key, count.mark), 0))
            room = not charge.amount or fits(count, charge.limit, charge.amount)
            stands.append(Stand(room, int(count.used), count.held, int(charge.mark and count.mark)))
        if not all(stand.fits for stand in stands):
            return Answer(False, tuple(stands))
        rows = []
        for charge in charges:
            count = found[charge.limit.key]
            if charge.limit.period == ROLLING:
                count.used += charge.amount
            rows.append(_row(charge.limit, count, now_ms, charge.ends_in_s))
        await tx.run_many(_KEEP, sorted(rows, key=lambda row: str(row["of"])))
        expires_ms = now_ms + int(lease_s * 1000)
        held = [
            {
                "id": id,
                "key": charge.limit.key,
                "mark": int(found[charge.limit.key].mark),
                "amount": charge.amount if charge.limit.period != ROLLING else 0,
                "expires_ms": expires_ms,
                "done": 0,
            }
            for charge in charges
        ]
        await tx.run_many(_HOLD, held)
        return Answer(True, tuple(stands))

    async def settle(self, settlements: Sequence[Settlement], seed: Seed) -> None:
        """All in one transaction; one that was told before changes nothing. A database forgets nothing."""
        try:
            async with self._sql.transaction() as tx:
                await self._settle(tx, settlements)
        except Unavailable:
            self.is_up = False
            raise

    async def _settle(self, tx: Transaction, settlements: Sequence[Settlement]) -> None:
        now_ms = int(self._wall() * 1000)
        uses: list[Use] = []
        for settlement in settlements:
            if not await tx.run(_END, {"of": settlement.id}) and await self._is_known(
                tx, settlement.id, now_ms
            ):
                continue
            uses += settlement.uses
        if not uses:
            return
        limits = {use.limit.key: use for use in uses}
        found = await _locked(tx, sorted(limits), limits)
        for use in uses:
            count = found[use.limit.key]
            turn(count, use.limit, _mark(use.limit, use.mark, now_ms))
            # What is held is the sum of rows that are not done: here only what is used changes.
            reserved = use.reserved if use.limit.period == ROLLING else 0
            settle_count(count, use.limit, use.mark, reserved, use.actual)
        rows = [_row(limits[key].limit, found[key], now_ms, limits[key].ends_in_s) for key in sorted(limits)]
        await tx.run_many(_KEEP, rows)

    async def _is_known(self, tx: Transaction, id: str, now_ms: int) -> bool:
        """Whether a reservation without a row that is open was settled before; from now on it was."""
        if await tx.fetch(_SETTLED, {"of": id}):
            return True
        marker = {"id": id, "key": "", "mark": 0, "amount": 0, "expires_ms": now_ms, "done": 1}
        await tx.run(_HOLD, marker)
        return False

    async def beat(self) -> int:
        """Whether it answers, and how many processes the settings say there are."""
        await self._sql.ping()
        self.is_up = True
        return self._nodes

    async def leave(self) -> None:
        """Nothing: nobody counts the processes here."""

    async def forget(self) -> None:
        """Delete what is over."""
        before = {"before_ms": int(self._wall() * 1000) - _SPARE_MS}
        await self._sql.run(_OLD_HOLDS, before)
        await self._sql.run(_OLD_COUNTS, before)


class SqlCopy:
    """The copy of counts that live in one process's memory."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def add(self, rows: Sequence[tuple[str, int, int, int]]) -> None:
        """Add (key, mark, used since the last time, end of the period in epoch seconds)."""
        values = [
            {"key": key, "mark": mark, "used": used, "level": 0.0, "until_ms": until_s * 1000}
            for key, mark, used, until_s in sorted(rows)
        ]
        await self._sql.run_many(_COPY, values)

    async def read(self, now_s: float) -> list[tuple[str, int, int]]:
        """(key, mark, used) of every period that is not over."""
        rows = await self._sql.fetch(_ALIVE, {"now_ms": int(now_s * 1000)})
        return [(str(key), int(mark), int(used)) for key, mark, used in rows]

    async def forget(self, now_s: float) -> None:
        """Delete counts whose period is over."""
        await self._sql.run(_OLD_COUNTS, {"before_ms": int(now_s * 1000) - _SPARE_MS})


async def _locked(
    tx: Transaction, keys: Sequence[str], wanted: Mapping[str, Charge | Use]
) -> dict[str, Count]:
    """The counts, locked until the transaction ends; those that were not there begin with their seed."""
    rows = await tx.fetch(_LOCK, {"keys": list(keys)})
    if len(rows) < len(keys):
        known = {row[0] for row in rows}
        await tx.run_many(_ADD, [_fresh(wanted[key]) for key in keys if key not in known])
        rows = await tx.fetch(_LOCK, {"keys": list(keys)})
    found = {}
    for key, mark, used, level in rows:
        rolling = wanted[key].limit.period == ROLLING
        found[key] = Count(mark / 1000 if rolling else mark, level if rolling else used)
    return found


def _fresh(wanted: Charge | Use) -> dict[str, Any]:
    rolling = wanted.limit.period == ROLLING
    seed = wanted.seed if isinstance(wanted, Charge) and not rolling else 0
    return {
        "key": wanted.limit.key,
        "mark": 0 if rolling else wanted.mark,
        "used": seed,
        "level": 0.0,
        "until_ms": 0,
    }


def _row(limit: Limit, count: Count, now_ms: int, ends_in_s: float) -> dict[str, Any]:
    rolling = limit.period == ROLLING
    return {
        "of": limit.key,
        "at": int(count.mark * 1000) if rolling else int(count.mark),
        "uses": 0 if rolling else int(count.used),
        "stands": float(count.used) if rolling else 0.0,
        "lives_ms": now_ms + int(max(0.0, ends_in_s) * 1000),
    }


def _mark(limit: Limit, mark: int, now_ms: int) -> float:
    return now_ms / 1000 if limit.period == ROLLING else mark
