"""A fake provider for each test, whose pauses pass at once and are remembered."""

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.faults import FaultServer

from .asking import Naps


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(naps, clock):
    async with FaultServer(sleep=naps, clock=clock) as server:
        yield server
