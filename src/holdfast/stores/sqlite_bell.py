"""News on one machine: a thread that asks SQLite whether another connection has written.

`PRAGMA data_version` reads one number of the shared WAL index, no page and no lock that a writer would wait
for. It cannot say what was written, nor that it was not this process's own writer: so what is heard is "".
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from holdfast.stores import sqlite_open
from holdfast.stores.ringing import Listeners, Ringing

POLL_S = 0.005
IDLE_POLL_S = 0.025
_RESTLESS = 200
"""Looks in vain before it takes the longer pause: a second. A wake-up costs ten times what the look does."""


class SqliteBell:
    """The Bell port over a database file; None, a database in memory, has no other processes."""

    def __init__(self, path: Path | None, poll_s: float = POLL_S, idle_poll_s: float = IDLE_POLL_S) -> None:
        self._path = path
        self._poll_s = poll_s
        self._idle_poll_s = idle_poll_s
        self._listeners = Listeners()
        self._ringing = Ringing(self._listeners.tell)
        self._stopping = False
        self._turn = asyncio.Lock()
        self._thread: threading.Thread | None = None

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Whatever is written from now on is heard; raises Misconfigured where the file cannot be read."""
        self._listeners.add(heard)
        async with self._turn:
            if self._path is not None and self._thread is None:
                await self._start(self._path)

    def ring(self, topic: str) -> None:
        """This process's own listeners; others hear what was written by themselves."""
        self._ringing.ring(topic)

    async def close(self) -> None:
        self._ringing.stop()
        self._listeners.clear()
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping = True
            await asyncio.to_thread(thread.join)

    async def _start(self, path: Path) -> None:
        connection = await asyncio.to_thread(
            sqlite_open.connect, path, synchronous="normal", patience_s=5.0, read_only=True
        )
        before = _version(connection)
        self._stopping = False
        self._thread = threading.Thread(
            target=self._watch,
            args=(connection, before, asyncio.get_running_loop()),
            name="holdfast-bell",
            daemon=True,
        )
        self._thread.start()

    def _watch(
        self, connection: sqlite3.Connection, before: int | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        in_vain = 0
        try:
            while not self._stopping:
                # An Event's wait would cost half as much again as the sleep; it ends soon enough.
                time.sleep(self._poll_s if in_vain < _RESTLESS else self._idle_poll_s)
                now = _version(connection)
                if now is None or now == before:
                    in_vain += 1
                    continue
                before, in_vain = now, 0
                try:
                    loop.call_soon_threadsafe(self._listeners.tell, ("",))
                except RuntimeError:  # the loop was closed without a close() of ours
                    return
        finally:
            connection.close()


def _version(connection: sqlite3.Connection) -> int | None:
    """None where the file is busy or failing: those who write to it say so themselves."""
    with suppress(sqlite3.Error):
        return int(connection.execute("PRAGMA data_version").fetchone()[0])
    return None
