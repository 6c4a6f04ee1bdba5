"""What a broker is told of jobs: ids, never the truth."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, func, literal_column, select, update
from sqlalchemy.sql.elements import ColumnElement

from holdfast.ports.storage import Ledger
from holdfast.rooms.jobs.rules.publishing import Told
from holdfast.rooms.jobs.store.tables import AVAILABLE, IN_TIME, jobs

_j = jobs.c
_untold = and_(AVAILABLE, _j.published_ms == literal_column("0"))
_told = and_(AVAILABLE, _j.published_ms > literal_column("0"))
_TOLD = (_j.id, _j.name, _j.queue, _j.fence, _j.published_ms, _j.publishes)
_LANES = 256


def _lane_after(least: ColumnElement[str]) -> Any:
    return (
        select(func.min(_j.lane))
        .where(_untold, _j.queue == bindparam("queue"), _j.lane > least)
        .scalar_subquery()
    )


_lanes = select(_lane_after(literal_column("''")).label("lane")).cte("lanes", recursive=True)
_lanes = _lanes.union_all(select(_lane_after(_lanes.c.lane)).where(_lanes.c.lane.is_not(None)))
LANES = select(_lanes.c.lane).where(_lanes.c.lane.is_not(None)).limit(bindparam("most"))
UNTOLD = (
    select(*_TOLD)
    .where(_untold, _j.queue == bindparam("queue"), _j.lane == bindparam("lane"))
    .order_by(_j.run_at_ms, _j.id)
    .limit(bindparam("most"))
)
TOLD = select(*_TOLD).where(_told, _j.queue == bindparam("queue")).order_by(_j.published_ms, _j.id)
OUTSTANDING = select(_j.queue, func.count()).where(_told).group_by(_j.queue)
WAITS = select(_j.queue).where(_untold).group_by(_j.queue)
PUBLISHED = (
    update(jobs)
    .where(_j.id == bindparam("which"), _j.fence == bindparam("seen"), AVAILABLE, _j.published_ms >= 0)
    .values(published_ms=bindparam("now_ms"), publishes=_j.publishes + 1)
)
UNTELL = update(jobs).where(_told, _j.queue == bindparam("which")).values(published_ms=0, publishes=0)
ADOPT = tuple(
    update(jobs).where(some, _j.published_ms < 0).values(published_ms=0, publishes=0)
    for some in (AVAILABLE, IN_TIME)
)
"""Of what is ready and of what is to come: each has its index."""


class Telling:
    """Which jobs the broker is to be told of, was told of, and when."""

    def __init__(self, sql: Ledger) -> None:
        self._sql = sql

    async def lanes(self, queue: str) -> list[str]:
        """Lanes with ready jobs that the broker was not told of, in order."""
        return [str(row[0]) for row in await self._sql.fetch(LANES, {"queue": queue, "most": _LANES})]

    async def untold(self, queue: str, shares: Sequence[tuple[str, int]]) -> list[Told]:
        """Up to so many ready jobs of each lane that the broker was not told of, lane by lane."""
        rows = [{"queue": queue, "lane": lane, "most": most} for lane, most in shares]
        return [Told(*row) for row in (await self._sql.together([(UNTOLD, rows)]))[0]]

    async def told(self, queue: str) -> list[Told]:
        """Jobs that the broker was told of and nobody has claimed; the oldest news first."""
        return [Told(*row) for row in await self._sql.fetch(TOLD, {"queue": queue})]

    async def waiting(self) -> set[str]:
        """Queues with ready jobs that the broker was not told of."""
        return {str(row[0]) for row in await self._sql.fetch(WAITS)}

    async def outstanding(self) -> dict[str, int]:
        """Of each queue: how many jobs the broker was told of and nobody has claimed."""
        return {str(queue): int(count) for queue, count in await self._sql.fetch(OUTSTANDING)}

    async def published(self, told: Sequence[Told], now_ms: int) -> None:
        """The broker has been told of these; not of those that were claimed meanwhile, or came back since."""
        rows = [{"which": each.id, "seen": each.fence, "now_ms": now_ms} for each in told]
        await self._sql.together([(PUBLISHED, rows)])

    async def untell(self, queue: str) -> int:
        """Tell of a queue's jobs anew: while it was paused, workers dropped what they were told; how many."""
        return await self._sql.run(UNTELL, {"which": queue})

    async def adopt(self) -> int:
        """What waits and was enqueued for another engine is to be told of, too; how many."""
        async with self._sql.transaction() as tx:
            return sum([await tx.run(each) for each in ADOPT])
