"""What the health room asks of jobs: whether they are worked off, and whether dead letters grow."""

import logging

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Check, Finding
from holdfast.rooms.jobs.rules.growth import WINDOW_MS, Growth, judge
from holdfast.rooms.jobs.store.history import History
from holdfast.rooms.jobs.store.upkeep import Upkeep

logger = logging.getLogger("holdfast.jobs")

EVERY_S = 15.0


class Checking:
    """Two checks. The alarm on dead letters is a line in the log once, and a degraded check while it
    lasts."""

    def __init__(
        self, history: History, upkeep: Upkeep, clock: Clock, threshold: int, patience_s: float
    ) -> None:
        self._history = history
        self._upkeep = upkeep
        self._clock = clock
        self._threshold = threshold
        self._patience_s = patience_s
        self.growth = Growth()

    def all(self) -> tuple[Check, ...]:
        return (
            Check("jobs", self.worked_off, engine=True, interval_s=EVERY_S),
            Check("jobs dead letters", self.dead_letters, interval_s=EVERY_S),
        )

    async def worked_off(self) -> Finding:
        """Degraded when a job that could begin waits and no worker is alive to take it."""
        now_ms = int(self._clock.wall() * 1000)
        workers = await self._upkeep.workers()
        alive = sum(worker.lease_until_ms >= now_ms for worker in workers)
        waiting, oldest_ms, running = 0, now_ms, 0
        for _, state, count, run_at_ms in await self._upkeep.lengths():
            if state == "available":
                waiting, oldest_ms = waiting + count, min(oldest_ms, run_at_ms)
            running += count if state == "running" else 0
        facts = {"workers": alive, "waiting": waiting, "running": running}
        if waiting and not alive and now_ms - oldest_ms > self._patience_s * 2000:
            return Finding(
                "degraded", f"{waiting} jobs wait and no worker is alive: start `holdfast worker`", facts
            )
        return Finding(facts=facts)

    async def dead_letters(self) -> Finding:
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
