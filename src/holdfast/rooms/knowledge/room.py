"""Wiring of the knowledge room."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Check, Finding, Migration, Room, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.jobs import Jobs
from holdfast.ports.model import Model, NoModel
from holdfast.ports.services import Meter
from holdfast.ports.storage import Sql
from holdfast.rooms.knowledge.engine.knowledge import Knowledge
from holdfast.rooms.knowledge.engine.verbs import Verbs
from holdfast.rooms.knowledge.http import KnowledgeHttp, routes
from holdfast.rooms.knowledge.rules.settings import Config as Config
from holdfast.rooms.knowledge.store.store import MIGRATIONS

ID_BYTES = 12
SECRET = partial(secrets.token_urlsafe, ID_BYTES)


class KnowledgeRoom(Room):
    """Takes documents in and answers from them with `model`."""

    name: ClassVar[str] = "knowledge"
    migrations: ClassVar[Sequence[Migration]] = MIGRATIONS

    def __init__(
        self,
        config: Config,
        *,
        sql: Sql,
        model: Model,
        jobs: Jobs,
        clock: Clock,
        meter: Meter,
        supervisor: Supervisor,
        data_dir: Path,
        secret: Callable[[], str] = SECRET,
    ) -> None:
        self.config = config
        self.engine = Knowledge(
            config,
            sql=sql,
            model=model,
            jobs=jobs,
            clock=clock,
            meter=meter,
            data_dir=data_dir,
            secret=secret,
        )
        self._supervisor = supervisor
        self._running = False
        self._http = KnowledgeHttp(lambda: self.engine if self._running else None)
        self._verbs = Verbs(lambda: self.engine)

    async def start(self) -> None:
        if not self._running:
            self._running = True
            self._supervisor.every("knowledge sweep", self.config.sweep_s, self.engine.sweep)

    async def stop(self) -> None:
        if self._running:
            self._running = False
            await self.engine.stop()

    def routes(self) -> Sequence[Route]:
        return routes(self._http)

    def checks(self) -> Sequence[Check]:
        return (Check("knowledge", self._state, engine=True),)

    def verbs(self) -> Sequence[Verb]:
        return self._verbs.all()

    async def _state(self) -> Finding:
        """Down without its database; without a model documents are found, but no question is answered."""
        states = await self.engine.store.states()
        facts: dict[str, Any] = {f"versions_{state}": count for state, (count, _) in sorted(states.items())}
        facts["questions_running"] = self.engine.answering.running
        facts["embedder"] = self.engine.legs.embeds.key or "none"
        if not self._running:
            return Finding("down", "not started", facts)
        if isinstance(self.engine.answering.model, NoModel):
            return Finding("degraded", "there is no model: leave `llm` in the setting `rooms`", facts)
        return Finding(facts=facts)
