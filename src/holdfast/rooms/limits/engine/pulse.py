"""How far the event loop is behind, and how long its present turn has gone on."""

import asyncio
from collections.abc import Callable

PERIOD_S = 0.02
"""Seconds between two looks while there is traffic; none is taken without."""
_CALM_S = 1.0
"""Seconds without any delay after which the turns are no longer measured one by one."""
_READ_S = 0.0003
"""What reading one request costs the loop at most; a longer time between two turns was spent waiting."""
_BRIEF_SLICES = 1.5
"""A brief turn lasts so many requests at most."""
_SHARE = 0.1
"""The weight of the newest turn in what one admission costs the loop."""


class Pulse:
    """Measures the loop by calls that come late; `beat` is told of every delay.

    Without alarm that is one timer every 20 ms of traffic. Once one comes late the turns themselves are
    measured, from the first admission of a turn to the next turn. `now` gives monotonic seconds,
    `work` the seconds that this thread has run: on a shared or throttled core a turn may be long and
    have done little, and is not to be taken for a full one.
    """

    __slots__ = (
        "_alarm_s",
        "_asked",
        "_beat",
        "_brief_s",
        "_busy_since",
        "_due",
        "_ended_at",
        "_handle",
        "_is_busy",
        "_loop",
        "_now",
        "_quiet_at",
        "_work",
        "_work_at",
        "admitted",
        "after_brief",
        "alarmed",
        "is_calm",
        "is_running",
        "slice_s",
        "turn_at",
    )

    def __init__(
        self,
        now: Callable[[], float],
        work: Callable[[], float],
        brief_s: float,
        alarm_s: float,
        beat: Callable[[float, float, bool], None],
        is_busy: Callable[[], bool],
    ) -> None:
        self._now = now
        self._work = work
        self._work_at = 0.0
        self._brief_s = brief_s
        self._alarm_s = alarm_s
        self._beat = beat
        self._is_busy = is_busy
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._quiet_at = 0.0
        self._busy_since = self._ended_at = 0.0
        self._asked = 0
        self.is_running = False
        """Whether the timer stands."""
        self.alarmed = False
        self.is_calm = False
        """Whether it stands and nothing was late; a plain attribute, because every admission looks at it."""
        self.turn_at: float | None = None
        """When the first admission of this turn was asked for; None before it."""
        self.admitted = 0
        self.after_brief = True
        """Whether the turn before this one held hardly more than one request's work."""
        self.slice_s = 0.0
        """What one admission has lately held the loop for."""

    def start(self, now: float) -> None:
        """Look from now on, until there is no traffic."""
        self._loop = asyncio.get_running_loop()
        self._due = now + PERIOD_S
        self._handle = self._loop.call_later(PERIOD_S, self._look)
        self.is_running = True
        self.is_calm = not self.alarmed

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self.is_running = self.is_calm = False
        self._loop = None
        self.alarmed = False
        self.turn_at = None

    def _look(self) -> None:
        now = self._now()
        late_s = max(0.0, now - self._due)
        self._alarm(late_s, now)
        self._beat(late_s, now, False)
        if self._loop is not None and self._is_busy():
            self._due = now + PERIOD_S
            self._handle = self._loop.call_later(PERIOD_S, self._look)
        else:
            self._handle = None
            self.is_running = self.is_calm = False

    def _alarm(self, late_s: float, now: float) -> None:
        if late_s > self._alarm_s:
            if not self.alarmed:
                self.alarmed = True
                self.is_calm = False
                self._busy_since = self._ended_at = now
            self._quiet_at = now + _CALM_S
        elif self.alarmed and now > self._quiet_at:
            self.alarmed = False
            self.is_calm = self.is_running

    def age_s(self, now: float) -> float:
        """How long this turn has gone on; whoever asks first begins it. Asked while there is alarm."""
        self._asked += 1
        if self.turn_at is None:
            if self._loop is not None:
                self.turn_at = now
                self._work_at = self._work()
                self.admitted = 0
                self._asked = 1
                self._loop.call_soon(self._turned)
            return 0.0
        return now - self.turn_at

    def worked_s(self) -> float:
        """How much of this turn was work of ours: not the time in which the system ran somebody else."""
        return self._work() - self._work_at

    def busy_s(self, now: float) -> float:
        """How long the loop has not once had nothing to do, as far as the turns have been measured."""
        return now - self._busy_since if self.alarmed else 0.0

    def forget_busy(self, now: float) -> None:
        """Begin to measure anew how long the loop has been busy."""
        self._busy_since = now

    def _turned(self) -> None:
        if self.turn_at is None:
            return
        now = self._now()
        turn_s = now - self.turn_at
        if self.turn_at - self._ended_at > _READ_S * (self._asked + 1):
            self._busy_since = self.turn_at
        self._ended_at = now
        self.turn_at = None
        worked_s = self.worked_s()
        if self.admitted:
            self.slice_s += _SHARE * (worked_s / self.admitted - self.slice_s)
        self.after_brief = worked_s <= max(self._brief_s, _BRIEF_SLICES * self.slice_s)
        self._alarm(turn_s, now)
        self._beat(turn_s, now, True)
