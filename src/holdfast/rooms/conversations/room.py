"""Wiring of the conversations room."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Check, Finding, Migration, Room, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.flags import Flags, NoFlags
from holdfast.ports.model import Model, NoModel
from holdfast.ports.services import EventLog, Meter, NoEventLog
from holdfast.ports.storage import Sql
from holdfast.rooms.conversations.engine.engine import Conversations
from holdfast.rooms.conversations.engine.verbs import Verbs
from holdfast.rooms.conversations.http import ConversationsHttp, routes
from holdfast.rooms.conversations.rules.settings import Config as Config
from holdfast.rooms.conversations.store import tables

ID_BYTES = 18
"""144 random bits: of a caller whom nobody knows, the id is what gives access."""
NOTHING_RELEASED, NOWHERE = NoFlags(), NoEventLog()
SECRET = partial(secrets.token_urlsafe, ID_BYTES)


class ConversationsRoom(Room):
    """Keeps conversations and has their messages answered by `model`."""

    name: ClassVar[str] = "conversations"
    migrations: ClassVar[Sequence[Migration]] = tables.MIGRATIONS

    def __init__(
        self,
        config: Config,
        *,
        sql: Sql,
        clock: Clock,
        meter: Meter,
        supervisor: Supervisor,
        model: Model,
        flags: Flags = NOTHING_RELEASED,
        log: EventLog = NOWHERE,
        secret: Callable[[], str] = SECRET,
    ) -> None:
        self.config = config
        self.engine = Conversations(
            config,
            sql=sql,
            clock=clock,
            meter=meter,
            supervisor=supervisor,
            model=model,
            secret=secret,
            flags=flags,
            log=log,
        )
        self._supervisor = supervisor
        self._running = False
        self._http = ConversationsHttp(lambda: self.engine if self._running else None)
        self._verbs = Verbs(lambda: self.engine)

    async def start(self) -> None:
        if not self._running:
            self._running = True
            self._supervisor.every("conversations sweep", self.config.sweep_s, self.engine.sweep)

    async def stop(self) -> None:
        if self._running:
            self._running = False
            await self.engine.stop()

    def routes(self) -> Sequence[Route]:
        return routes(self._http)

    def checks(self) -> Sequence[Check]:
        return (Check("conversations", self._state, engine=True),)

    def verbs(self) -> Sequence[Verb]:
        return self._verbs.all()

    async def _state(self) -> Finding:
        """Down without its database; without a model every message is kept, and none is answered."""
        facts = {
            "conversations": await self.engine.store.count(),
            "answers_running": len(self.engine.runs.going),
            "answers_kept": self.engine.runs.kept,
        }
        if not self._running:
            return Finding("down", "not started", facts)
        if isinstance(self.engine.model, NoModel):
            return Finding("degraded", "there is no model: leave `llm` in the setting `rooms`", facts)
        return Finding(facts=facts)
