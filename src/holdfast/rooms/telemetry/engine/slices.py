"""Long work on the loop in short slices, so that a scrape never holds up a request."""

import asyncio

from holdfast.kernel.clock import Clock

SLICE_S = 0.0005


class Slices:
    """Counts the time since the loop last ran others: `if slices.over(): await slices.rest()`."""

    __slots__ = ("_budget_s", "_monotonic", "_until")

    def __init__(self, clock: Clock, budget_s: float = SLICE_S) -> None:
        self._monotonic = clock.monotonic
        self._budget_s = budget_s
        self._until = self._monotonic() + budget_s

    def over(self) -> bool:
        """Whether this slice has used its time."""
        return self._monotonic() >= self._until

    async def rest(self) -> None:
        """Let the loop serve whatever is ready, then begin a new slice."""
        await asyncio.sleep(0)
        self._until = self._monotonic() + self._budget_s
