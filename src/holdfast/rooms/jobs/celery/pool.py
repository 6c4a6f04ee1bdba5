"""One event loop in a thread for each process of Celery's pool: there the worker lives.

A pool of threads shares one; a process of a prefork pool has its own, begun after the fork.
"""

import asyncio
import contextlib
import importlib.util
import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from holdfast.kernel.errors import Misconfigured, Problem, unavailable
from holdfast.rooms.jobs.celery.taking import DROPPED, Taker, Took

logger = logging.getLogger("holdfast.jobs")

OpenTaker = Callable[[], AbstractAsyncContextManager[Taker]]
"""Starts whatever the jobs need, in the loop that enters it, and gives who takes them."""

_PAUSES_S = (0.5, 1.0, 2.0, 5.0)


class PoolProcess:
    """The worker of this process. `start` and `take` from any thread."""

    def __init__(self, open_taker: OpenTaker, give_up: Callable[[BaseException], None]) -> None:
        self._open_taker = open_taker
        self._give_up = give_up
        self._pid = 0
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._taker: Taker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._leaving: asyncio.Event | None = None
        self._parent_gone = -1

    def start(self, parent_gone: int = -1) -> None:
        """Begin, once in a process. At the end of the file `parent_gone` the worker drains."""
        with self._guard:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._parent_gone = parent_gone
            self._ready = threading.Event()
            self._taker = None
            self._thread = threading.Thread(target=self._live, name="holdfast-jobs", daemon=True)
            self._thread.start()

    def take(self, job_id: str) -> Took:
        """What became of the message for this job; blocks until the attempt has ended."""
        self.start()
        self._ready.wait()
        if self._taker is None or self._loop is None:
            raise unavailable("this worker is stopping", 1.0)
        taking = self._taker.take(job_id)
        try:
            return asyncio.run_coroutine_threadsafe(taking, self._loop).result()
        except RuntimeError:  # the loop has been closed
            taking.close()
            return Took(DROPPED)

    def drain(self) -> None:
        """Take no more, give what runs its grace, then give it back. Returns at once."""
        self._call(self._stopping)

    def stop(self, patience_s: float) -> None:
        """Drain and end everything; returns when it is done, or after `patience_s`."""
        if self._thread is None or self._pid != os.getpid():
            return
        self._call(self._stopping)
        self._call(self._leaving)
        self._thread.join(patience_s)

    def _call(self, event: asyncio.Event | None) -> None:
        if event is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(event.set)

    def _live(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._work())
        except BaseException as error:
            self._give_up(error)
            raise
        finally:
            self._taker = None
            self._ready.set()

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping, self._leaving = asyncio.Event(), asyncio.Event()
        if self._parent_gone >= 0:
            self._loop.add_reader(self._parent_gone, self._hear_parent)
        async with contextlib.AsyncExitStack() as stack:
            taker = await self._open(stack)
            if taker is None:
                return
            self._taker = taker
            self._ready.set()
            await self._stopping.wait()
            await taker.drain()
            await self._leaving.wait()

    async def _open(self, stack: contextlib.AsyncExitStack) -> Taker | None:
        """Until it can be opened: a worker may start before its database; None when it is to stop instead."""
        assert self._stopping is not None
        turn = 0
        while not self._stopping.is_set():
            try:
                return await stack.enter_async_context(self._open_taker())
            except Misconfigured:
                raise
            except Problem as problem:
                pause_s = _PAUSES_S[min(turn, len(_PAUSES_S) - 1)]
                logger.warning("the worker cannot start yet: %s", problem.line())
            turn += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
        return None

    def _hear_parent(self) -> None:
        """The other end of the pipe was closed: the parent shuts down, or is dead."""
        assert self._loop is not None
        assert self._stopping is not None
        self._loop.remove_reader(self._parent_gone)
        self._stopping.set()


def _loop_factory() -> Any:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop
