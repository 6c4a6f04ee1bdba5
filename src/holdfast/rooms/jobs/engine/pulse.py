"""The heartbeat, in a thread with a loop and a connection of its own: a job that computes keeps its lease."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import encode_json
from holdfast.ports.presence import Bell, Presence
from holdfast.ports.storage import Ledger
from holdfast.rooms.jobs.store.rows import Worker
from holdfast.rooms.jobs.store.upkeep import Upkeep

logger = logging.getLogger("holdfast.jobs")

_RETRY_S = 0.5
_START_S = 30.0

Held = Mapping[str, tuple[int, bool]]
"""Of each job that the ledger says a worker holds: its fence, and whether it is to stop."""


class Database(Ledger, Protocol):
    """A ledger that can be opened and closed."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Signals(Protocol):
    """Who is alive, and who has news."""

    @property
    def presence(self) -> Presence: ...

    @property
    def bell(self) -> Bell: ...


class Pulse:
    """Keeps one worker alive in the ledger. Start it in the worker's loop.

    `heard` is called in that loop with each answer, and with what `mark()` was before the beat.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        open_database: Callable[[], Database],
        open_signals: Callable[[], Signals],
        clock: Clock,
        interval_s: float,
        lease_s: float,
        facts: Callable[[], dict[str, object]],
        mark: Callable[[], int],
        heard: Callable[[Held | None, int], None],
    ) -> None:
        self.worker = worker
        self.beaten_at = 0.0
        """Monotonic seconds at which the last beat that arrived was sent."""
        self.failures = 0
        """Beats in a row that did not arrive; a thread that has no turn, for a job computes, has none."""
        self.stopping = False
        self._open_database = open_database
        self._open_signals = open_signals
        self._clock = clock
        self._interval_s = interval_s
        self._lease_s = lease_s
        self._facts = facts
        self._mark = mark
        self._heard = heard
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ours: asyncio.AbstractEventLoop | None = None
        self._poke: asyncio.Event | None = None
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Take the lock, write the row, beat once; raises what kept it from that."""
        self._loop = asyncio.get_running_loop()
        self._end.clear()
        ready: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="holdfast-jobs-pulse", daemon=True
        )
        self._thread.start()
        async with asyncio.timeout(_START_S):
            await ready

    async def stop(self) -> None:
        """Beat no more, forget the worker if nothing runs under it, let go of its lock; idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._end.set()
        self.poke()
        await asyncio.to_thread(thread.join, _START_S)

    def poke(self) -> None:
        """Beat now: something was cancelled."""
        ours, poke = self._ours, self._poke
        if ours is not None and poke is not None:
            with suppress(RuntimeError):  # its loop has ended
                ours.call_soon_threadsafe(poke.set)

    @property
    def silent_s(self) -> float:
        """Seconds since the last beat that arrived was sent."""
        return self._clock.monotonic() - self.beaten_at

    def _run(self, ready: "asyncio.Future[None]") -> None:
        asyncio.run(self._live(ready))

    async def _live(self, ready: "asyncio.Future[None]") -> None:
        self._ours, self._poke = asyncio.get_running_loop(), asyncio.Event()
        database, signals = self._open_database(), self._open_signals()
        upkeep = Upkeep(database)
        try:
            try:
                await database.start()
                # The lock before the row: whoever sees the row may look at the lock.
                await signals.presence.hold(self.worker.id)
                await upkeep.register(self.worker)
                await self._beat(upkeep)
            except BaseException as error:  # noqa: BLE001 - raised in the task that called start()
                self._tell(ready, error)
                return
            self._tell(ready, None)
            await self._beats(upkeep, signals.presence)
            with suppress(Exception):  # then its row stays, and others rescue what it holds and remove it
                await upkeep.remove_worker(self.worker.id)
        finally:
            with suppress(Exception):
                await signals.presence.close()
            with suppress(Exception):
                await database.stop()

    async def _beats(self, upkeep: Upkeep, presence: Presence) -> None:
        assert self._poke is not None
        pause_s = self._interval_s
        while not self._end.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._poke.wait()
            self._poke.clear()
            if self._end.is_set():
                return
            try:
                await presence.free(())  # takes again what was lost on the way
                await self._beat(upkeep)
                self.failures = 0
                pause_s = self._interval_s
            except Exception as error:  # noqa: BLE001 - the database may be away; the lease decides what follows
                self.failures += 1
                logger.warning("the heartbeat of worker %s failed: %s", self.worker.id, error)
                pause_s = min(_RETRY_S, self._interval_s)

    async def _beat(self, upkeep: Upkeep) -> None:
        asked_at, mark = self._clock.monotonic(), self._mark()
        now_ms = int(self._clock.wall() * 1000)
        facts = encode_json(self._facts()).decode()
        until_ms = now_ms + int(self._lease_s * 1000)
        held = await upkeep.beat(self.worker.id, now_ms, until_ms, facts, stopping=self.stopping)
        if held is None:
            logger.warning("worker %s was taken for dead: it begins anew", self.worker.id)
            await upkeep.register(self.worker)
        self.beaten_at = asked_at
        assert self._loop is not None
        with suppress(RuntimeError):  # the worker's loop has ended
            self._loop.call_soon_threadsafe(self._heard, held, mark)

    def _tell(self, ready: "asyncio.Future[None]", error: BaseException | None) -> None:
        def settle() -> None:
            if ready.done():
                return
            if error is None:
                ready.set_result(None)
            else:
                ready.set_exception(error)

        assert self._loop is not None
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(settle)


def memory_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
