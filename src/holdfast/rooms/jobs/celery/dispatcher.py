"""Tells the broker which jobs are ready, in fair order, and again what the broker has lost.

Every server process has one and one of them leads: whoever holds the lock `jobs-dispatcher`, which the kernel
or the database frees when its holder dies. Two that lead for a moment tell twice; what is told twice is
claimed once.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Conflict, Problem
from holdfast.ports.presence import Presence
from holdfast.ports.services import Meter
from holdfast.rooms.jobs.celery.broker import Broker
from holdfast.rooms.jobs.engine.claiming import Line, pace
from holdfast.rooms.jobs.rules import fairness, publishing
from holdfast.rooms.jobs.rules.publishing import Told
from holdfast.rooms.jobs.rules.settings import Queue
from holdfast.rooms.jobs.store.telling import Telling
from holdfast.rooms.jobs.store.upkeep import Upkeep

logger = logging.getLogger("holdfast.jobs")

LEADER = "jobs-dispatcher"
LOOK_S = 2.0
"""Between comparisons of the broker with the ledger."""
ADOPT_S = 10.0
"""Between looks for jobs that were enqueued for another engine."""
_REFILL_S = 0.05
"""Between looks at a window that was full."""
_PART = 100
_LONGEST_PAUSE_S = 5.0


class Window:
    """How many jobs of one queue the broker may hold, as fast as they are taken."""

    def __init__(self, most: int) -> None:
        self.size = min(publishing.LEAST, most)
        self.told = 0
        """Since the last look."""
        self._most = most
        self._outstanding = 0
        self._looked_at = float("-inf")

    def look(self, outstanding: int, now: float) -> None:
        passed_s = now - self._looked_at
        if passed_s < _REFILL_S:
            return
        taken = max(0, self._outstanding + self.told - outstanding)
        self.size = publishing.resized(self.size, outstanding, taken, passed_s, self._most)
        self.told, self._outstanding, self._looked_at = 0, outstanding, now


class Dispatcher:
    """Publishes what is ready, one leader over all processes."""

    def __init__(
        self,
        broker: Broker,
        *,
        telling: Telling,
        upkeep: Upkeep,
        presence: Presence,
        clock: Clock,
        meter: Meter,
        queues: Mapping[str, Queue],
        is_on: Callable[[], bool] = lambda: True,
        poll_s: float = 1.0,
        window: int = publishing.WINDOW,
    ) -> None:
        self._broker = broker
        self._telling = telling
        self._upkeep = upkeep
        self._presence = presence
        self._clock = clock
        self._is_on = is_on
        self._poll_s = poll_s
        self._lines = {name: Line(name, queue) for name, queue in queues.items()}
        self._windows = {name: Window(window) for name in queues}
        self._holds = False
        self._news = asyncio.Event()
        self._looked_at = self._adopted_at = self._stirred_at = float("-inf")
        self._away = False
        self._told_total = meter.counter(
            "holdfast_jobs_published_total", "Jobs that the broker was told of.", ("queue",)
        )
        self._again_total = meter.counter(
            "holdfast_jobs_republished_total", "Jobs told of again because the broker lost them.", ("queue",)
        )
        self._up = meter.gauge("holdfast_jobs_broker_up", "Whether the broker answers: 1 or 0.").labels()

    @property
    def is_away(self) -> bool:
        """Whether the broker did not answer when it was last asked."""
        return self._away

    @property
    def leads(self) -> bool:
        """Whether this process is the one that tells."""
        return self._holds

    def wake(self, topic: str = "") -> None:
        """Something may be ready in that queue, or in any."""
        for line in self._lines.values():
            line.stirred = line.stirred or topic in ("", line.name) or topic not in self._lines
        self._news.set()

    async def run(self) -> None:
        """Lead, or wait to lead; until it is cancelled."""
        pause_s = 0.5
        while True:
            self._news.clear()
            wait_s = self._poll_s
            try:
                if self._is_on() and await self._leads():
                    wait_s = await self.turn()
                    pause_s = 0.5
            except Exception as error:
                if isinstance(error, Problem):
                    logger.warning("jobs are not told of for now: %s", error.line())
                else:
                    logger.exception("a turn of the dispatcher failed; it goes on")
                await asyncio.sleep(pause_s)  # whatever is enqueued meanwhile: it would not get through
                wait_s, pause_s = 0.0, min(2 * pause_s, _LONGEST_PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._news.wait()

    async def close(self) -> None:
        await self._broker.close()

    async def _leads(self) -> bool:
        if not self._holds:
            try:
                await self._presence.hold(LEADER)
            except Conflict:
                return False
            self._holds = True
        return LEADER not in self._presence.lost()

    async def turn(self) -> float:
        """Tell of what is ready, and of what was lost when it is time to look; how long to rest then."""
        now = self._clock.monotonic()
        if now - self._adopted_at >= ADOPT_S:
            self._adopted_at = now
            await self._telling.adopt()
        if now - self._stirred_at >= self._poll_s:
            self._stirred_at = now
            for line in self._lines.values():
                line.stirred = True
        await self._refresh()
        outstanding = await self._telling.outstanding()
        rest_s = self._poll_s
        for line in self._lines.values():
            if not line.paused and (line.stirred or line.lanes):
                rest_s = min(rest_s, await self._fill(line, outstanding.get(line.name, 0)))
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            await self._compare(outstanding)
        return rest_s

    async def _refresh(self) -> None:
        """Take over what admins decided; what was dropped while a queue was paused is told of anew."""
        rows = await self._upkeep.queues()
        for name, line in self._lines.items():
            was_paused = line.paused
            line.decide(rows.get(name))
            if was_paused and not line.paused:
                line.stirred = await self._telling.untell(name) > 0 or line.stirred

    async def _fill(self, line: Line, outstanding: int) -> float:
        """Tell of as many as window and rate let in; seconds until it is worth another look."""
        window = self._windows[line.name]
        window.look(outstanding, self._clock.monotonic())
        room = publishing.room(outstanding, window.size)
        if room == 0:
            return _REFILL_S
        if line.wait_until > self._clock.monotonic():
            return line.wait_until - self._clock.monotonic()
        line.stirred = False  # before the look: what comes during it stirs again
        line.lanes = await self._telling.lanes(line.name)
        jobs = await self._next(line, room)
        if line.rate is not None and jobs:
            granted = await pace(line, len(jobs), self._upkeep, self._clock)
            jobs = jobs if granted == len(jobs) else await self._next(line, granted)
        if not jobs:
            return self._poll_s
        await self._tell(jobs)
        window.told += len(jobs)
        self._told_total.labels(line.name).add(len(jobs))
        # A lane may have had less than its share, and another one more: look again until there is nothing.
        return 0.0

    async def _next(self, line: Line, most: int) -> list[Told]:
        if not line.lanes or most <= 0:
            return []
        shares = fairness.share(most, line.lanes, line.served)
        line.served = shares.last
        return await self._telling.untold(line.name, list(shares.given.items()))

    async def _tell(self, jobs: list[Told]) -> None:
        for start in range(0, len(jobs), _PART):
            sent = await self._broker.publish(jobs[start : start + _PART])
            if sent.told:
                await self._telling.published(sent.told, self._now_ms())
            self._answered(sent.failure is None)
            if sent.failure is not None:
                raise sent.failure

    async def _compare(self, outstanding: Mapping[str, int]) -> None:
        names = [name for name, line in self._lines.items() if not line.paused and outstanding.get(name)]
        try:
            depths = await self._broker.depths(names)
        except Problem:
            self._answered(False)
            raise
        self._answered(True)
        for name in names:
            if depths[name] >= outstanding[name]:
                continue
            lost = publishing.to_repeat(await self._telling.told(name), depths[name], self._now_ms())
            if lost:
                logger.info("queue %s: %d jobs are told of again", name, len(lost))
                await self._tell(lost)
                self._again_total.labels(name).add(len(lost))

    def _answered(self, yes: bool) -> None:
        self._away = not yes
        self._up.set(1 if yes else 0)

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)
