"""One server's clock, carried by our monotonic one between two looks at it."""

from collections import deque

from holdfast.kernel.clock import Clock

_LOOKS = 8
_SLACK_S = 0.001
"""How far two looks may contradict each other before the server's clock must have stepped."""


class ServerClock:
    """The time by the reference node. Of the last looks the one with the shortest round trip counts.

    The true offset lies within the round trip of each look (NTP, RFC 5905 section 10: the sample of
    least delay errs least). A look that contradicts it means that the server's clock was set.
    """

    __slots__ = ("_ahead_s", "_best_s", "_looks", "_wall", "monotonic")

    def __init__(self, clock: Clock) -> None:
        self.monotonic = clock.monotonic
        self._wall = clock.wall
        self._looks: deque[tuple[float, float]] = deque(maxlen=_LOOKS)
        self._ahead_s: float | None = None
        self._best_s = 0.0

    @property
    def round_trip_ms(self) -> float | None:
        """The round trip of the look that counts; None before the first."""
        return None if self._ahead_s is None else self._best_s * 1000

    def now_us(self, lean: int = 0) -> int:
        """Microseconds since the epoch; by our wall clock before the first look.

        The true time is at most half a round trip away: `lean` -1 is the earliest it can be, 1 the latest.
        """
        if self._ahead_s is None:
            return int(self._wall() * 1e6)
        return int((self.monotonic() + self._ahead_s + lean * self._best_s / 2) * 1e6)

    def heard(self, server_us: int, asked_at: float) -> None:
        """Take in what TIME said; `asked_at` is our monotonic time before it was sent."""
        now = self.monotonic()
        trip_s = max(now - asked_at, 0.0)
        ahead_s = server_us / 1e6 + trip_s / 2 - now
        if self._looks:
            distance_s = abs(ahead_s - self._looks[-1][1])
            if distance_s > (trip_s + self._looks[-1][0]) / 2 + _SLACK_S:
                self._looks.clear()
        self._looks.append((trip_s, ahead_s))
        self._best_s, self._ahead_s = min(self._looks)

    def forget(self) -> None:
        """Another node is the reference now; its first look replaces all of the former's."""
        self._looks.clear()
