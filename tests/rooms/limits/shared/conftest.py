"""Nodes of the shared ledger on real servers."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path

import pytest

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.engine.shared import SharedLedger
from holdfast.rooms.limits.rules.leasing import Sharing
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config

PATIENT = Config(budget_ms=5_000)
"""For tests of what a healthy server says: a busy machine is no outage."""

EXACT = Sharing(lease_share=0.0)

NewNode = Callable[..., Awaitable[SharedLedger]]


def ledger_over(
    shared, clock: Clock, sharing: Sharing, node_id: str, seed: int = 7, max_entries: int = 200_000
) -> SharedLedger:
    return SharedLedger(
        shared,
        clock=clock,
        local=LocalLedger(clock.monotonic, max_entries=max_entries),
        config=sharing,
        rng=random.Random(seed),
        node_id=node_id,
    )


@pytest.fixture
async def new_node() -> AsyncIterator[NewNode]:
    """Start a node: `await new_node(url, sharing=..., clock=..., driver=...)`, with its `node.driver`."""
    started: list[RedisShared] = []
    numbers = count(1)

    async def start(url, sharing=EXACT, clock=None, driver=PATIENT) -> SharedLedger:
        shared = RedisShared(url, driver)
        await shared.start()
        started.append(shared)
        number = next(numbers)
        ledger = ledger_over(shared, clock or SystemClock(), sharing, f"node-{number}", number)
        ledger.driver = shared
        return ledger

    yield start
    for shared in started:
        await shared.stop()


async def decided(ledger, charges):
    """The verdict, at once or awaited."""
    verdict = ledger.charge(charges)
    return verdict if hasattr(verdict, "allowed") else await verdict


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They need real servers: out of the run that proves only that the room stands alone."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)
