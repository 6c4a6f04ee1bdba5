"""News across machines: LISTEN and NOTIFY on one channel; the payload is the topic."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from operator import methodcaller
from typing import Any

from holdfast.kernel.errors import Problem
from holdfast.stores.postgres_standing import Standing
from holdfast.stores.ringing import Listeners, Ringing

CHANNEL = "holdfast"
_NOTIFY = "SELECT pg_notify($1, topic) FROM unnest($2::text[]) AS topic"


class PostgresBell:
    """The Bell port over a standing connection. Heard as "" once it is back: rings may have been missed."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._listeners = Listeners()
        self._ringing = Ringing(self._send)
        self._unsent: dict[str, None] = {}
        self._sending: asyncio.Task[None] | None = None
        self._may_have_missed = False
        """Whether rings may have been lost by the time a connection stands again."""
        standing.join(self._restore)

    async def listen(self, heard: Callable[[str], None]) -> None:
        """As the port says; while the server is away it is listened to as soon as it is back."""
        is_first = not len(self._listeners)
        self._listeners.add(heard)
        if is_first:
            try:
                await self._standing.ask(self._listen)
            except Problem:
                self._may_have_missed = True

    def ring(self, topic: str) -> None:
        """This process's own listeners at once, others by a NOTIFY; lost while the server is away."""
        self._ringing.ring(topic)

    async def close(self) -> None:
        self._ringing.stop()
        self._listeners.clear()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._standing.leave(self._restore)

    def _send(self, topics: list[str]) -> None:
        self._listeners.tell(topics)
        self._unsent.update(dict.fromkeys(topics))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._notify())

    async def _notify(self) -> None:
        while self._unsent:
            topics = list(self._unsent)
            self._unsent.clear()
            with suppress(Problem):
                await self._standing.ask(methodcaller("execute", _NOTIFY, CHANNEL, topics))

    async def _restore(self, connection: Any) -> None:
        if len(self._listeners):
            await self._listen(connection)
            if self._may_have_missed:
                self._listeners.tell([""])
        self._may_have_missed = True

    async def _listen(self, connection: Any) -> None:
        await connection.add_listener(CHANNEL, self._hear)

    def _hear(self, connection: Any, process_id: int, _: str, topic: str) -> None:
        if process_id != connection.get_server_pid():  # our own listeners were told without the server
            self._listeners.tell([topic])
