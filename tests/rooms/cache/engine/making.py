"""Engines for tests: a clock that moves when told, chances that are known."""

import asyncio
import contextlib
from random import Random

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.ports.services import NoMeter
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.rules.kinds import KindSettings
from holdfast.rooms.cache.rules.settings import Config
from tests.waiting import until

PLAIN = KindSettings(jitter=0, early_beta=0)
"""Times are what they are said to be."""


class Middle(Random):
    """Draws the middle: no spread, and an early refresh only where it is half due."""

    def random(self):
        return 0.5


def make_engine(clock=None, *, kinds=None, meter=None, **settings):
    config = Config(kinds={"default": PLAIN, **(kinds or {})}, **settings)
    return CacheEngine(config, clock=clock or ManualClock(), meter=meter or NoMeter(), rng=Middle())


class Factory:
    """Gives 1, 2, 3, … or what it is told to; waits while `gate` is closed; counts its calls."""

    def __init__(self, *, is_open=True):
        self.calls = 0
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.gives = None
        self.raises = None
        self.cancelled = 0
        if is_open:
            self.gate.set()

    async def __call__(self):
        self.calls += 1
        number = self.calls
        self.begun.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.raises is not None:
            raise self.raises
        return number if self.gives is None else self.gives


async def settle(engine):
    """Let the loads under way end."""
    await until(lambda: not len(engine.flights))
    await asyncio.sleep(0)


@contextlib.contextmanager
def refused(problem):
    """`problem` is raised inside, and says what to do."""
    with pytest.raises(problem) as found:
        yield
    assert found.value.detail
    assert found.value.hint
