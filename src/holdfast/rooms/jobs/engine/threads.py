"""Threads for plain functions: as many as are needed, none that a stuck one could starve."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from queue import SimpleQueue
from typing import Any

_IDLE = 32
"""Threads that wait for work; one that ends its work beyond these leaves."""


class Work:
    """One call, and who waits for it."""

    __slots__ = ("call", "context", "error", "value", "waiter")

    def __init__(self, context: Context, call: Callable[[], Any], waiter: asyncio.Future[None]) -> None:
        self.context = context
        self.call = call
        self.waiter = waiter
        self.value: Any = None
        self.error: BaseException | None = None


class Threads:
    """Runs calls in threads of its own.

    How many run at once is its callers' business: a thread that never comes back costs memory, and no place.
    """

    def __init__(self, name: str = "holdfast-job") -> None:
        self._name = name
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._waiting = 0
        """Threads without work, less the work that nobody has taken yet. Only in the loop."""
        self._made = 0
        self._at_work = 0
        self._rest = asyncio.Event()
        self._done: deque[Work] = deque()
        self._told = False
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, context: Context, call: Callable[[], Any]) -> Any:
        """What `call()` gives, in `context`. Cancelled, it leaves the thread to itself."""
        loop = self._loop = asyncio.get_running_loop()
        work = Work(context, call, loop.create_future())
        if self._waiting > 0:
            self._waiting -= 1
        else:
            self._made += 1
            # Daemons: a function that never ends must not keep the process from ending.
            threading.Thread(target=self._live, name=f"{self._name}-{self._made}", daemon=True).start()
        self._at_work += 1
        self._rest.clear()
        self._work.put(work)
        await work.waiter
        if work.error is not None:
            raise work.error
        return work.value

    async def quiet(self, patience_s: float) -> bool:
        """Wait until no call runs any more, left ones included; whether that came within `patience_s`."""
        if self._at_work and patience_s > 0.0:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._rest.wait()
        return not self._at_work

    def close(self) -> None:
        """Let the threads without work go; those at work leave when it ends."""
        self._closed = True
        for _ in range(max(0, self._waiting)):
            self._work.put(None)
        self._waiting = 0

    def _live(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work.value = work.context.run(work.call)
            except BaseException as error:  # noqa: BLE001 - carried over to the job's task, raised there
                work.error = error
            self._done.append(work)
            del work
            if not self._told:
                self._told = True
                loop = self._loop
                with suppress(RuntimeError):  # the loop has been closed: nobody waits
                    if loop is not None:
                        loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        """In the loop: settle all that came back meanwhile."""
        self._told = False
        while self._done:
            work = self._done.popleft()
            self._at_work -= 1
            if not work.waiter.done():
                work.waiter.set_result(None)
            if self._closed or self._waiting >= _IDLE:
                self._work.put(None)
            else:
                self._waiting += 1
        if not self._at_work:
            self._rest.set()
