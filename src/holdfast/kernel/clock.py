"""Time, passed in: monotonic seconds for durations, epoch seconds for stamps."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where everything in Holdfast reads the time, so that a test can own it."""

    monotonic: Callable[[], float]
    """Seconds that never step back; only differences mean anything."""

    wall: Callable[[], float]
    """Seconds since the epoch, UTC; may step when an operator or NTP moves the clock."""


class SystemClock:
    """The machine's own clocks, bound as builtins so that the hot path pays no Python call."""

    monotonic = staticmethod(time.perf_counter)
    wall = staticmethod(time.time)


class ManualClock:
    """A clock that moves only when told, for tests."""

    def __init__(self, wall_s: float = 1_750_000_000.0, monotonic_s: float = 1_000.0) -> None:
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s

    def monotonic(self) -> float:
        return self._monotonic_s

    def wall(self) -> float:
        return self._wall_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self._wall_s += seconds
        self._monotonic_s += seconds

    def step_wall(self, seconds: float) -> None:
        """Move the wall clock alone, as an operator or NTP would; negative steps back."""
        self._wall_s += seconds


class Stamps:
    """ISO 8601 UTC stamps with milliseconds; what two stamps share is formatted once.

    >>> Stamps().iso(1750000000.25)
    '2025-06-15T15:06:40.250Z'
    """

    __slots__ = ("_millisecond", "_prefix", "_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._millisecond = -1
        self._prefix = ""
        self._text = ""

    def iso(self, wall_s: float) -> str:
        millisecond = int(wall_s * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second, rest = divmod(millisecond, 1000)
            if second != self._second:
                self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
                self._second = second
            self._text = f"{self._prefix}{rest:03d}Z"
        return self._text
