"""Wiring of the jobs room."""

import random
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
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
from holdfast.rooms.jobs.rules.brokers import broker_of
from holdfast.rooms.jobs.rules.engines import CELERY
from holdfast.rooms.jobs.rules.settings import Config as Config
from holdfast.rooms.jobs.store import tables

if TYPE_CHECKING:
    from holdfast.rooms.jobs.celery.side import CelerySide


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
        url: str = "",
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
        self.celery: CelerySide | None = None
        if broker := _broker(config, url):
            from holdfast.rooms.jobs.celery import side

            self.celery = side.CelerySide(broker, engine, self.crew, clock=clock, meter=meter)
        self.admin = Admin(
            config,
            upkeep=engine.upkeep,
            reading=engine.reading,
            clock=clock,
            ring=self.crew.ring,
            run_now=engine.run_now,
            durable=durable or None,
            has_broker=self.celery is not None,
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
            if self.celery is not None:
                await self.celery.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._running:
            self._running = False
            if self.celery is not None:
                await self.celery.stop()
            await self.crew.stop()
            await self.engine.stop()

    def routes(self) -> Sequence[Route]:
        return routes(self._http)

    def checks(self) -> Sequence[Check]:
        found = [*self._checking.all()]
        return [*found, Check("jobs broker", self.celery.state)] if self.celery is not None else found

    def verbs(self) -> Sequence[Verb]:
        return self._verbs.all()


def _broker(config: Config, url: str) -> str:
    """The broker's URL, where there is one to speak to or the engine needs one; raises Misconfigured."""
    given = config.broker_url.reveal()
    if not given and config.engine != CELERY:
        return ""
    if find_spec("celery") is None:
        raise Misconfigured("the engine celery needs Celery", hint="pip install 'holdfast[celery]'")
    return broker_of(given, url)
