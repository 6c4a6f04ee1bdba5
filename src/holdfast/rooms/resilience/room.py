"""Wiring of the resilience room."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Check, Migration, Room, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import EventLog, Meter
from holdfast.ports.shared import Shared
from holdfast.ports.storage import Sql
from holdfast.rooms.resilience.engine.figures import Figures
from holdfast.rooms.resilience.engine.guards import Guards
from holdfast.rooms.resilience.engine.recovery import Recovery
from holdfast.rooms.resilience.engine.sharing import States
from holdfast.rooms.resilience.engine.verbs import Verbs
from holdfast.rooms.resilience.http import ResilienceHttp, routes
from holdfast.rooms.resilience.rules.settings import Config as Config
from holdfast.rooms.resilience.store import sql as tables
from holdfast.rooms.resilience.store.redis import CHANNEL, RedisStates
from holdfast.rooms.resilience.store.sql import SqlStates

PUBLISH_EVERY_S = 1.0


class ResilienceRoom(Room):
    """Guards every call that leaves the process, watches what failed, and brings it back.

    States of dependencies with `shared = true` go through `shared` when it is given, else through `sql`;
    with neither each process stands alone.
    """

    name: ClassVar[str] = "resilience"
    migrations: ClassVar[Sequence[Migration]] = tables.MIGRATIONS

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        meter: Meter,
        log: EventLog,
        supervisor: Supervisor,
        shared: Shared | None,
        sql: Sql | None,
        rng: random.Random,
    ) -> None:
        self.config = config
        self._shared = shared
        self._supervisor = supervisor
        self._figures = Figures(meter, clock)
        states: States | None = None
        if shared is not None:
            states = RedisStates(shared)
        elif sql is not None:
            states = SqlStates(sql, clock.monotonic)
        self.guards = Guards(config, clock=clock, figures=self._figures, log=log, rng=rng, states=states)
        self._recovery = Recovery(self.guards, self._figures, clock)
        self._http = ResilienceHttp(self.guards)
        self._verbs = Verbs(self.guards)
        self._leave: Callable[[], None] | None = None
        self._running = False

    async def start(self) -> None:
        if self._running:
            return
        self._running = True
        self._supervisor.every("resilience figures", PUBLISH_EVERY_S, self._figures.publish)
        self._supervisor.every("resilience recovery", self.config.probe_every_s, self._recovery.turn)
        if self.guards.shared is not None and self.config.shares:
            self._supervisor.every("resilience states", self.config.share_every_s, self.guards.shared.look)
            if self._shared is not None:
                self._leave = self._shared.subscribe(CHANNEL, self.guards.shared)

    async def stop(self) -> None:
        if not self._running:
            return
        self._running = False
        if self._leave is not None:
            self._leave()
            self._leave = None
        if self.guards.shared is not None:
            await self.guards.shared.stop()
        await self._figures.publish()

    def routes(self) -> Sequence[Route]:
        return routes(self._http)

    def checks(self) -> Sequence[Check]:
        """One for each declared dependency, and one for all that code has added."""
        declared = [
            Check(f"dependency {name}", partial(self.guards.finding, name))
            for name in self.config.dependencies
        ]
        return (*declared, Check("dependencies added by code", self.guards.late))

    def verbs(self) -> Sequence[Verb]:
        return self._verbs.all()
