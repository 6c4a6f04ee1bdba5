"""What to claim next: free places of each queue, shared among the lanes that have work."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from holdfast.kernel.clock import Clock
from holdfast.rooms.jobs.rules import fairness, pacing
from holdfast.rooms.jobs.rules.settings import Queue
from holdfast.rooms.jobs.store.rows import Claimed, QueueRow
from holdfast.rooms.jobs.store.store import Store
from holdfast.rooms.jobs.store.upkeep import Upkeep

Ask = tuple[str, str, int]
"""Queue, lane, and most jobs to take of it."""

FRESH_S = 0.05
"""So old a look at a queue's lanes may be while they last; a new tenant waits no longer for its turn."""
IDLE_S = 0.02
"""Least pause between two looks at an empty queue when nobody said that something came into that one."""
_MANY = 256
"""Lanes that one look gives at most."""


class Line:
    """One queue, as this worker works it off."""

    def __init__(self, name: str, queue: Queue) -> None:
        self.name = name
        self.set = queue
        self.concurrency = queue.concurrency
        self.rate = pacing.parse_rate(queue.rate)
        self.paused = queue.paused
        self.is_open = False
        """Whether this process takes from it, as the engine in force says."""
        self.busy = 0
        self.lanes: list[str] = []
        self.stirred = True
        """Whether something may have come since the last look."""
        self.rung = False
        """Whether something has come."""
        self.looked_at = -FRESH_S
        self.served: dict[str, str] = {}
        self.wait_until = 0.0
        """Monotonic seconds at which the rate lets the next job start."""

    @property
    def free(self) -> int:
        return max(0, self.concurrency - self.busy) if self.is_open and not self.paused else 0

    def look_at(self) -> float:
        """Monotonic seconds of the next look that something which came allows."""
        if self.lanes:
            return self.looked_at + FRESH_S
        return 0.0 if self.rung else self.looked_at + IDLE_S

    def decide(self, row: QueueRow | None) -> None:
        """What an admin decided for it, or the settings where nothing was."""
        self.paused = self.set.paused if row is None else bool(row.paused)
        named = row.concurrency if row is not None else None
        self.concurrency = self.set.concurrency if named is None else named
        rate = row.rate if row is not None else None
        self.rate = pacing.parse_rate(self.set.rate if rate is None else rate)


class Claims:
    """The queues of one worker."""

    def __init__(self, queues: Mapping[str, Queue], store: Store, upkeep: Upkeep, clock: Clock) -> None:
        self.lines = {name: Line(name, queue) for name, queue in queues.items()}
        self._store = store
        self._upkeep = upkeep
        self._clock = clock

    def stir(self, topic: str) -> bool:
        """Something came into queue `topic`, or into any (what is no queue); whether a place is free."""
        line = self.lines.get(topic)
        if line is not None:
            line.stirred = line.rung = True
            return line.free > 0
        found = False
        for each in self.lines.values():
            each.stirred = True
            found = found or each.free > 0
        return found

    def begun(self, queue: str) -> None:
        line = self.lines.get(queue)
        if line is not None:
            line.busy += 1

    def ended(self, queue: str) -> None:
        line = self.lines.get(queue)
        if line is not None:
            line.busy -= 1

    async def refresh(self) -> None:
        """Take over what admins decided."""
        rows = await self._upkeep.queues()
        for name, line in self.lines.items():
            line.decide(rows.get(name))

    async def plan(self) -> list[Ask]:
        """What to ask for now; looks at queues that have a place and something new."""
        for line in self.lines.values():
            now = self._clock.monotonic()
            if line.free > 0 and now >= line.wait_until and line.stirred and now >= line.look_at():
                line.stirred = line.rung = False  # before the look: what comes during it stirs again
                line.looked_at = now
                line.lanes = await self._look(line)
        # After the looks, because they take a while: places that came free meanwhile are asked for, too, in
        # the transaction that writes what ended. Otherwise every other turn would be one of each alone.
        asks: list[Ask] = []
        for line in self.lines.values():
            if line.lanes and line.free > 0 and self._clock.monotonic() >= line.wait_until:
                asks += await self._of(line)
        return asks

    def took(self, asks: Sequence[Ask], taken: Sequence[Claimed]) -> bool:
        """Learn from what came; whether there may be more at once."""
        counts: dict[tuple[str, str], int] = {}
        for job in taken:
            key = (job.queue, job.lane)
            counts[key] = counts.get(key, 0) + 1
        for queue, lane, most in asks:
            line = self.lines[queue]
            if counts.get((queue, lane), 0) < most and lane in line.lanes:
                line.lanes.remove(lane)
        return any(line.lanes and line.free > 0 for line in self.lines.values())

    async def give_back(self, asks: Sequence[Ask], taken: Sequence[Claimed]) -> None:
        """Return to the rates what was granted for places and no job came for."""
        left: dict[str, int] = {}
        for queue, _, most in asks:
            left[queue] = left.get(queue, 0) + most
        for job in taken:
            left[job.queue] = left.get(job.queue, 0) - 1
        for queue, count in left.items():
            line = self.lines[queue]
            if count > 0 and line.rate is not None:
                rate, now_ms = line.rate, int(self._clock.wall() * 1000)
                rule = partial(_returned, count, now_ms, rate)
                await self._upkeep.pace(queue, rule)
                line.wait_until = 0.0

    def next_at(self) -> float | None:
        """Monotonic seconds at which there is something to plan, if nothing happens before; None: never."""
        found: float | None = None
        for line in self.lines.values():
            if line.free <= 0 or not (line.lanes or line.stirred):
                continue
            at = line.look_at() if line.stirred and not line.lanes else line.looked_at
            at = max(at, line.wait_until)
            found = at if found is None else min(found, at)
        return found

    async def _of(self, line: Line) -> list[Ask]:
        slots = line.free
        if line.rate is not None:
            slots = await pace(line, slots, self._upkeep, self._clock)
        if slots <= 0:
            return []
        shares = fairness.share(slots, line.lanes, line.served)
        line.served = shares.last
        return [(line.name, lane, most) for lane, most in shares.given.items()]

    async def _look(self, line: Line) -> list[str]:
        lanes = await self._store.lanes(line.name)
        if len(lanes) == _MANY:
            # More tenants than one look shows: those behind the one served last, then those from the front.
            level = lanes[0][:3]
            last = line.served.get(level, level)
            lanes += await self._store.lanes(line.name, after=last, below=f"{level}\U0010ffff")
            line.stirred = True
        return lanes


class Unanswered:
    """Tells claims whose answer was lost from those whose answer is on its way.

    A commit is seen by others before its answer is here: by seconds, where the disk is slow and the log is
    written back behind it. What is given back meanwhile is run twice.
    """

    def __init__(self) -> None:
        self._asked_total = 0
        self._asking: set[int] = set()
        self._unknown: dict[tuple[str, int], frozenset[int]] = {}
        """What the ledger says is held and nobody here knows, and what was asked when it first said so."""

    @contextmanager
    def asking(self) -> Iterator[None]:
        """From before a claim is asked for until what it gave is known here."""
        self._asked_total += 1
        number = self._asked_total
        self._asking.add(number)
        try:
            yield
        finally:
            self._asking.discard(number)

    def lost(self, unknown: set[tuple[str, int]]) -> set[tuple[str, int]]:
        """Which of these were heard of before, and not because of an answer that is still on its way."""
        before, now = self._unknown, frozenset(self._asking)
        self._unknown = {claim: before.get(claim, now) for claim in unknown}
        return {claim for claim in unknown if claim in before and before[claim].isdisjoint(now)}


def _returned(count: int, now_ms: int, rate: pacing.Rate, tat_ms: float) -> tuple[int, float]:
    return 0, pacing.give_back(count, tat_ms, now_ms, rate)


async def pace(line: Line, wanted: int, upkeep: Upkeep, clock: Clock) -> int:
    """Starts that the queue's rate allows now, over all workers."""
    rate, now_ms = line.rate, int(clock.wall() * 1000)
    assert rate is not None
    given: list[pacing.Grant] = []

    def rule(tat_ms: float) -> tuple[int, float]:
        given[:] = [pacing.grant(wanted, tat_ms, now_ms, rate)]
        return given[0].granted, given[0].tat_ms

    granted = await upkeep.pace(line.name, rule)
    retry_at_ms = given[0].retry_at_ms
    if retry_at_ms is not None:
        line.wait_until = clock.monotonic() + (retry_at_ms - now_ms) / 1000
    return granted
