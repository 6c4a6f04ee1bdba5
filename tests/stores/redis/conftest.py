"""Drivers that stop with their test, the topologies under test, and a network to break."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config
from tests.shared_servers import PATIENT_MS, ValkeySentinel, ValkeyServer
from tests.stores.redis.proxy import Proxy

Open = Callable[..., Awaitable[RedisShared]]
PATIENT = {"budget_ms": 20_000.0, "connect_timeout_s": 20.0}
"""For tests about something else than patience, on a busy machine."""


@pytest.fixture
async def open_driver() -> AsyncIterator[Open]:
    """Start a driver for a URL; settings by keyword. With a clock of the test's no budget ends by itself."""
    opened: list[RedisShared] = []

    async def start(url: str, clock: Clock | None = None, **settings: Any) -> RedisShared:
        driver = RedisShared(url, Config(**settings), clock or SystemClock(), random.Random(7))
        opened.append(driver)
        await driver.start()
        return driver

    yield start
    for driver in opened:
        await driver.stop()


@pytest.fixture(scope="session")
def peaceful_sentinel() -> Iterator[ValkeySentinel]:
    """A master behind sentinels that nobody kills."""
    group = ValkeySentinel(PATIENT_MS)
    try:
        group.start()
        yield group
    finally:
        group.stop()


@pytest.fixture(params=["standalone", "two connections", "sentinel", "cluster"])
async def shared(request: pytest.FixtureRequest, open_driver: Open) -> RedisShared:
    """The driver over each topology, over empty servers."""
    if request.param == "cluster":
        cluster = request.getfixturevalue("redis_cluster")
        cluster.empty()
        return await open_driver(cluster.url, **PATIENT)
    if request.param == "sentinel":
        group = request.getfixturevalue("peaceful_sentinel")
        group.master.ask("FLUSHALL")
        group.master.ask("SCRIPT", "FLUSH")
        return await open_driver(group.url, **PATIENT)
    connections = 2 if request.param == "two connections" else 1
    url = request.getfixturevalue("redis_database")
    return await open_driver(url, connections=connections, **PATIENT)


@pytest.fixture
async def proxy(own_redis: ValkeyServer) -> AsyncIterator[Proxy]:
    """A network in front of `own_redis`."""
    made = Proxy(own_redis.port)
    await made.start()
    yield made
    await made.stop()
