"""Supervised background tasks: named, restarted with growing pauses, stopped in order."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger("holdfast.tasks")

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


def has_failed(error: BaseException) -> bool:
    """Whether this ended the current work by itself, not because its caller or the process goes.

    A CancelledError in a task that nobody cancelled is the work's own (it awaits what was given up), and what
    a panic in Rust becomes is no Exception either.
    """
    if isinstance(error, asyncio.CancelledError):
        return not is_cancelled()
    return not isinstance(error, GeneratorExit | KeyboardInterrupt | SystemExit)


def is_cancelled() -> bool:
    """Whether somebody has cancelled the current task; outside a loop that cannot be told, and it may be."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    return task is not None and task.cancelling() > 0


class Supervisor:
    """Owns background work, so that no task dies unseen and none outlives the stop."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._stopping = asyncio.Event()
        self.restarts: dict[str, int] = {}

    def open(self) -> None:
        """Make ready for a start; a stopped supervisor may be opened again, in another loop."""
        self._stopping = asyncio.Event()

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the stop begins; streams and loops watch it."""
        return self._stopping

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run `work()` until it returns; after a failure run it again, pausing 0.5 s doubling to 30 s."""
        task = asyncio.create_task(self._supervise(name, work), name=f"holdfast:{name}")
        self._tasks[task] = name
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def every(self, name: str, interval_s: float, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run `work()` now and then every `interval_s` seconds after it ends; a failure skips one turn."""

        async def turns() -> None:
            while not self._stopping.is_set():
                try:
                    await work()
                except BaseException as error:
                    if not has_failed(error):
                        raise
                    self.restarts[name] = self.restarts.get(name, 0) + 1
                    logger.exception("background work %s failed; next try in %.3g s", name, interval_s)
                await self.pause(interval_s)

        return self.spawn(name, turns)

    async def pause(self, seconds: float) -> bool:
        """Wait `seconds` or until the stop begins; True when stopping."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await work()
                return
            except BaseException as error:
                if not has_failed(error):
                    raise
                self.restarts[name] = self.restarts.get(name, 0) + 1
                logger.exception("background task %s failed; restarting in %.3g s", name, pause_s)
            if await self.pause(pause_s):
                return
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def stop(self, grace_s: float) -> list[str]:
        """Ask every task to end, cancel what has not after `grace_s`; the names that had to be cancelled."""
        self._stopping.set()
        if not self._tasks:
            return []
        _, late = await asyncio.wait(list(self._tasks), timeout=grace_s)
        names = sorted(self._tasks.get(task, "?") for task in late)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1.0)
        return names
