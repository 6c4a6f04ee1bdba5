"""Engine and second tier together, two nodes over a real server: what callers get."""

import asyncio
import contextlib
from random import Random

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.ports.services import NoMeter
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.engine.shared import SharedTier
from holdfast.rooms.cache.rules.entry import HybridClock
from holdfast.rooms.cache.rules.settings import Config
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.rooms.cache.shared.nodes import cut_wire
from tests.waiting import until

WAYS = [{"keys": ["farm:1"]}, {"tags": ["user:1"]}, {"prefix": "farm:"}, {"everything": True}]


@contextlib.asynccontextmanager
async def engine(url: str, name: str, config: Config | None = None):
    async with engine_and_tier(url, name, config) as (cache, _):
        yield cache


@contextlib.asynccontextmanager
async def engine_and_tier(url: str, name: str, config: Config | None = None):
    clock, order = SystemClock(), HybridClock()
    shared = RedisShared(url, SharedConfig(budget_ms=5_000.0, heartbeat_s=0.2), clock)
    cache = CacheEngine(
        *(config or Config(),),
        clock=clock,
        meter=NoMeter(),
        rng=Random(name),
        order=order,
        now_us=shared.clock_us,
    )
    tier = SharedTier(shared, hears=cache, clock=clock, rng=Random(name), node_id=name, stamps=order)
    cache.connect(tier)
    await shared.start()
    await tier.start()
    try:
        await until(lambda: not cache.keeper.is_cut_off)
        yield cache, tier
    finally:
        await cache.stop()
        await tier.stop()
        await shared.stop()


class Source:
    """A factory that gives what it is told, counts, and may be held up."""

    def __init__(self, value="old") -> None:
        self.value = value
        self.calls = 0
        self.goes = asyncio.Event()
        self.goes.set()

    async def __call__(self):
        self.calls += 1
        value = self.value
        await self.goes.wait()
        if isinstance(value, Exception):
            raise value
        return value

    def ask(self, cache: CacheEngine):
        return cache.get_or_set("farm:1", self, tags=("user:1",))


async def test_what_one_node_loads_the_other_does_not(own_redis):
    source = Source({"농장": [1, None, "가"]})
    async with engine(own_redis.url, "a") as a, engine(own_redis.url, "b") as b:
        assert await source.ask(a) == await source.ask(b) == {"농장": [1, None, "가"]}
        assert source.calls == 1


@pytest.mark.parametrize("way", WAYS)
async def test_an_invalidation_empties_the_memory_of_the_other_node(own_redis, way):
    source = Source()
    async with engine(own_redis.url, "a") as a, engine(own_redis.url, "b") as b:
        await source.ask(a)
        await source.ask(b)
        source.value = "new"
        await a.invalidate(**way)
        assert await source.ask(a) == "new"
        await until(lambda: b.fresh("farm:1") is None)
        assert await source.ask(b) == "new"
        assert source.calls == 2


@pytest.mark.parametrize("way", WAYS)
async def test_a_load_that_was_invalidated_from_elsewhere_is_not_stored(own_redis, way):
    source, other = Source(), Source("new")
    async with engine(own_redis.url, "a") as a, engine(own_redis.url, "b") as b:
        source.goes.clear()
        loading = asyncio.create_task(source.ask(a))
        await until(lambda: source.calls)
        marks = a.keeper.markers.count
        await b.invalidate(**way)
        await until(lambda: a.keeper.markers.count > marks)
        source.goes.set()
        await loading
        assert a.fresh("farm:1") is None or a.fresh("farm:1").value != "old"
        assert await other.ask(b) == "new"
        assert await other.ask(a) == "new"


@pytest.mark.parametrize("way", WAYS)
async def test_fail_safe_brings_nothing_back_that_was_invalidated(own_redis, way):
    source = Source()
    async with engine(own_redis.url, "a") as a, engine(own_redis.url, "b") as b:
        await source.ask(a)
        await source.ask(b)
        await a.invalidate(**way)
        await until(lambda: b.fresh("farm:1") is None)
        source.value = RuntimeError("the source is down")
        for cache in (a, b):
            with pytest.raises(RuntimeError, match="the source is down"):
                await source.ask(cache)


@pytest.mark.parametrize("way", WAYS)
async def test_a_node_that_was_cut_off_serves_nothing_dead_from_memory(own_redis, way):
    source = Source()
    async with (
        cut_wire(own_redis.port) as wire,
        engine(wire.url, "a") as a,
        engine(own_redis.url, "b") as b,
    ):
        assert await source.ask(a) == "old"
        await wire.cut()
        await until(lambda: a.keeper.is_cut_off)
        assert await source.ask(a) == "old"
        await b.invalidate(**way)
        source.value = "new"
        await wire.open()
        await until(lambda: not a.keeper.is_cut_off)
        assert await source.ask(a) == "new"
        assert await source.ask(b) == "new"


async def test_without_the_store_every_node_goes_on_alone(own_redis):
    source = Source()
    async with engine(own_redis.url, "a") as a, engine(own_redis.url, "b") as b:
        own_redis.kill()
        await until(lambda: a.keeper.is_cut_off and b.keeper.is_cut_off)
        assert await source.ask(a) == await source.ask(b) == "old"
        assert await source.ask(a) == "old"
        assert source.calls == 2
        await a.invalidate(tags=["user:1"])
        source.value = "new"
        assert await source.ask(a) == "new"
        own_redis.start()
        await until(lambda: not a.keeper.is_cut_off and not b.keeper.is_cut_off)
        await until(lambda: not a._remote.state()["journal_markers"])
        await until(lambda: not a._remote.state()["journal_writes"])
        assert await source.ask(b) == "new"
        assert source.calls == 3


async def test_a_node_that_stops_while_it_stores_leaves_its_value_and_not_the_load(own_redis):
    source, other = Source(), Source("loaded twice")
    source.goes.clear()
    async with engine_and_tier(own_redis.url, "b") as (b, tier):
        async with engine(own_redis.url, "a") as a:
            asked = asyncio.create_task(source.ask(a))
            await until(lambda: source.calls)
            waiting = asyncio.create_task(other.ask(b))
            await until(lambda: tier.state()["waiting"])
            source.goes.set()
            await asked
        assert await waiting == "old"
        assert other.calls == 0


@contextlib.contextmanager
def asked_by(variants):
    ctx = detached(Event())
    ctx.variants = variants
    token = enter(ctx)
    try:
        yield
    finally:
        leave(token)


@pytest.mark.parametrize("how", WAYS)
async def test_arms_are_apart_on_every_node_and_one_that_has_none_reaches_them(redis_database, how):
    async with engine(redis_database, "one") as one, engine(redis_database, "two") as two:
        two.varies = lambda: True
        for arm in ("control", "treatment"):
            with asked_by({"rank": arm}):
                assert await one.get_or_set("farm:1", Source(arm), tags=["user:1"]) == arm
                assert await two.get_or_set("farm:1", Source("none"), tags=["user:1"]) == arm
        assert await two.get("farm:1") is None
        await two.invalidate(**how)
        for arm in ("control", "treatment"):
            with asked_by({"rank": arm}):
                assert await two.get_or_set("farm:1", Source(f"new {arm}"), tags=["user:1"]) == f"new {arm}"
                await until(lambda: one.fresh_for("farm:1", "default") is None)
                assert await one.get_or_set("farm:1", Source("none"), tags=["user:1"]) == f"new {arm}"


async def test_a_value_set_for_one_arm_is_kept_for_all_nodes_and_the_others_load_anew(redis_database):
    async with engine(redis_database, "one") as one, engine(redis_database, "two") as two:
        for arm in ("control", "treatment"):
            with asked_by({"rank": arm}):
                await one.get_or_set("farm:1", Source(arm))
        with asked_by({"rank": "control"}):
            await one.set("farm:1", "written")
            assert await two.get("farm:1") == "written"
        with asked_by({"rank": "treatment"}):
            assert await one.get_or_set("farm:1", Source("anew")) == "anew"
