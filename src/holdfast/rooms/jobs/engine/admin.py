"""What administrators see and set: queues, workers, schedules, the engine, one job with everything."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import BadInput
from holdfast.rooms.jobs.engine.views import Whole, WorkerView, whole_of, worker_of
from holdfast.rooms.jobs.rules import engines, pacing
from holdfast.rooms.jobs.rules.problems import UnknownQueue, UnknownSchedule, unknown_job
from holdfast.rooms.jobs.rules.settings import Config
from holdfast.rooms.jobs.store.reading import Reading
from holdfast.rooms.jobs.store.rows import QueueRow, Schedule
from holdfast.rooms.jobs.store.upkeep import Upkeep

ENGINE = "engine"
"""Key of the decision which engine is in force."""
RunNow = Callable[[Schedule], Awaitable[str]]
"""Enqueues what a schedule begins, now; the job's id."""


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: how it is worked off, and what stands in it."""

    name: str
    paused: bool
    concurrency: int
    rate: str
    is_decided: bool
    """Whether an administrator has set something that the settings say otherwise."""
    jobs: dict[str, int] = {}
    """Jobs that have not ended, by state."""
    oldest_ms: int | None = None
    """Since when the oldest one that could begin waits; null when none does."""


class EngineView(msgspec.Struct, frozen=True):
    """Which engine is in force, and who said so."""

    engine: str
    configured: str
    decided: str | None
    durable: str
    """The value of USE_DURABLE_WORKER; empty where it is not set."""


class Admin:
    """Queues, workers, schedules, the engine."""

    def __init__(
        self,
        config: Config,
        *,
        upkeep: Upkeep,
        reading: Reading,
        clock: Clock,
        ring: Callable[[str], Any],
        run_now: RunNow,
        durable: str = "",
        has_broker: bool = False,
    ) -> None:
        """`durable` is the value of USE_DURABLE_WORKER; without a broker nobody is switched to Celery."""
        self._config = config
        self._upkeep = upkeep
        self._reading = reading
        self._clock = clock
        self._ring = ring
        self._run_now = run_now
        self._durable = durable
        self._has_broker = has_broker

    # -- one job ----------------------------------------------------------------------------------

    async def show(self, job_id: str) -> Whole:
        row = await self._reading.one(job_id)
        if row is None:
            raise unknown_job()
        attempts = await self._reading.attempts([job_id])
        return whole_of(row, attempts.get(job_id, []))

    # -- queues -----------------------------------------------------------------------------------

    async def queues(self) -> list[QueueView]:
        """Every queue that is configured, or that a job stands in."""
        decided = await self._upkeep.queues()
        jobs: dict[str, dict[str, int]] = {}
        oldest: dict[str, int] = {}
        for queue, state, count, run_at_ms in await self._upkeep.lengths():
            jobs.setdefault(queue, {})[state] = count
            if state == "available":
                oldest[queue] = run_at_ms
        names = sorted({*self._config.known_queues(), *jobs})
        return [self._queue(name, decided.get(name), jobs.get(name, {}), oldest.get(name)) for name in names]

    async def queue(self, name: str) -> QueueView:
        found = next((queue for queue in await self.queues() if queue.name == name), None)
        if found is None:
            raise _no_queue(name, self._config)
        return found

    async def pause(self, name: str, paused: bool) -> QueueView:
        """Begin nothing more of this queue, or go on. What runs is not stopped."""
        self._known(name)
        await self._upkeep.pause(name, paused)
        self._ring(name)
        return await self.queue(name)

    async def shape(self, name: str, concurrency: int | None, rate: str | None) -> QueueView:
        """Set concurrency and rate of a queue in all workers; None: as the settings say."""
        self._known(name)
        if concurrency is not None and not 1 <= concurrency <= 10_000:
            raise BadInput(f"a concurrency of {concurrency}", hint="1 to 10,000; pause the queue for none")
        await self._upkeep.shape(name, concurrency, None if rate is None else pacing.limit(rate))
        self._ring(name)
        return await self.queue(name)

    def _queue(self, name: str, row: QueueRow | None, jobs: dict[str, int], oldest: int | None) -> QueueView:
        kept = self._config.known_queues().get(name)
        concurrency = kept.concurrency if kept is not None else 0
        rate = kept.rate if kept is not None else ""
        paused = kept.paused if kept is not None else False
        if row is not None:
            concurrency = concurrency if row.concurrency is None else row.concurrency
            rate = rate if row.rate is None else row.rate
            paused = bool(row.paused)
        return QueueView(
            name=name,
            paused=paused,
            concurrency=concurrency,
            rate=rate,
            is_decided=row is not None
            and (row.concurrency is not None or row.rate is not None or bool(row.paused)),
            jobs=jobs,
            oldest_ms=oldest,
        )

    def _known(self, name: str) -> None:
        if name not in self._config.known_queues():
            raise _no_queue(name, self._config)

    # -- workers ----------------------------------------------------------------------------------

    async def workers(self) -> list[WorkerView]:
        now_ms = self._now_ms()
        return [worker_of(row, now_ms) for row in await self._upkeep.workers()]

    # -- schedules --------------------------------------------------------------------------------

    async def schedules(self) -> list[Schedule]:
        return await self._upkeep.schedules()

    async def pause_schedule(self, name: str, paused: bool) -> Schedule:
        """Let its times pass, or heed them again. What passed meanwhile is made up for as it declares."""
        if not await self._upkeep.pause_schedule(name, paused):
            raise _no_schedule(name)
        return await self._schedule(name)

    async def drop_schedule(self, name: str) -> None:
        """Forget a schedule that is declared no more; one that is declared comes back with the next start."""
        if not await self._upkeep.drop_schedule(name):
            raise _no_schedule(name)

    async def run_schedule(self, name: str) -> str:
        """Begin what it begins now, beside its times; the job's id."""
        return await self._run_now(await self._schedule(name))

    async def _schedule(self, name: str) -> Schedule:
        found = next((one for one in await self._upkeep.schedules() if one.name == name), None)
        if found is None:
            raise _no_schedule(name)
        return found

    # -- the engine -------------------------------------------------------------------------------

    async def engine(self) -> EngineView:
        decided = await self._upkeep.decision(ENGINE) or None
        configured = self._config.engine
        in_force = engines.switched(configured, decided, self._durable)
        return EngineView(in_force, configured, decided, self._durable)

    async def switch(self, engine: str | None) -> EngineView:
        """Let this engine claim from now on, in all processes; None: as the settings and the environment
        say."""
        if engine == engines.CELERY and not self._has_broker:
            raise BadInput("there is no broker to tell of jobs", hint="set [jobs] broker_url, then switch")
        await self._upkeep.decide(ENGINE, engines.check_engine(engine) if engine else "", self._now_ms())
        self._ring("")
        return await self.engine()

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)


def _no_queue(name: str, config: Config) -> UnknownQueue:
    return UnknownQueue(
        f"there is no queue {name[:60]!r}", hint="one of " + ", ".join(sorted(config.known_queues()))
    )


def _no_schedule(name: str) -> UnknownSchedule:
    return UnknownSchedule(f"there is no schedule {name[:60]!r}", hint="GET /admin/jobs/schedules lists them")
