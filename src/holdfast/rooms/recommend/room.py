"""Wiring of the recommend room."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Finding, Migration, Room, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.cache import Cache, NoCache
from holdfast.ports.flags import Flags, NoFlags
from holdfast.ports.services import EventLog, Meter
from holdfast.ports.storage import Sql
from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine import numeric
from holdfast.rooms.recommend.engine.release import Release
from holdfast.rooms.recommend.engine.verbs import Verbs
from holdfast.rooms.recommend.http import RecommendHttp, routes
from holdfast.rooms.recommend.rules.settings import Config as Config

if TYPE_CHECKING:
    from holdfast.rooms.recommend.engine.engine import Engine

logger = logging.getLogger("holdfast.recommend")

NOTHING_KEPT = NoCache()
NOTHING_RELEASED = NoFlags()
TRAINING_LOOK_S = 15.0
"""How often a process looks whether a training is due."""


class RecommendRoom(Room):
    """Recommends from what users did, what items say and what people declare.

    NumPy and SciPy are loaded by `start`, never by importing the room; without them `start` raises
    Misconfigured with the line to install.
    """

    name: ClassVar[str] = "recommend"
    migrations: ClassVar[Sequence[Migration]] = store.MIGRATIONS

    def __init__(
        self,
        config: Config,
        *,
        sql: Sql,
        log: EventLog,
        meter: Meter,
        clock: Clock,
        ids: IdSource,
        data_dir: Path,
        supervisor: Supervisor,
        cache: Cache = NOTHING_KEPT,
        flags: Flags = NOTHING_RELEASED,
    ) -> None:
        self.config = config
        self._release = Release(config, flags)
        self._cache = cache
        self.engine: Engine | None = None
        self._sql = sql
        self._log = log
        self._meter = meter
        self._clock = clock
        self._ids = ids
        self._data_dir = data_dir
        self._supervisor = supervisor
        self._running = False
        self._http = RecommendHttp(lambda: self.engine if self._running else None, config)
        self._verbs = Verbs(self.open, config, sql, clock)

    @staticmethod
    def missing() -> str:
        """Why the room cannot run here, with the line to install; empty when it can."""
        absent = numeric.missing()
        return f"needs {' and '.join(absent)}: {numeric.INSTALL}" if absent else ""

    def open(self) -> "Engine":
        """The engine, made on first use; it answers after its own `start`."""
        if self.engine is None:
            numeric.prepare()
            from holdfast.rooms.recommend.engine.engine import Engine

            self.engine = Engine(
                self.config,
                sql=self._sql,
                log=self._log,
                meter=self._meter,
                clock=self._clock,
                ids=self._ids,
                data_dir=self._data_dir,
                cache=self._cache,
                release=self._release,
            )
        return self.engine

    async def start(self) -> None:
        if self._running:
            return
        engine = self.open()
        await engine.start()
        self._running = True
        self._supervisor.every("recommend refresh", self.config.refresh_s, engine.refresh)
        if self.config.train:
            self._supervisor.every("recommend training", TRAINING_LOOK_S, engine.train_when_due)

    async def stop(self) -> None:
        if self._running and self.engine is not None:
            self._running = False
            await self.engine.stop()
            self.engine = None

    def routes(self) -> Sequence[Route]:
        return routes(self._http)

    def checks(self) -> Sequence[Check]:
        return (Check("recommend", self._state, engine=True),)

    def verbs(self) -> Sequence[Verb]:
        return self._verbs.all()

    async def _state(self) -> Finding:
        if self.engine is None or not self._running:
            return Finding("down", self.missing() or "not started")
        return await self.engine.state()
