"""News on one machine: doorbells for who rings, and a look at the write-ahead log for who does not.

Whoever commits appends to the log, so its stamp and size tell of what was written without a ring, or by
somebody whose ring was lost. A look is one system call of a microsecond or two in the loop: a thread that
asked SQLite (`PRAGMA data_version`) two hundred times a second took the interpreter from the loop each time.
What was written it cannot say, nor that it was not this process's own writer: so what is heard is "".
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.stores.doorbells import Doorbell
from holdfast.stores.ringing import Listeners, Ringing

logger = logging.getLogger("holdfast.stores")

POLL_S = 0.005
IDLE_POLL_S = 0.025
_RESTLESS = 200
"""Looks in vain before it takes the longer pause: a second."""


class SqliteBell:
    """The Bell port over a database file; None, a database in memory, has no other processes."""

    def __init__(self, path: Path | None, poll_s: float = POLL_S, idle_poll_s: float = IDLE_POLL_S) -> None:
        self._listeners = Listeners()
        self._ringing = Ringing(self._send)
        self._doorbell: Doorbell | None = None
        self._watch: _Watch | None = None
        if path is not None:
            self._doorbell = Doorbell(path.with_name(f"{path.name}-bells"), self._listeners.tell)
            log = path.with_name(f"{path.name}-wal")
            self._watch = _Watch(log, lambda: self._listeners.tell(("",)), poll_s, idle_poll_s)

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Whatever is written from now on is heard."""
        self._listeners.add(heard)
        if self._watch is not None and self._doorbell is not None and not self._watch.is_on:
            self._watch.start()
            try:
                self._doorbell.open()
            except OSError as error:
                logger.info("no doorbell in this process (%s): news is heard some milliseconds later", error)

    def ring(self, topic: str) -> None:
        """This process's own listeners, and the doorbells of the others."""
        self._ringing.ring(topic)

    async def close(self) -> None:
        self._ringing.stop()
        self._listeners.clear()
        if self._doorbell is not None:
            self._doorbell.close()
        if self._watch is not None:
            self._watch.stop()

    def _send(self, topics: Sequence[str]) -> None:
        self._listeners.tell(topics)
        if self._doorbell is not None:
            self._doorbell.ring(topics)


class _Watch:
    """Looks at a write-ahead log every few milliseconds, less often where nothing is written."""

    def __init__(self, log: Path, told: Callable[[], None], poll_s: float, idle_poll_s: float) -> None:
        self._log = log
        self._told = told
        self._poll_s = poll_s
        self._idle_poll_s = idle_poll_s
        self._seen: tuple[int, int, int] | None = None
        self._in_vain = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_on(self) -> bool:
        return self._timer is not None

    def start(self) -> None:
        """In the running loop."""
        self._seen = self._state()
        self._wait()

    def stop(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        pause_s = self._poll_s if self._in_vain < _RESTLESS else self._idle_poll_s
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._look)

    def _look(self) -> None:
        now = self._state()
        if now == self._seen:
            self._in_vain += 1
        else:
            self._seen, self._in_vain = now, 0
            self._told()
        self._wait()

    def _state(self) -> tuple[int, int, int] | None:
        """What changes with a commit; None where there is no log: nobody has the database open."""
        try:
            found = self._log.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
