"""Workers, queues, schedules, decisions and what is thrown away."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Float,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from holdfast.ports.storage import Ledger, Row, Transaction
from holdfast.ports.upsert import incoming, insert_ignore, upsert
from holdfast.rooms.jobs.store import tables
from holdfast.rooms.jobs.store.rows import Claimed, NewJob, QueueRow, Schedule, Worker
from holdfast.rooms.jobs.store.statements import ADD, TAKEN
from holdfast.rooms.jobs.store.store import added
from holdfast.rooms.jobs.store.tables import RUNNING, jobs, queues, schedules, unordered, workers

_j, _w, _q, _s = jobs.c, workers.c, queues.c, schedules.c

_WORKER = tuple(_w[name] for name in Worker.__struct_fields__)
REGISTER = insert_ignore(workers, ("id",))
BEAT = (
    update(workers)
    .where(_w.id == bindparam("which"))
    .values(
        beat_ms=bindparam("now_ms"),
        lease_until_ms=bindparam("until_ms"),
        facts=bindparam("told"),
        stopping=bindparam("stops"),
    )
    .returning(_w.id)
)
AT_HAND = select(_j.id, _j.fence, _j.cancel_ms).where(_j.worker == bindparam("by"), RUNNING)
WORKERS = select(*_WORKER).order_by(_w.started_ms, _w.id)
LEFT_BY = (
    select(*TAKEN).where(_j.worker == bindparam("by"), RUNNING, _j.id > bindparam("after")).order_by(_j.id)
).limit(bindparam("most"))
STRAYS = (
    select(*TAKEN)
    .where(RUNNING, ~exists(select(literal(1)).where(_w.id == _j.worker)), unordered() > bindparam("after"))
    .order_by(unordered())
    .limit(bindparam("most"))
)
"""Running jobs of workers that have no row: one was removed by hand."""
REMOVE_WORKER = delete(workers).where(
    _w.id == bindparam("which"),
    ~exists(select(literal(1)).where(_j.worker == bindparam("by"), RUNNING)),
)

_QUEUE = tuple(_q[name] for name in QueueRow.__struct_fields__)
QUEUES = select(*_QUEUE).order_by(_q.name)
NAME_QUEUE = insert_ignore(queues, ("name",))
SET_PAUSED = update(queues).where(_q.name == bindparam("which")).values(paused=bindparam("is_paused"))
SET_SHAPE = (
    update(queues)
    .where(_q.name == bindparam("which"))
    .values(concurrency=bindparam("most"), rate=bindparam("pace"))
)
PACE = select(_q.tat_ms).where(_q.name == bindparam("which")).with_for_update()
SET_PACE = update(queues).where(_q.name == bindparam("which")).values(tat_ms=cast(bindparam("tat"), Float))

_SCHEDULE = tuple(_s[name] for name in Schedule.__struct_fields__)
SCHEDULES = select(*_SCHEDULE).order_by(_s.name)
DUE_SCHEDULES = (
    select(*_SCHEDULE).where(_s.paused == 0, _s.next_ms <= bindparam("now_ms")).order_by(_s.next_ms)
)
DECLARE_SCHEDULE = upsert(
    schedules,
    ("name",),
    ("job", "payload", "cron", "zone", "catch_up", "next_ms"),
    where=or_(
        _s.cron != incoming(schedules).cron,
        _s.zone != incoming(schedules).zone,
        _s.payload != incoming(schedules).payload,
        _s.job != incoming(schedules).job,
        _s.catch_up != incoming(schedules).catch_up,
    ),
)
"""A schedule that is declared as it was keeps its next time, or every start would skip one."""
ADVANCE = (
    update(schedules)
    .where(_s.name == bindparam("which"), _s.next_ms == bindparam("was_ms"), _s.paused == 0)
    .values(next_ms=bindparam("becomes_ms"), last_ms=bindparam("was_ms"), last_job=bindparam("began"))
)
SET_BACK = (
    update(schedules)
    .where(_s.name == bindparam("which"), _s.next_ms == bindparam("was_ms"))
    .values(next_ms=bindparam("becomes_ms"))
)
PAUSE_SCHEDULE = update(schedules).where(_s.name == bindparam("which")).values(paused=bindparam("is_paused"))
DROP_SCHEDULE = delete(schedules).where(_s.name == bindparam("which"))

DECIDE = upsert(tables.decisions, ("key",), ("value", "at_ms"))
DECISION = select(tables.decisions.c.value).where(tables.decisions.c.key == bindparam("key"))

DROP_RESULTS = (
    update(jobs)
    .where(
        _j.id.in_(
            select(_j.id)
            .where(_j.result.is_not(None), _j.result_until_ms <= bindparam("now_ms"))
            .order_by(_j.result_until_ms)
            .limit(bindparam("most"))
        )
    )
    .values(result=None, result_until_ms=None)
)


def _ended_before(which: ColumnElement[bool]) -> Any:
    return (
        select(_j.id)
        .where(_j.ended_ms.is_not(None), _j.ended_ms <= bindparam("before_ms"), which)
        .order_by(_j.ended_ms)
        .limit(bindparam("most"))
    )


OLD, OLD_DEAD = _ended_before(~tables.FAILED), _ended_before(tables.FAILED)
"""Asked apart: what is kept longer would stand before the rest in every look."""
OF_TENANT = (
    select(_j.id, _j.state)
    .where(_j.tenant == bindparam("tenant"), _j.tenant != "", _j.id > bindparam("after"))
    .order_by(_j.id)
    .limit(bindparam("most"))
)
_DROPS = tuple(
    delete(table).where(column.in_(bindparam("ids", expanding=True)))
    for table, column in (
        (jobs, _j.id),
        (tables.attempts, tables.attempts.c.job_id),
        (tables.events, tables.events.c.job_id),
        (tables.steps, tables.steps.c.job_id),
        (tables.compensations, tables.compensations.c.job_id),
    )
)
LENGTHS = union_all(
    *(
        select(_j.queue, _j.state, func.count(), func.min(_j.run_at_ms))
        .where(some)
        .group_by(_j.queue, _j.state)
        for some in (tables.AVAILABLE, tables.IN_TIME, RUNNING)
    )
)
"""Each part has an index of its own: together they would be looked for among all that has ended."""
DEAD = select(func.count()).where(tables.FAILED)


class Upkeep:
    """What is kept beside the jobs."""

    def __init__(self, sql: Ledger) -> None:
        self.sql = sql

    # -- workers ----------------------------------------------------------------------------------

    async def register(self, worker: Worker) -> None:
        await self.sql.run(REGISTER, msgspec.structs.asdict(worker))

    async def beat(
        self, worker: str, now_ms: int, until_ms: int, facts: str, *, stopping: bool
    ) -> dict[str, tuple[int, bool]] | None:
        """Renew the lease; each job it holds by the ledger: its fence, and whether it is to stop.

        None when the worker's row is gone: it was taken for dead, and its jobs are others' by now.
        """
        row = {
            "which": worker,
            "now_ms": now_ms,
            "until_ms": until_ms,
            "told": facts,
            "stops": int(stopping),
        }
        beaten, held = await self.sql.together([(BEAT, [row]), (AT_HAND, [{"by": worker}])])
        if not beaten:
            return None
        return {str(job): (int(fence), cancel is not None) for job, fence, cancel in held}

    async def workers(self) -> list[Worker]:
        return [_worker(row) for row in await self.sql.fetch(WORKERS)]

    async def left_by(self, worker: str, after: str = "", most: int = 200) -> list[Claimed]:
        """Jobs that run under this worker, by id behind `after`."""
        rows = await self.sql.fetch(LEFT_BY, {"by": worker, "after": after, "most": most})
        return [Claimed(*row) for row in rows]

    async def strays(self, after: str = "", most: int = 200) -> list[Claimed]:
        """Jobs that run under workers that nobody knows, by id behind `after`."""
        return [Claimed(*row) for row in await self.sql.fetch(STRAYS, {"after": after, "most": most})]

    async def remove_worker(self, worker: str) -> bool:
        """Forget a worker; False while jobs still run under it, for they would be lost with it."""
        return await self.sql.run(REMOVE_WORKER, {"which": worker, "by": worker}) == 1

    # -- queues -----------------------------------------------------------------------------------

    async def queues(self) -> dict[str, QueueRow]:
        return {str(row[0]): QueueRow(*row) for row in await self.sql.fetch(QUEUES)}

    async def pause(self, queue: str, paused: bool) -> None:
        async with self.sql.transaction() as tx:
            await tx.run(NAME_QUEUE, {"name": queue})
            await tx.run(SET_PAUSED, {"which": queue, "is_paused": int(paused)})

    async def shape(self, queue: str, concurrency: int | None, rate: str | None) -> None:
        """Concurrency and rate of a queue from now on; None: as the settings say."""
        async with self.sql.transaction() as tx:
            await tx.run(NAME_QUEUE, {"name": queue})
            await tx.run(SET_SHAPE, {"which": queue, "most": concurrency, "pace": rate})

    async def pace(self, queue: str, rule: Callable[[float], tuple[int, float]]) -> int:
        """Take from the queue's rate: `rule(tat_ms)` gives how many may start and the next tat_ms."""
        async with self.sql.transaction() as tx:
            await tx.run(NAME_QUEUE, {"name": queue})
            tat_ms = float((await tx.fetch(PACE, {"which": queue}))[0][0])
            granted, becomes = rule(tat_ms)
            if becomes != tat_ms:
                await tx.run(SET_PACE, {"which": queue, "tat": becomes})
        return granted

    # -- schedules --------------------------------------------------------------------------------

    async def declare_schedule(self, schedule: Schedule) -> None:
        """Add it, or change it where it is declared otherwise than it was."""
        row = msgspec.structs.asdict(schedule)
        await self.sql.run(DECLARE_SCHEDULE, row)

    async def schedules(self) -> list[Schedule]:
        return [_schedule(row) for row in await self.sql.fetch(SCHEDULES)]

    async def due_schedules(self, now_ms: int) -> list[Schedule]:
        return [_schedule(row) for row in await self.sql.fetch(DUE_SCHEDULES, {"now_ms": now_ms})]

    async def fire(self, schedule: Schedule, next_ms: int, begun: Sequence[NewJob]) -> bool:
        """Move it on and enqueue what it begins, both or neither; False when another process did it first."""
        async with self.sql.transaction() as tx:
            row = {
                "which": schedule.name,
                "was_ms": schedule.next_ms,
                "becomes_ms": next_ms,
                "began": begun[-1].id if begun else schedule.last_job,
            }
            if not await tx.run(ADVANCE, row):
                return False
            await _add(tx, begun)
        return True

    async def set_back(self, schedule: Schedule, next_ms: int) -> bool:
        """Another next time, unless it has moved meanwhile."""
        row = {"which": schedule.name, "was_ms": schedule.next_ms, "becomes_ms": next_ms}
        return await self.sql.run(SET_BACK, row) == 1

    async def pause_schedule(self, name: str, paused: bool) -> bool:
        return await self.sql.run(PAUSE_SCHEDULE, {"which": name, "is_paused": int(paused)}) == 1

    async def drop_schedule(self, name: str) -> bool:
        return await self.sql.run(DROP_SCHEDULE, {"which": name}) == 1

    # -- decisions --------------------------------------------------------------------------------

    async def decide(self, key: str, value: str, at_ms: int) -> None:
        """Something that holds for all processes from now on."""
        await self.sql.run(DECIDE, {"key": key, "value": value, "at_ms": at_ms})

    async def decision(self, key: str) -> str | None:
        rows = await self.sql.fetch(DECISION, {"key": key})
        return str(rows[0][0]) if rows else None

    # -- figures, and what is thrown away ---------------------------------------------------------

    async def lengths(self) -> list[tuple[str, str, int, int]]:
        """Of each queue and open state: how many jobs, and the earliest time at which one is to run."""
        return [(row[0], row[1], row[2], row[3]) for row in await self.sql.fetch(LENGTHS)]

    async def dead(self) -> int:
        """Dead letters there are."""
        return int((await self.sql.fetch(DEAD))[0][0])

    async def drop_results(self, now_ms: int, most: int = 500) -> int:
        """Drop some results past their time; how many, 0 when there are no more."""
        return await self.sql.run(DROP_RESULTS, {"now_ms": now_ms, "most": most})

    async def drop_old(self, finished_ms: int, failed_ms: int, most: int = 500) -> int:
        """Remove some jobs that ended before these stamps; how many, 0 when there are no more."""
        rows = await self.sql.fetch(OLD, {"before_ms": finished_ms, "most": most})
        if len(rows) < most:
            rows += await self.sql.fetch(OLD_DEAD, {"before_ms": failed_ms, "most": most - len(rows)})
        return await self.drop([str(row[0]) for row in rows])

    async def of_tenant(self, tenant: str, after: str = "", most: int = 500) -> list[tuple[str, str]]:
        """Id and state of a tenant's jobs, by id behind `after`."""
        rows = await self.sql.fetch(OF_TENANT, {"tenant": tenant, "after": after, "most": most})
        return [(str(row[0]), str(row[1])) for row in rows]

    async def drop(self, ids: Sequence[str]) -> int:
        """Remove jobs with everything that they left; one that runs finds its fence gone."""
        if ids:
            await self.sql.together([(statement, [{"ids": list(ids)}]) for statement in _DROPS])
        return len(ids)


async def _add(tx: Transaction, begun: Sequence[NewJob]) -> None:
    for job in begun:
        await tx.fetch(ADD, added(job))


def _worker(row: Row) -> Worker:
    return Worker(**dict(zip(Worker.__struct_fields__, row, strict=True)))


def _schedule(row: Row) -> Schedule:
    return Schedule(**dict(zip(Schedule.__struct_fields__, row, strict=True)))
