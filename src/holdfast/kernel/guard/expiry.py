"""Ends what takes too long: one timer for everything that is under way, armed only when it must be.

`asyncio.timeout` costs a timer, a callback and two objects a call. Here a call that is watched puts one
record into a dictionary and takes it out again; the timer stands at the earliest end that was known when it
was armed, and when it fires it looks through the records, ends those that are over and arms itself anew.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock, SystemClock

INF = float("inf")


class Limit(msgspec.Struct, eq=False):
    """One watched stretch of one task. Nested ones of a task are linked, the innermost first."""

    task: "asyncio.Task[Any]"
    until: float
    """On the clock's monotonic seconds."""
    cancelling: int
    """Cancellations that the task had been asked for before."""
    outer: "Limit | None" = None
    expired: bool = False


class Expiry:
    """The watched stretches of one event loop. The clock is passed in; only the timer is the loop's."""

    __slots__ = ("_clock", "_now", "_timer", "armed_for", "loop", "watched")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now: Callable[[], float] = clock.monotonic
        self._timer: asyncio.TimerHandle | None = None
        self.watched: dict[asyncio.Task[Any], Limit] = {}
        """The innermost stretch of each task. Guards write here directly, on their fast path."""
        self.armed_for = INF
        self.loop: asyncio.AbstractEventLoop | None = None

    def enter(self, until: float) -> Limit:
        """Watch the running task until `leave`; when `until` passes first it is cancelled."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a time limit needs a running task")
        limit = Limit(task, until, task.cancelling(), self.watched.get(task))
        self.watched[task] = limit
        if until < self.armed_for or loop is not self.loop:
            self.arm(loop, until)
        return limit

    def leave(self, limit: Limit) -> bool:
        """Watch no longer. True when the time was over and nobody else has cancelled the task.

        In any order: a generator closed late may leave after what it was in. Takes our cancellation back.
        """
        self._unlink(limit)
        return limit.expired and limit.task.uncancel() <= limit.cancelling

    def _unlink(self, limit: Limit) -> None:
        task, watched = limit.task, self.watched
        inner = watched.get(task)
        if inner is limit:
            if limit.outer is None:
                del watched[task]
            else:
                watched[task] = limit.outer
            return
        while inner is not None:
            if inner.outer is limit:
                inner.outer = limit.outer
                return
            inner = inner.outer

    def remaining_s(self) -> float | None:
        """Seconds that the running task has left by the tightest of its limits; None without one."""
        limit = self.watched.get(asyncio.current_task())  # type: ignore[arg-type] # None is no key, and that is fine
        until = INF
        while limit is not None:
            until = min(until, limit.until)
            limit = limit.outer
        return None if until == INF else max(0.0, until - self._now())

    def arm(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        """Let the timer fire at `until`, if it does not fire before."""
        if until == INF:
            return
        if loop is not self.loop:
            # Another loop than last time (a test, a restart): what was watched there is gone with it.
            self.loop, self._timer, self.armed_for = loop, None, INF
            for task in [task for task in self.watched if task.get_loop() is not loop]:
                del self.watched[task]
        if self._timer is not None:
            self._timer.cancel()
        self.armed_for = until
        self._timer = loop.call_later(max(0.0, until - self._now()), self.sweep)

    def sweep(self) -> None:
        """End what is over and arm the timer for the next; the timer calls it, and a test's own task may."""
        now = self._now()
        earliest = INF
        for innermost in list(self.watched.values()):
            limit: Limit | None = innermost
            while limit is not None:
                if limit.expired:
                    pass
                elif limit.until <= now:
                    limit.expired = True
                    limit.task.cancel()
                elif limit.until < earliest:
                    earliest = limit.until
                limit = limit.outer
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.armed_for = None, INF
        if self.loop is not None and earliest < INF:
            self.arm(self.loop, earliest)


EXPIRY = Expiry(SystemClock())
"""What every guard on the machine's clock uses, so that one timer serves them all."""


def expiry_of(clock: Clock) -> Expiry:
    """The process's own for the machine's clock, a new one for any other."""
    return EXPIRY if isinstance(clock, SystemClock) else Expiry(clock)
