"""Wiring of the jobs room."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Migration, Room, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import EventLog, Meter
from holdfast.rooms.jobs.engine.admin import Admin
from holdfast.rooms.jobs.engine.checking import Checking
from holdfast.rooms.jobs.engine.crew import SERVER, Crew
from holdfast.rooms.jobs.engine.figures import Figures
from holdfast.rooms.jobs.engine.jobs import JobsEngine
from holdfast.rooms.jobs.engine.pulse import Database, Signals
from holdfast.rooms.jobs.engine.stream import StreamFigures
from holdfast.rooms.jobs.engine.verbs import Verbs
from holdfast.rooms.jobs.http import JobsHttp, Served, routes
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
        self.engine = engine = JobsEngine(config, sql=sql, clock=clock, ids=ids, figures=figures)
        self.crew = Crew(
            engine,
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
        self.admin = Admin(
            config,
            upkeep=engine.upkeep,
            reading=engine.reading,
            clock=clock,
            ring=self.crew.ring,
            run_now=engine.run_now,
            durable=durable or None,
        )
        self._checking = Checking(engine.history, engine.upkeep, clock, config.dead_alert, config.patience_s)
        self._served = Served(
            reading=engine.reading,
            history=engine.history,
            watching=engine.watching,
            decisions=engine.decisions,
            admin=self.admin,
            figures=StreamFigures(meter),
            heartbeat_s=config.heartbeat_s,
        )
        self._http = JobsHttp(lambda: self._served if self._running else None)
        self._verbs = Verbs(lambda: engine.reading, lambda: engine.decisions, lambda: self.admin)
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

    def routes(self) -> Sequence[Route]:
        return routes(self._http)

    def checks(self) -> Sequence[Check]:
        return self._checking.all()

    def verbs(self) -> Sequence[Verb]:
        return self._verbs.all()
