"""When a wait is overload, who waits, and who is served next. Pure.

Two ideas of Facebook's "Fail at Scale" (2015) after Nichols and Jacobson's CoDel (2012): a wait is
overload only when it *stands*, for an interval without one short wait between; and then the short
deadline holds and the newest is served first, for the oldest have given up by the time they are reached.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

LEVELS = 4
"""Priorities, as the policies have them: 0 is kept longest, 3 gives way first."""
CRITICAL = 0

_CRITICAL_SLICES = 8
"""How many requests' work a critical request may find before it in one turn of the loop."""
_FALLING = 0.8
"""A wait this much shorter than the one before shows a queue that drains."""
_FEWEST = 4
"""Waits in a row before they stand: one handler that holds the loop for a second is no overload."""


def level_of(priority: int) -> int:
    """The priority as one of the levels.

    >>> level_of(-1), level_of(2), level_of(9)
    (0, 2, 3)
    """
    return 0 if priority < 0 else priority if priority < LEVELS else LEVELS - 1


def places(limit: float, reserve: float) -> list[int]:
    """How many may be inside before a request of each level finds no place; never none.

    Half of the reserve is for what is critical alone.

    >>> places(20.0, 0.4)
    [20, 16, 14, 12]
    """
    shares = (0.0, 0.5, 0.75, 1.0)
    return [max(1, int(limit * (1 - reserve * share) + 1e-9)) for share in shares]


class Standing:
    """Whether there is overload: `met` every wait, `refused` whoever was turned away for it."""

    __slots__ = ("_count", "_interval_s", "_last_s", "_refused_at", "_since", "overloaded")

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._since: float | None = None
        self._count = 0
        self._last_s = 0.0
        self._refused_at = 0.0
        self.overloaded = False

    def met(self, wait_s: float, limit_s: float, now: float) -> None:
        """A wait has ended; `limit_s` is what it may be at most to be a short one."""
        if self.overloaded:
            # Waits are short now because others are refused: that nobody had to be is the end of it.
            if now - self._refused_at > self._interval_s:
                self.overloaded = False
                self._since = None
                self._count = 0
            return
        if wait_s <= limit_s:
            self._since = None
            self._count = 0
            return
        if self._since is None:
            self._since = now - wait_s
        if wait_s < self._last_s * _FALLING:
            # What was piled up is being worked off: the work that comes is less than what is done.
            self._since, self._count = now, 0
        self._last_s = wait_s
        self._count += 1
        if self._count >= _FEWEST and now - self._since >= self._interval_s:
            self.overloaded = True
            self._refused_at = now

    def meets(self, age_s: float, limit_s: float, now: float) -> bool:
        """A wait goes on: overload already, if it is twice the long one before it; whether there is any."""
        if not self.overloaded and self._count and age_s > limit_s and age_s > 2 * self._last_s:
            self.overloaded = True
            self._refused_at = now
        return self.overloaded

    def declare(self, now: float) -> None:
        """There is overload, as somebody else has found."""
        if not self.overloaded:
            self.overloaded = True
            self._refused_at = now

    def refused(self, now: float) -> None:
        """Somebody was turned away because of the overload."""
        self._refused_at = now


class Waiter(msgspec.Struct, eq=False):
    """One request at the door. `seat` is what its caller waits on; `left` once it is out of the line."""

    level: int
    since: float
    expires: float
    seat: Any
    left: bool = False


class Line:
    """Who waits for one class of work: by level, within a level the oldest or the newest first."""

    __slots__ = ("_levels", "size")

    def __init__(self) -> None:
        self._levels: tuple[deque[Waiter], ...] = tuple(deque() for _ in range(LEVELS))
        self.size = 0
        """How many wait, without those that have left."""

    def join(self, waiter: Waiter) -> None:
        self._levels[waiter.level].append(waiter)
        self.size += 1

    def leave(self, waiter: Waiter) -> None:
        """Out of the line, for whatever reason; its place in the deque is cleared when it is reached."""
        if not waiter.left:
            waiter.left = True
            self.size -= 1
            self._trim(self._levels[waiter.level])

    def _trim(self, level: "deque[Waiter]") -> None:
        while level and level[0].left:
            level.popleft()
        while level and level[-1].left:
            level.pop()

    def serve(self, inside: int, places: list[int], *, newest: bool) -> Waiter | None:
        """The next that finds a place with `inside` taken, out of the line; None when nobody does."""
        for level in self._levels:
            if level:
                waiter = level[-1] if newest else level[0]
                if inside >= places[waiter.level]:
                    return None
                self.leave(waiter)
                return waiter
        return None

    def give_way(self, level: int, *, newest: bool) -> Waiter | None:
        """Whom a newcomer of `level` displaces from a full line: the oldest of the lowest priority.

        Of its own level only where the newest is served first; None when it has to go itself.
        """
        for below in range(LEVELS - 1, level if not newest else level - 1, -1):
            if self._levels[below]:
                waiter = self._levels[below][0]
                self.leave(waiter)
                return waiter
        return None

    def oldest_s(self, now: float) -> float:
        """How long the one that has waited longest has waited; 0 when nobody waits."""
        return max((now - level[0].since for level in self._levels if level), default=0.0)

    def expired(self, now: float, longest_s: float, *, everyone: bool) -> Iterator[Waiter]:
        """Whoever has waited `longest_s`, and is past its own deadline, each taken out of the line.

        `everyone` looks at all; otherwise only as far as nobody is found, which suffices between two looks.
        """
        for level in self._levels:
            if everyone:
                found = [one for one in level if not one.left and is_over(one, now, longest_s)]
                for waiter in found:
                    self.leave(waiter)
                    yield waiter
            else:
                while level and is_over(level[0], now, longest_s):
                    waiter = level[0]
                    self.leave(waiter)
                    yield waiter


def is_over(waiter: Waiter, now: float, longest_s: float) -> bool:
    """Whether it has waited its time."""
    return now >= waiter.expires or now - waiter.since >= longest_s


class Gate:
    """Who comes in while the event loop itself is behind: one short stretch of work a turn of the loop.

    In CPython a handler that computes never shows concurrency: what waits, waits in the loop's ready
    queue and in the sockets. `age_s`, how long this turn of the loop has gone on, is how long the
    request has waited at least.
    """

    __slots__ = ("_cut_until", "_interval_s", "_target_s", "cut")

    def __init__(self, target_s: float, interval_s: float) -> None:
        self._target_s = target_s
        self._interval_s = interval_s
        self.cut = LEVELS
        """The best level that has lately been refused: whoever is below it need not try."""
        self._cut_until = 0.0

    def lets_in(self, level: int, age_s: float, slice_s: float, after_brief: bool, now: float) -> bool:
        """Whether a request of `level` may still come in, `age_s` into the turn.

        `slice_s` is what one request holds the loop for. All but the critical only `after_brief`, a turn
        with hardly more than one request's work: after a long one the critical that came meanwhile are
        to be served first.
        """
        if now >= self._cut_until:
            self.cut = LEVELS
        if level > self.cut:
            return False
        if level == CRITICAL:
            return age_s <= _CRITICAL_SLICES * max(self._target_s, slice_s)
        return after_brief and age_s <= self._target_s

    def shut(self, level: int, now: float) -> None:
        """A request of `level` had to be refused."""
        if now >= self._cut_until or level < self.cut:
            self.cut = level
        self._cut_until = now + self._interval_s
