"""`JobsEngine`: what users hold. Declares, enqueues, finds, cancels, watches."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured, Unavailable
from holdfast.kernel.ids import IdSource
from holdfast.ports.jobs import AS_DECLARED, Enqueue, Enqueued, JobEvent, JobSpec, JobView
from holdfast.ports.storage import Ledger
from holdfast.rooms.jobs.engine.adding import Group, Rows
from holdfast.rooms.jobs.engine.catalogue import Catalogue, Declared, spec_of
from holdfast.rooms.jobs.engine.decisions import Decisions
from holdfast.rooms.jobs.engine.figures import Figures
from holdfast.rooms.jobs.engine.joining import Joining
from holdfast.rooms.jobs.engine.views import view_of
from holdfast.rooms.jobs.engine.watching import Watching
from holdfast.rooms.jobs.rules import payloads, schedules, states
from holdfast.rooms.jobs.rules.kinds import Kind, Kinds, Policy
from holdfast.rooms.jobs.rules.problems import BadEnqueue, key_reused
from holdfast.rooms.jobs.rules.settings import Config
from holdfast.rooms.jobs.store.history import History
from holdfast.rooms.jobs.store.outside import add_within, notify_within
from holdfast.rooms.jobs.store.reading import Reading
from holdfast.rooms.jobs.store.rows import NewJob, Schedule
from holdfast.rooms.jobs.store.store import Store
from holdfast.rooms.jobs.store.upkeep import Upkeep

F = TypeVar("F", bound=Callable[..., Any])
Name = str | Callable[..., Any]

_PART = 500
"""Jobs added in one transaction."""
_TRIES = 5
_NOW_S = 30.0
"""Longest that a thread waits for `enqueue_now`."""


def _nobody(job_id: str) -> None:
    return None


class Planned(msgspec.Struct, frozen=True):
    """A job that is to be part of a batch or a chain; `hold.jobs.of` makes one."""

    name: Name
    payload: Any
    how: Enqueue = AS_DECLARED


class JobsEngine:
    """The port `Jobs`, and more than it: transactions of others, batches, chains, decorators."""

    def __init__(
        self,
        config: Config,
        *,
        sql: Ledger,
        clock: Clock,
        ids: IdSource,
        figures: Figures,
        ring: Callable[[str], Any] = _nobody,
    ) -> None:
        self.config = config
        self.table = Kinds()
        self.catalogue = Catalogue(self.table, config.isolated_env)
        self.store = Store(sql)
        self._joining = Joining(self.store)
        self.upkeep = Upkeep(sql)
        self.reading = Reading(sql)
        self.history = History(sql)
        self.watching = Watching(self.history, config.poll_s)
        self.rows = Rows(frozenset(config.known_queues()), clock, ids)
        self.schedules: dict[str, Schedule] = {}
        """Declared in code; written to the database at the start."""
        self.stopped: Callable[[str], Any] = _nobody
        """Told of a cancel, so that a worker of this process need not wait for its heartbeat."""
        self.decisions = Decisions(
            store=self.store,
            reading=self.reading,
            history=self.history,
            catalogue=self.catalogue,
            clock=clock,
            ring=self._rung,
            stopped=self._is_to_stop,
        )
        self._clock = clock
        self._figures = figures
        self.ring: Callable[[str], Any] = ring
        """Tells workers that something came into a queue."""
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- declaring --------------------------------------------------------------------------------

    def declare(self, spec: JobSpec) -> None:
        self.catalogue.declare(spec)

    def job(self, queue: str = "bulk", **options: Any) -> Callable[[F], F]:
        """Make a function a kind of job: `@hold.jobs.job("ai", timeout_s=60, unique="doc:{doc_id}")`.

        Its parameters are the payload, a first one named `run` is the Run; it may still be called as before.
        `options` are those of JobSpec, and `name` and `retry`.
        """

        def declare(function: F) -> F:
            self.declare(spec_of(function, queue, **options))
            return function

        return declare

    def kind(self, name: str, *delays_s: float, meaning: str = "", counts: bool = True) -> None:
        """A kind of failure of the app's own: tried again after these seconds, never where there are none.

        One of the table's names replaces it. `counts`: whether it is a failure in the figures.
        """
        self.table.declare(Kind(name, Policy(delays_s, heeds_retry_after=True), meaning, counts=counts))

    def fails_as(self, error: type[BaseException], kind: str) -> None:
        """What raises `error` (or a class below it) fails as `kind`. Isolated jobs say so with JobFailed."""
        self.table.map(error, kind)

    def every(
        self,
        schedule: str,
        cron: str,
        name: Name,
        payload: Any,
        *,
        zone: str = "UTC",
        catch_up: str = "",
    ) -> None:
        """As the port says. `catch_up`: `skip`, `once` or `all` of the times that were missed."""
        schedules.check(cron, zone)
        if schedule in self.schedules:
            raise Misconfigured(f"a schedule {schedule!r} is declared already", hint="names are told apart")
        declared = self.catalogue.named(name)
        now_ms = int(self._clock.wall() * 1000)
        self.schedules[schedule] = Schedule(
            name=schedule,
            job=declared.name,
            payload=declared.encode(payload).decode(),
            cron=cron,
            zone=zone,
            catch_up=catch_up or self.config.catch_up,
            next_ms=schedules.next_after(cron, zone, now_ms),
        )

    # -- enqueueing -------------------------------------------------------------------------------

    async def enqueue(
        self,
        name: Name,
        payload: Any = msgspec.UNSET,
        how: Enqueue = AS_DECLARED,
        *,
        tx: Any = None,
        **fields: Any,
    ) -> Enqueued:
        """As the port says; `name` may be the function, the payload its arguments by name.

        Within `tx` (a Transaction, or a connection of sqlite3, asyncpg or SQLAlchemy with one open) the job
        is there when that commits, and never was when it does not.
        """
        declared = self.catalogue.named(name)
        job = self.rows.make(declared, fields if payload is msgspec.UNSET else payload, how)
        found = await (self._add(job) if tx is None else self._add_within(tx, job))
        if found.is_new:
            self._figures.enqueued(job.queue)
            if job.state == states.AVAILABLE and tx is None:
                self.ring(job.queue)
        return found

    async def enqueue_many(
        self, name: Name, payloads: Sequence[Any], how: Enqueue = AS_DECLARED
    ) -> list[Enqueued]:
        """Many jobs of one kind in few transactions, in order; a unique key that is taken gives its job."""
        if how.key:
            raise BadEnqueue("many jobs under one idempotency key", hint="give each its own key")
        declared = self.catalogue.named(name)
        made = [self.rows.make(declared, each, how) for each in payloads]  # all are valid, or none is added
        found: list[Enqueued] = []
        for start in range(0, len(made), _PART):
            jobs = made[start : start + _PART]
            added = await self.store.add_all(jobs)
            found += [Enqueued(job.id) if job.id in added else await self._add(job) for job in jobs]
            self.ring(jobs[0].queue)
            self._figures.enqueued(jobs[0].queue, len(added))
        return found

    def enqueue_now(
        self, name: Name, payload: Any = msgspec.UNSET, how: Enqueue = AS_DECLARED, **fields: Any
    ) -> Enqueued:
        """`enqueue` for a plain thread, a `def` endpoint for one; waits until it is durable."""
        loop = self._loop
        if loop is None or loop.is_closed():
            raise Unavailable(
                "the jobs room is not started", hint="enqueue after the start", retry_after_s=1.0
            )
        if _running_loop() is loop:
            raise BadEnqueue(
                "enqueue_now would stop the loop it is called in", hint="await enqueue(...) here"
            )
        work = self.enqueue(name, payload, how, **fields)
        return asyncio.run_coroutine_threadsafe(work, loop).result(_NOW_S)

    def of(
        self, name: Name, payload: Any = msgspec.UNSET, how: Enqueue = AS_DECLARED, **fields: Any
    ) -> Planned:
        """A job for a batch or a chain: `hold.jobs.of(index, doc_id=7)`."""
        return Planned(name, fields if payload is msgspec.UNSET else payload, how)

    async def batch(self, jobs: Sequence[Planned], then: Planned | None = None) -> Group:
        """Enqueue all or none; `then` runs when all have ended, and its `run.previous` counts how."""
        group = self.rows.new_id()
        made = [self._row(each, batch=group) for each in jobs]
        last = [] if then is None else [self._row(then, after_batch=group)]
        await self._add_group([*made, *last])
        if not made:
            await self.settle()
        return Group(group, tuple(job.id for job in made), last[0].id if last else "")

    async def chain(self, *jobs: Planned) -> Group:
        """Enqueue all or none, to run one after the other; each finds the result before it in `run.previous`.

        When one fails or is cancelled, those behind it fail with kind `dependency`.
        """
        group = self.rows.new_id()
        made: list[NewJob] = []
        for each in jobs:
            made.append(self._row(each, batch=group, after_job=made[-1].id if made else ""))
        await self._add_group(made)
        return Group(group, tuple(job.id for job in made))

    # -- looking and stopping ---------------------------------------------------------------------

    async def find(self, job_id: str) -> JobView | None:
        row = await self.reading.one(job_id)
        return None if row is None else view_of(row)

    async def cancel(self, job_id: str, reason: str = "") -> bool:
        return await self.decisions.cancel(job_id, reason)

    def events(self, job_id: str, after: int = 0) -> AsyncGenerator[JobEvent, None]:
        return self.watching.follow(job_id, after)

    async def erase(self, tenant: str) -> int:
        """Remove every job of a tenant with all that it left; how many.

        What runs hears it with its worker's next heartbeat and stops; nothing that it gives is written.
        """
        removed = 0
        while tenant and (part := await self.upkeep.of_tenant(tenant)):
            removed += await self.upkeep.drop([job for job, _ in part])
            for job, _ in part:
                self.stopped(job)
        return removed

    async def run_now(self, schedule: Schedule) -> str:
        """Enqueue what a schedule begins, beside its times; the job's id."""
        declared = self.catalogue.named(schedule.job)
        return (await self.enqueue(schedule.job, declared.decode_raw(schedule.payload))).id

    async def settle(self) -> None:
        """Let go what waited for jobs that have ended; asked after each such end, and from time to time."""
        for queue in await self.store.settle_followers(int(self._clock.wall() * 1000)):
            self.ring(queue)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        self._loop = None
        await self.watching.close()

    # -- within -----------------------------------------------------------------------------------

    def _rung(self, queue: str) -> None:
        self.ring(queue)

    def _is_to_stop(self, job_id: str) -> None:
        self.stopped(job_id)

    def _row(self, each: Planned, *, batch: str = "", after_job: str = "", after_batch: str = "") -> NewJob:
        declared: Declared = self.catalogue.named(each.name)
        return self.rows.make(
            declared, each.payload, each.how, batch=batch, after_job=after_job, after_batch=after_batch
        )

    async def _add(self, job: NewJob) -> Enqueued:
        has_key = job.unique_key is not None or job.repeat_key is not None
        add = self.store.add if has_key else self._joining.add
        for _ in range(_TRIES):
            if await add(job):
                return Enqueued(job.id)
            holder = await self.store.holder(job.unique_key, job.repeat_key)
            if holder is not None:
                return _held(job, holder)
            # Its holder has ended in between: the key is free again.
        raise Unavailable("the job's key is taken and let go again and again", retry_after_s=1.0)

    async def _add_within(self, tx: Any, job: NewJob) -> Enqueued:
        holder = await add_within(tx, job)
        if holder is not None:
            return _held(job, holder)
        if job.state == states.AVAILABLE:
            await notify_within(tx, job.queue)
        return Enqueued(job.id)

    async def _add_group(self, jobs: Sequence[NewJob]) -> None:
        async with self.store.sql.transaction() as tx:
            added = await self.store.add_all(jobs, within=tx)
            if len(added) < len(jobs):
                raise BadEnqueue(
                    f"{len(jobs) - len(added)} of {len(jobs)} jobs have a key that is taken",
                    hint="jobs of a batch or a chain must be new",
                )
        for queue in {job.queue for job in jobs if job.state == states.AVAILABLE}:
            self.ring(queue)
        for job in jobs:
            self._figures.enqueued(job.queue)


def _held(job: NewJob, holder: tuple[str, str, str | None]) -> Enqueued:
    """What a taken key gives: its job; raises KeyReused for another payload under one idempotency key."""
    job_id, digest, repeat_key = holder
    if job.repeat_key is not None and repeat_key == job.repeat_key and digest != job.digest:
        raise key_reused(payloads.given_key(job.repeat_key))
    return Enqueued(job_id, is_new=False)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
