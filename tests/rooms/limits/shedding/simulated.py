"""A server in simulated time: a real asyncio loop whose clock moves only by what is simulated.

Where nothing is ready the loop jumps to its next timer; a handler that computes moves the clock by
hand and so holds the loop, as it does in a process. What arrives meanwhile is ready in the next turn.
"""

import asyncio
import random
from dataclasses import dataclass, field

from holdfast.kernel.clock import ManualClock
from holdfast.ports.services import NoMeter
from holdfast.rooms.limits.engine.shedder import Place, Shedder
from holdfast.rooms.limits.rules.concurrency import Config
from holdfast.rooms.limits.rules.policy import CRITICAL, HIGH


class _Jump:
    """In place of a selector: waiting is moving the clock."""

    def __init__(self, clock):
        self.clock = clock

    def select(self, timeout):
        assert timeout is not None, "everything waits, and nothing will ever happen"
        self.clock.advance(timeout)
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self._selector = _Jump(clock)

    def time(self):
        return self.clock.monotonic()

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass


def pause(seconds):
    """A future that is done after simulated `seconds`."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_later(seconds, lambda: future.done() or future.set_result(None))
    return future


@dataclass
class Outcome:
    """What became of one request. `at` is when it was sent, not when the server first saw it."""

    at: float
    priority: int
    ok: bool
    latency_s: float


@dataclass
class World:
    """One simulated server; `handler` is what a request does inside."""

    handler: object
    seed: int = 1
    config: Config = field(default_factory=Config)
    guarded: bool = True
    parse_s: float = 0.0002
    refusal_s: float = 0.00006
    work: str = "call"

    def __post_init__(self):
        self.clock = ManualClock()
        self.loop = SimulatedLoop(self.clock)
        self.rng = random.Random(self.seed)
        self.shedder = Shedder(
            self.config, clock=self.clock, meter=NoMeter(), rng=random.Random(self.seed + 1)
        )
        self.outcomes = []
        self.loads = []

    @property
    def now(self):
        return self.clock.monotonic()

    def compute(self, seconds):
        """Hold the loop for `seconds`."""
        self.clock.advance(seconds)

    def run(self, *phases, high_share=0.1, gaps="poisson"):
        """Offer load in phases of (seconds, rate), then let the last ones end; the outcomes by phase."""
        return self.loop.run_until_complete(self._run(phases, high_share, gaps))

    async def _run(self, phases, high_share, gaps):
        found, tasks = [], []
        for seconds, rate in phases:
            self.outcomes = outcomes = []
            found.append(outcomes)
            at, end = self.now, self.now + seconds
            while True:
                at += self.rng.expovariate(rate) if gaps == "poisson" and rate else 1 / (rate or 1e-9)
                if at >= end:
                    break
                if at > self.now:
                    await pause(at - self.now)
                priority = CRITICAL if self.rng.random() < high_share else HIGH
                tasks.append(self.loop.create_task(self._request(at, priority, outcomes)))
                self.loads.append(self.shedder.load)
            if end > self.now:
                await pause(end - self.now)
        await asyncio.gather(*tasks)
        return found

    async def _request(self, at, priority, outcomes):
        if self.guarded:
            place = self.shedder.enter(self.work, priority)
            if asyncio.isfuture(place) or asyncio.iscoroutine(place):
                place = await place
            if not isinstance(place, Place):
                self.compute(self.refusal_s)
                outcomes.append(Outcome(at, priority, False, self.now - at))
                return
        self.compute(self.parse_s)
        try:
            await self.handler(self)
        finally:
            if self.guarded:
                self.shedder.leave(place)
        outcomes.append(Outcome(at, priority, True, self.now - at))


def pool(slots, service, cpu_s=0.0):
    """A handler over a backend of `slots` connections; `service(rng)` gives the seconds of one call."""
    free = {}

    async def handler(world):
        if cpu_s:
            world.compute(cpu_s)
        semaphore = free.setdefault(id(world), asyncio.Semaphore(slots))
        async with semaphore:
            await pause(service(world.rng))

    return handler


def endless(service):
    """A handler over a backend that takes any number at once."""

    async def handler(world):
        await pause(service(world.rng))

    return handler


def computing(seconds):
    """A handler that holds the loop; `seconds` may be a function of the world's chance."""

    async def handler(world):
        world.compute(seconds(world.rng) if callable(seconds) else seconds)

    return handler


def refused(outcomes):
    return sum(not one.ok for one in outcomes)


def goodput(outcomes, within_s, seconds):
    """Answers in time, a second."""
    return sum(one.ok and one.latency_s <= within_s for one in outcomes) / seconds


def p99(outcomes, priority=None):
    found = sorted(
        one.latency_s for one in outcomes if one.ok and (priority is None or one.priority == priority)
    )
    return found[min(len(found) - 1, int(len(found) * 0.99))] if found else float("inf")
