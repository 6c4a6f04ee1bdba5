"""Recommendations kept in the real cache: the room's promises on it, and two nodes on one shared store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from random import Random
from typing import Any

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.event import Event
from holdfast.ports.services import NoMeter
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.engine.shared import SharedTier
from holdfast.rooms.cache.rules.entry import HybridClock
from holdfast.rooms.cache.rules.settings import Config
from holdfast.rooms.recommend.engine.engine import Engine
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.rooms.recommend import conftest, test_cached
from tests.rooms.recommend.conftest import Make, World
from tests.rooms.recommend.test_cached import asked, catalogue
from tests.waiting import until

globals().update(
    {
        name: found
        for source in (conftest, test_cached)
        for name, found in vars(source).items()
        if name.startswith("test_") or name in ("make", "make_on_postgres", "world", "noted", "cached")
    }
)


@pytest.fixture
async def cache() -> AsyncIterator[CacheEngine]:
    """One cache for every process that a test makes."""
    engine = CacheEngine(Config(), clock=SystemClock(), meter=NoMeter(), rng=Random(1))
    yield engine
    await engine.stop()


@contextlib.asynccontextmanager
async def node(url: str, name: str) -> AsyncIterator[tuple[CacheEngine, SharedTier]]:
    """The cache of one node on the shared store."""
    shared = RedisShared(url, SharedConfig(budget_ms=5_000, heartbeat_s=0.05, failures=1))
    await shared.start()
    order, rng, clock = HybridClock(), Random(name), SystemClock()
    engine = CacheEngine(Config(), clock=clock, meter=NoMeter(), rng=rng, order=order, now_us=shared.clock_us)
    tier = SharedTier(shared, hears=engine, clock=clock, rng=rng, node_id=name, stamps=order)
    engine.connect(tier)
    await tier.start()
    await until(lambda: tier.state()["is_joined"])
    try:
        yield engine, tier
    finally:
        await engine.stop()
        await tier.stop()
        await shared.stop()


async def world_on(make: Make, cache: CacheEngine, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(conftest, "Engine", partial(Engine, cache=cache))
    return await make()


async def test_what_another_way_has_put_there_is_read_all_the_same(
    world: World, noted: Event, cache: CacheEngine
) -> None:
    await catalogue(world)
    first, _ = await asked(world, noted)
    [key] = [key for key in cache.keeper.memory.entries if key.startswith("recommend:")]
    await cache.set(key, first, kind="recommendation")
    assert await asked(world, noted) == (first, "hit")


async def test_a_thousand_reloads_compute_once(world: World, cache: CacheEngine) -> None:
    await catalogue(world)
    for _ in range(100):
        await asyncio.gather(*(world.ask("u") for _ in range(10)))
    assert cache.keeper.tallies["recommendation"].loads == 1


async def test_two_nodes_share_an_answer_until_its_user_does_something(
    make: Make, own_redis: Any, noted: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(own_redis.url, "a") as (first, tier), node(own_redis.url, "b") as (second, _):
        one = await world_on(make, first, monkeypatch)
        other = await world_on(make, second, monkeypatch)
        await catalogue(one)
        await other.engine.refresh()
        made, said = await asked(one, noted)
        assert said == "miss"
        assert await asked(other, noted) == (made, "hit")
        await other.did("u", made.items[0].item_id, kind="view")
        after, said = await asked(one, noted)
        assert said == "miss"
        assert made.items[0].item_id not in [item.item_id for item in after.items]
        # The store goes away: both go on, and a user's deed still counts in the very next answer.
        own_redis.kill()
        await until(lambda: not tier.state()["is_up"])
        gone = after.items[0].item_id
        await other.did("u", gone, kind="hide")
        alone, said = await asked(one, noted)
        assert said == "miss"
        assert gone not in [item.item_id for item in alone.items]
        assert (await asked(one, noted))[1] == "hit"
