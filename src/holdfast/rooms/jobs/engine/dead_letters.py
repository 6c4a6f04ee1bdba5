"""The alarm on dead letters: a line in the log once, and a degraded health check while it lasts."""

import logging

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Check, Finding
from holdfast.rooms.jobs.rules.growth import WINDOW_MS, Growth, judge
from holdfast.rooms.jobs.store.history import History

logger = logging.getLogger("holdfast.jobs")

EVERY_S = 15.0


class DeadLetters:
    """Looks whether dead letters grow."""

    def __init__(self, history: History, clock: Clock, threshold: int) -> None:
        """`threshold`: so many new ones within ten minutes are an alarm."""
        self._history = history
        self._clock = clock
        self._threshold = threshold
        self.growth = Growth()

    def check(self) -> Check:
        return Check("jobs dead letters", self.look, interval_s=EVERY_S)

    async def look(self) -> Finding:
        """Degraded while so many are new; what was replayed or discarded counts no more."""
        now_ms = int(self._clock.wall() * 1000)
        dead, new = await self._history.dead(now_ms - WINDOW_MS)
        self.growth = judge(self.growth, dead, new, self._threshold)
        if self.growth.said:
            logger.warning("%s", self.growth.said)
        facts = {"dead_letters": dead, "new_in_10_minutes": new}
        if self.growth.is_raised:
            return Finding("degraded", self.growth.detail, facts)
        return Finding(facts=facts)
