"""Loads under way: one detached task a key and loop; whoever wants the value waits on a future of its own.

A waiter that is cancelled takes only its own future with it. The task runs in an empty context, so that
nothing of the request that happened to be first (trace, user, deadline) is seen by the factory, and the
table holds it, so that it cannot be collected under way.
"""

import asyncio
import contextvars
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.rules.problems import Recursion

Loop = asyncio.AbstractEventLoop
Outcome = Entry | Exception

_inside: ContextVar["Flight | None"] = ContextVar("holdfast_cache_flight", default=None)
"""The load that this code is part of: how a load that waits for itself is found."""
inside = _inside.get
"""That load, or None outside one."""


class Flight:
    """One load and those who wait for it."""

    __slots__ = (
        "arms",
        "born",
        "has_ended",
        "is_outdated",
        "key",
        "kind",
        "loop",
        "marks",
        "outcome",
        "tags",
        "task",
        "timer",
        "trace",
        "waiters",
        "waits_for",
        "was_killed",
        "was_shared",
    )

    def __init__(
        self,
        loop: Loop,
        key: str,
        kind: str,
        tags: tuple[str, ...],
        born: int,
        marks: int,
        arms: str = "",
    ) -> None:
        self.loop = loop
        self.key = key
        self.kind = kind
        self.tags = tags
        self.born = born
        self.marks = marks
        """How many markers were known when it began."""
        self.arms = arms
        """For which variants it is: what its factory asks of the cache is for the same ones."""
        self.waiters: set[asyncio.Future[Outcome]] = set()
        self.waits_for: set[Flight] = set()
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.outcome: Outcome | None = None
        self.trace: Any = None
        self.has_ended = False
        self.is_outdated = False
        """Something newer has been stored under the key: its value is for those who wait, not to be kept."""
        self.was_killed = False
        """A marker that came while it was under way concerns its value."""
        self.was_shared = False
        """Its value was found in the second tier."""

    def finish(self, outcome: Outcome) -> None:
        """Tell everyone who waits, once."""
        if self.has_ended:
            return
        self.has_ended = True
        self.outcome = outcome
        if isinstance(outcome, Exception):
            self.trace = outcome.__traceback__
        if self.timer is not None:
            self.timer.cancel()
        waiters, self.waiters = self.waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(outcome)

    async def wait(self, within_s: float | None) -> Outcome | None:
        """What came of it; None when that takes longer than `within_s`. Raises Recursion."""
        if self.outcome is not None:
            return self.outcome
        asking = _inside.get()
        if asking is not None:
            _refuse_circle(asking, self)
            asking.waits_for.add(self)
        future: asyncio.Future[Any] = self.loop.create_future()
        self.waiters.add(future)
        timer = None if within_s is None else self.loop.call_later(within_s, _give_up, future)
        try:
            outcome: Outcome | None = await future
        finally:
            self.waiters.discard(future)
            if timer is not None:
                timer.cancel()
            if asking is not None:
                asking.waits_for.discard(self)
        return outcome


def _give_up(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_result(None)


def _refuse_circle(asking: Flight, wanted: Flight) -> None:
    """Raise Recursion when `wanted` waits, directly or through others, for `asking`."""
    if asking.has_ended:
        return
    seen: set[Flight] = set()
    rest = [wanted]
    while rest:
        flight = rest.pop()
        if flight is asking:
            raise Recursion(
                f"the load of {asking.key!r:.100} waits for {wanted.key!r:.100}, which waits for it",
                hint="call the function behind the factory instead of asking the cache for the same key",
            )
        if flight not in seen:
            seen.add(flight)
            rest.extend(flight.waits_for)


class Flights:
    """The loads under way, by loop and key."""

    def __init__(self) -> None:
        self._by_loop: dict[Loop, dict[str, Flight]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return sum(len(flights) for flights in self._by_loop.values())

    def find(self, loop: Loop, key: str) -> Flight | None:
        flights = self._by_loop.get(loop)
        return None if flights is None else flights.get(key)

    def all_of(self, key: str) -> list[Flight]:
        """The loads of `key` on every loop."""
        return [flights[key] for flights in list(self._by_loop.values()) if key in flights]

    def open(self, flight: Flight) -> None:
        """From now on whoever asks for the key joins this load."""
        self._by_loop.setdefault(flight.loop, {})[flight.key] = flight

    def close(self, flight: Flight) -> None:
        """Nobody joins it any more; those who wait keep waiting. Nothing happens when it is not there."""
        flights = self._by_loop.get(flight.loop)
        if flights is not None and flights.get(flight.key) is flight:
            del flights[flight.key]
            if not flights:
                del self._by_loop[flight.loop]

    def run(self, flight: Flight, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start the work of a flight, in a context that knows only the flight."""
        context = contextvars.Context()
        context.run(_inside.set, flight)
        task = flight.loop.create_task(work, name="holdfast:cache-load", context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Cancel what runs on this loop and wait until it has ended, at most a second."""
        loop = asyncio.get_running_loop()
        mine = [task for task in self._tasks if task.get_loop() is loop]
        for task in mine:
            task.cancel()
        if mine:
            await asyncio.wait(mine, timeout=1.0)
