"""Wiring of the jobs room."""

import random
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Finding, Migration, Room, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import EventLog, Meter
from holdfast.rooms.jobs.engine.admin import Admin
from holdfast.rooms.jobs.engine.crew import SERVER, VERB, Crew
from holdfast.rooms.jobs.engine.dead_letters import DeadLetters
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

    `sql` is the ledger, started and stopped with the ground; the openers give further connections to it.
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
            durable=durable,
            has_broker=self.celery is not None,
        )
        self._served = Served(engine, self.admin, StreamFigures(meter), config.heartbeat_s)
        self._dead_letters = DeadLetters(engine.history, clock, config.dead_alert)
        self._sql = sql
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
        return routes(JobsHttp(lambda: self._served if self._running else None))

    def verbs(self) -> Sequence[Verb]:
        return Verbs(self.engine, self.admin).all()

    def checks(self) -> Sequence[Check]:
        found = [Check("jobs", self._state), self._dead_letters.check()]
        return [*found, Check("jobs broker", self.celery.state)] if self.celery is not None else found

    async def _state(self) -> Finding:
        """Degraded where nobody works a queue off; down without the ledger."""
        if not self._running:
            return Finding("down", "not started")
        await self._sql.ping()
        alive, facts = self.crew.state()
        if not alive and self.crew.kind != VERB:  # a command has not looked who is alive
            return Finding("degraded", "no worker is alive: jobs are kept, and none is begun", facts)
        return Finding(facts=facts)


def _broker(config: Config, url: str) -> str:
    """The broker's URL, where there is one to speak to or the engine needs one; raises Misconfigured."""
    given = config.broker_url.reveal()
    if not given and config.engine != CELERY:
        return ""
    if find_spec("celery") is None:
        raise Misconfigured("the engine celery needs Celery", hint="pip install 'holdfast[celery]'")
    return broker_of(given, url)
