"""A resilience room whose clock, waits, meter and log the test owns."""

import random
from collections import Counter

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.tasks import Supervisor
from holdfast.rooms.resilience.engine.figures import Figures
from holdfast.rooms.resilience.engine.guards import Guards
from holdfast.rooms.resilience.engine.recovery import Recovery
from holdfast.rooms.resilience.room import ResilienceRoom
from holdfast.rooms.resilience.rules.settings import Config, Dependency


class CountingMeter:
    """Adds up counters, keeps the last value of gauges and every measurement."""

    def __init__(self):
        self.counts = Counter()
        self.values = {}
        self.measured = []

    def counter(self, name, meaning, labels=()):
        return _Named(self, name)

    gauge = histogram = counter

    def watch(self, name, meaning, read):
        raise AssertionError("nothing is watched")


class _Named:
    def __init__(self, meter, name):
        self.meter, self.name = meter, name.removeprefix("holdfast_resilience_")

    def labels(self, *values):
        return _Line(self.meter, (self.name, *values))


class _Line:
    def __init__(self, meter, key):
        self.meter, self.key = meter, key

    def add(self, amount=1):
        self.meter.counts[self.key] += amount

    def set(self, value):
        self.meter.values[self.key] = value

    def observe(self, value, trace_id=""):
        self.meter.measured.append((self.key, value))


class Lines:
    """An event log that keeps what it gets."""

    def __init__(self):
        self.records = []

    def append(self, record):
        self.records.append(record)

    @property
    def messages(self):
        return [record.message for record in self.records]


class World:
    """Guards and recovery of one process; further worlds on the same states are further processes."""

    def __init__(self, states=None, clock=None, seed=0, **dependencies):
        self.clock = clock or ManualClock()
        self.meter, self.log = CountingMeter(), Lines()
        self.config = Config(
            dependencies={name: Dependency(**given) for name, given in dependencies.items()},
            share_budget_s=10.0,
        )
        self.figures = Figures(self.meter, self.clock)
        self.guards = Guards(
            self.config,
            clock=self.clock,
            figures=self.figures,
            log=self.log,
            rng=random.Random(seed),
            states=states,
            sleep=self.sleep,
        )
        self.recovery = Recovery(self.guards, self.figures, self.clock)

    async def sleep(self, seconds):
        self.clock.advance(seconds)

    def guard(self, name="pay"):
        return self.guards.guard(name)

    def state(self, name="pay"):
        return self.guards.report(name).state

    async def fail(self, times, name="pay"):
        for _ in range(times):
            try:
                await self.guard(name).call(gone)
            except OSError:
                continue
            raise AssertionError("it did not fail")

    async def told(self, name="pay"):
        await self.guards.known(name).sharing.told()

    async def look(self):
        await self.guards.shared.look()


def room_of(config=None, *, clock=None, shared=None, sql=None, meter=None, log=None):
    """A whole room, not started."""
    return ResilienceRoom(
        config or Config(),
        clock=clock or ManualClock(),
        meter=meter or CountingMeter(),
        log=log or Lines(),
        supervisor=Supervisor(),
        shared=shared,
        sql=sql,
        rng=random.Random(1),
    )


async def fine():
    return "fine"


async def gone():
    raise OSError("gone")
