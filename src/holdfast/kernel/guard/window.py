"""Counts over the last seconds: calls, and how many of them were marked."""

from collections import deque

SLOTS = 10
_NEVER = -1e18
"""Before every clock's beginning, and finite: infinity has no quotient."""


class Window:
    """Two counts over `span_s` seconds, forgotten slot by slot. Whoever counts reads the clock.

    The present slot is two plain numbers, so that counting a call is one addition.
    """

    __slots__ = ("_calls_before", "_marked_before", "_slot_s", "_slots", "calls", "marked", "turns_at")

    def __init__(self, span_s: float) -> None:
        self._slot_s = span_s / SLOTS
        self._slots: deque[tuple[int, int]] = deque()
        self._calls_before = 0
        self._marked_before = 0
        self.calls = 0
        self.marked = 0
        self.turns_at = _NEVER
        """When the present slot ends; whoever counts at or after it calls `turn` first."""

    def turn(self, now: float) -> None:
        """Begin the slot that `now` is in and drop those that lie back further than the span."""
        passed = (now - self.turns_at) // self._slot_s + 1
        if passed >= SLOTS:
            self.clear()
            self.turns_at = now + self._slot_s
            return
        self._push(self.calls, self.marked)
        for _ in range(int(passed) - 1):
            self._push(0, 0)
        self.calls = self.marked = 0
        self.turns_at += passed * self._slot_s

    def totals(self, now: float) -> tuple[int, int]:
        """Calls and marked ones of the span that ends at `now`."""
        if now >= self.turns_at:
            self.turn(now)
        return self._calls_before + self.calls, self._marked_before + self.marked

    def clear(self) -> None:
        self._slots.clear()
        self._calls_before = self._marked_before = self.calls = self.marked = 0

    def _push(self, calls: int, marked: int) -> None:
        self._slots.append((calls, marked))
        self._calls_before += calls
        self._marked_before += marked
        if len(self._slots) >= SLOTS:
            old_calls, old_marked = self._slots.popleft()
            self._calls_before -= old_calls
            self._marked_before -= old_marked
