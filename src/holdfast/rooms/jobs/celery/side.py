"""What the room has of Celery: the app, the dispatcher of this process, and the taker of a worker's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from celery import Celery

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Finding
from holdfast.ports.services import Meter
from holdfast.rooms.jobs.celery.app import make_app
from holdfast.rooms.jobs.celery.broker import Broker
from holdfast.rooms.jobs.celery.dispatcher import Dispatcher
from holdfast.rooms.jobs.celery.taking import Taker
from holdfast.rooms.jobs.celery.working import Working
from holdfast.rooms.jobs.engine.crew import CELERY, Crew
from holdfast.rooms.jobs.engine.jobs import JobsEngine
from holdfast.rooms.jobs.rules import engines
from holdfast.rooms.jobs.store.telling import Telling


class CelerySide:
    """One a process, made where a broker is set; its dispatcher rests while another engine is in force."""

    def __init__(
        self,
        broker_url: str,
        engine: JobsEngine,
        crew: Crew,
        *,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self.app: Celery = make_app(broker_url, engine.config.served_queues())
        self.dispatcher: Dispatcher | None = None
        self._engine = engine
        self._crew = crew
        self._clock = clock
        self._meter = meter
        self._task: asyncio.Task[None] | None = None
        self._working: Working | None = None

    @property
    def is_in_force(self) -> bool:
        return self._crew.switching.engine == engines.CELERY

    async def state(self) -> Finding:
        """Degraded while the broker does not answer the process that tells it of jobs."""
        dispatcher = self.dispatcher
        facts = {"in_force": self.is_in_force, "leads": dispatcher is not None and dispatcher.leads}
        if self.is_in_force and dispatcher is not None and dispatcher.is_away:
            return Finding("degraded", "the broker is away: jobs are kept, and told of later", facts)
        return Finding(facts=facts)

    async def start(self) -> None:
        """Tell the broker of what is ready, if this process comes to lead. After the crew's start."""
        signals = self._crew.signals
        assert signals is not None
        config = self._engine.config
        self.dispatcher = Dispatcher(
            Broker(self.app),
            telling=Telling(self._engine.store.sql),
            upkeep=self._engine.upkeep,
            presence=signals.presence,
            clock=self._clock,
            meter=self._meter,
            queues=config.known_queues(),
            is_on=lambda: self.is_in_force,
            poll_s=config.poll_s,
        )
        await signals.bell.listen(self.dispatcher.wake)
        self._task = asyncio.create_task(self.dispatcher.run(), name="holdfast:jobs dispatcher")

    async def stop(self) -> None:
        """Tell no more. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self.dispatcher is not None:
            await self.dispatcher.close()
            self.dispatcher = None

    def work(self, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> Celery:
        """The app with its task; each process of a pool is started and stopped by these, in its own loop."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Taker]:
            await start()
            try:
                yield Taker(self._crew.worker, self._engine.store, self._clock, self._drain)
            finally:
                await stop()

        self._crew.become(CELERY)
        self._working = Working(self.app, opened, self._engine.config.grace_s)
        return self.app

    async def _drain(self) -> None:
        if self._crew.pulse is not None:
            self._crew.pulse.stopping = True
        await self._crew.worker.stop(self._engine.config.grace_s)
