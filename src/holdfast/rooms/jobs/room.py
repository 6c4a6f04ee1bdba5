"""Wiring of the jobs room."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Finding, Migration, Room
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import EventLog, Meter
from holdfast.rooms.jobs.engine.crew import SERVER, Crew
from holdfast.rooms.jobs.engine.figures import Figures
from holdfast.rooms.jobs.engine.jobs import JobsEngine
from holdfast.rooms.jobs.engine.pulse import Database, Signals
from holdfast.rooms.jobs.rules.settings import Config as Config
from holdfast.rooms.jobs.store import tables


class JobsRoom(Room):
    """Keeps jobs in a ledger of its own and works them off.

    `sql` is the ledger, started and stopped with the ground; `open_database` and `open_signals` give further
    connections to it, each for one event loop.
    """

    name: ClassVar[str] = "jobs"
    migrations: ClassVar[Sequence[Migration]] = tables.MIGRATIONS

    def __init__(
        self,
        config: Config,
        *,
        sql: Database,
        open_database: Callable[[], Database],
        open_signals: Callable[[], Signals],
        data_dir: Path,
        clock: Clock,
        ids: IdSource,
        meter: Meter,
        log: EventLog,
        supervisor: Supervisor,
        kind: str = SERVER,
        durable: str = "",
        rng: random.Random | None = None,
    ) -> None:
        self.config = config
        figures = Figures(meter)
        self.engine = JobsEngine(config, sql=sql, clock=clock, ids=ids, figures=figures)
        self.crew = Crew(
            self.engine,
            kind=kind,
            data_dir=data_dir,
            open_database=open_database,
            open_signals=open_signals,
            clock=clock,
            ids=ids,
            log=log,
            figures=figures,
            supervisor=supervisor,
            draw=(rng or random.Random()).random,  # noqa: S311 - it spreads load, it guards nothing
            durable=durable,
        )
        self.engine.ring = self.crew.ring
        self._sql = sql
        self._running = False

    async def start(self) -> None:
        if self._running:
            return
        self._running = True
        self.engine.start()
        try:
            await self.crew.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._running:
            self._running = False
            await self.crew.stop()
            await self.engine.stop()

    def checks(self) -> Sequence[Check]:
        return (Check("jobs", self._state),)

    async def _state(self) -> Finding:
        """Degraded where nobody works a queue off; down without the ledger."""
        if not self._running:
            return Finding("down", "not started")
        await self._sql.ping()
        alive = self.crew.rescue.alive if self.crew.rescue is not None else []
        facts = {
            "engine": self.crew.switching.engine,
            "workers": len(alive),
            "running": len(self.crew.worker.running),
            "works_here": self.crew.worker.claiming,
        }
        if not alive:
            return Finding("degraded", "no worker is alive: jobs are kept, and none is begun", facts)
        return Finding(facts=facts)
