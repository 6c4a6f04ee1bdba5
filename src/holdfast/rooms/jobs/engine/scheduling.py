"""What time brings: jobs that are due, schedules, and what is past its time."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from holdfast.kernel.clock import Clock
from holdfast.rooms.jobs.engine.adding import Rows
from holdfast.rooms.jobs.engine.catalogue import Catalogue
from holdfast.rooms.jobs.engine.figures import Figures
from holdfast.rooms.jobs.rules import schedules
from holdfast.rooms.jobs.rules.problems import BadSchedule
from holdfast.rooms.jobs.rules.settings import DAY_S, Config
from holdfast.rooms.jobs.store.rows import NewJob, Schedule
from holdfast.rooms.jobs.store.store import Store
from holdfast.rooms.jobs.store.upkeep import Upkeep

logger = logging.getLogger("holdfast.jobs")

_PARTS = 20
"""Parts removed in one sweep; what is left waits for the next."""
_UNKNOWN_MS = 60_000
"""Pause of a schedule whose job is not known to this process; one that knows it may fire it meanwhile."""

_CHECK_MS = 60_000
"""Between two looks at whether the clock has come back."""


class Due:
    """Makes jobs available when their time has come."""

    def __init__(self, store: Store, clock: Clock, ring: Callable[[str], None], poll_s: float) -> None:
        self._store = store
        self._clock = clock
        self._ring = ring
        self._poll_s = poll_s
        self._sooner = asyncio.Event()
        self._next_ms: int | None = None

    def expect(self, run_at_ms: int) -> None:
        """A job is due then: look no later."""
        if self._next_ms is None or run_at_ms < self._next_ms:
            self._next_ms = run_at_ms
            self._sooner.set()

    async def run(self) -> None:
        """Look for ever, at what is due and at least every `poll_s`."""
        while True:
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._sooner.wait()
            self._sooner.clear()

    async def look(self) -> None:
        """Promote what is due now."""
        while True:
            self._next_ms = None
            due_ms = await self._store.next_due_ms()
            now_ms = int(self._clock.wall() * 1000)
            if due_ms is None or due_ms > now_ms:
                if due_ms is not None:
                    self._next_ms = due_ms if self._next_ms is None else min(self._next_ms, due_ms)
                return
            for queue in await self._store.promote(now_ms):
                self._ring(queue)

    def _pause_s(self) -> float:
        if self._next_ms is None:
            return self._poll_s
        return min(self._poll_s, max(0.001, self._next_ms / 1000 - self._clock.wall()))


class Recurring:
    """Enqueues what schedules say, once over all processes: who moves one on enqueues, in one transaction."""

    def __init__(
        self, upkeep: Upkeep, catalogue: Catalogue, rows: Rows, clock: Clock, ring: Callable[[str], None]
    ) -> None:
        self._upkeep = upkeep
        self._catalogue = catalogue
        self._rows = rows
        self._clock = clock
        self._ring = ring
        self._later: dict[str, int] = {}
        self._checked_ms = 0

    async def look(self) -> int:
        """Fire what is due; how many jobs were enqueued."""
        now_ms = int(self._clock.wall() * 1000)
        count = 0
        if abs(now_ms - self._checked_ms) >= _CHECK_MS:
            self._checked_ms = now_ms
            await self._set_back(now_ms)
        for schedule in await self._upkeep.due_schedules(now_ms):
            if 0 < self._later.get(schedule.name, 0) - now_ms <= _UNKNOWN_MS:
                continue
            try:
                count += await self._fire(schedule, now_ms)
            except Exception:
                self._later[schedule.name] = now_ms + _UNKNOWN_MS
                logger.exception("the schedule %s could not be kept; it is tried again", schedule.name)
        return count

    async def _set_back(self, now_ms: int) -> None:
        """A clock that was ahead for a while left next times that would not come for as long."""
        for schedule in await self._upkeep.schedules():
            with suppress(BadSchedule):  # of another release: whoever fires it says so
                next_ms = schedules.set_back(
                    schedule.cron, schedule.zone, schedule.next_ms, schedule.last_ms, now_ms
                )
                if next_ms is not None:
                    await self._upkeep.set_back(schedule, next_ms)

    async def _fire(self, schedule: Schedule, now_ms: int) -> int:
        declared = self._catalogue.get(schedule.job)
        if declared is None:
            self._later[schedule.name] = now_ms + _UNKNOWN_MS
            return 0  # a process that knows the job will do it
        due = schedules.due(schedule.cron, schedule.zone, schedule.next_ms, now_ms, schedule.catch_up)
        payload = declared.decode_raw(schedule.payload)
        begun: list[NewJob] = [self._rows.make(declared, payload) for _ in due.times_ms]
        if not await self._upkeep.fire(schedule, due.next_ms, begun):
            return 0
        if begun:
            self._ring(begun[0].queue)
        return len(begun)


class Sweep:
    """Removes what is past its time, in small parts."""

    def __init__(self, config: Config, store: Store, upkeep: Upkeep, clock: Clock) -> None:
        self._config = config
        self._store = store
        self._upkeep = upkeep
        self._clock = clock

    async def look(self) -> int:
        """One sweep; how many jobs were removed."""
        now_ms = int(self._clock.wall() * 1000)
        for _ in range(_PARTS):
            if not await self._upkeep.drop_results(now_ms):
                break
        await self._store.drop_repeat_keys(now_ms - int(DAY_S * 1000))
        removed = 0
        for _ in range(_PARTS):
            count = await self._upkeep.drop_old(
                now_ms - int(self._config.keep_succeeded_s * 1000),
                now_ms - int(self._config.keep_failed_s * 1000),
            )
            removed += count
            if not count:
                break
        return removed


class Counting:
    """Looks at how long the queues are, for the metrics."""

    def __init__(self, upkeep: Upkeep, figures: Figures, workers: Callable[[], int]) -> None:
        self._upkeep = upkeep
        self._figures = figures
        self._workers = workers

    async def look(self) -> None:
        self._figures.lengths(await self._upkeep.lengths(), await self._upkeep.dead(), self._workers())
