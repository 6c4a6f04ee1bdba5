"""Engines over one real server: one load for all, one invalidation for all, each alone when it is gone."""

import asyncio
import contextlib
from itertools import count
from random import Random

import msgspec
import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.ports.services import NoMeter
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.engine.shared import SharedTier
from holdfast.rooms.cache.rules.entry import HybridClock
from holdfast.rooms.cache.rules.kinds import KindSettings
from holdfast.rooms.cache.rules.settings import Config
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.waiting import until

from .making import Factory

_numbers = count()
KINDS = {
    "default": KindSettings(fail_safe_s=60),
    "brief": KindSettings(ttl_s=0.05, fail_safe_s=60, retry_s=0),
}


@contextlib.asynccontextmanager
async def engine_on(url, name, namespace, *, ahead_s=0, kinds=None, **settings):
    clock, order = SystemClock(), HybridClock()
    shared = RedisShared(url, SharedConfig(budget_ms=5_000, heartbeat_s=0.2), clock)
    engine = CacheEngine(
        Config(kinds={**KINDS, **(kinds or {})}, **settings),
        clock=clock,
        meter=NoMeter(),
        rng=Random(name),
        order=order,
        now_us=lambda lean: shared.clock_us(lean) + round(ahead_s * 1e6),
    )
    tier = SharedTier(
        shared,
        hears=engine,
        clock=clock,
        rng=Random(name),
        node_id=name,
        namespace=namespace,
        stamps=order,
        lease_s=1.0,
    )
    engine.connect(tier)
    await shared.start()
    await tier.start()
    try:
        await until(lambda: tier.state()["is_joined"])
        yield engine
    finally:
        await engine.stop()
        await tier.stop()
        await shared.stop()


@pytest.fixture
async def nodes(redis_database):
    namespace = f"e{next(_numbers)}"
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(engine_on(redis_database, f"node{n}", namespace))
            for n in range(3)
        ]


async def test_one_load_for_all_callers_on_all_nodes(nodes):
    factory = Factory(is_open=False)
    waiters = [
        asyncio.create_task(engine.get_or_set("k", factory, tags=["t"]))
        for engine in nodes
        for _ in range(50)
    ]
    await factory.begun.wait()
    for waiter in waiters[::3]:
        waiter.cancel()
    factory.gate.set()
    found = await asyncio.gather(*waiters, return_exceptions=True)
    assert [value for value in found if not isinstance(value, asyncio.CancelledError)] == [1] * 100
    assert factory.calls == 1


class Farm(msgspec.Struct):
    name: str


async def test_a_value_has_the_same_shape_on_every_node(nodes):
    async def load():
        return Farm("밭")

    async def never():
        raise AssertionError("it is in the second tier")

    here, there, _ = nodes
    assert await here.get_or_set("typed", load, returns=Farm) == Farm("밭")
    assert await there.get_or_set("typed", never, returns=Farm) == Farm("밭")
    assert await here.get_or_set("plain", load) == {"name": "밭"}
    assert await there.get_or_set("plain", never) == {"name": "밭"}
    await here.set("raw", b"\0\xff")
    assert await there.get("raw") == b"\0\xff"
    await here.set_many({"a": 1, "b": None})
    assert await there.get_many(["a", "b", "c"]) == {"a": 1}


@pytest.mark.parametrize(
    "how", [{"keys": ["user:1"]}, {"tags": ["t"]}, {"prefix": "user:"}, {"everything": True}]
)
async def test_an_invalidation_reaches_the_memory_of_every_node(nodes, how):
    factory = Factory()
    for engine in nodes:
        assert await engine.get_or_set("user:1", factory, tags=["t"]) == 1
    await nodes[0].invalidate(**how)
    await until(lambda: all(engine.fresh("user:1") is None for engine in nodes))
    assert {await engine.get_or_set("user:1", factory, tags=["t"]) for engine in nodes} == {2}


async def test_a_new_value_reaches_the_memory_of_every_node(nodes):
    factory = Factory()
    for engine in nodes:
        await engine.get_or_set("k", factory)
    await nodes[0].set("k", "new")
    await until(lambda: all(engine.fresh("k") is None for engine in nodes[1:]))
    assert {await engine.get_or_set("k", factory) for engine in nodes} == {"new"}


async def test_many_keys_are_loaded_once_among_nodes_that_each_want_some_of_the_same(nodes):
    asked = []

    async def load(keys):
        asked.extend(keys)
        await asyncio.sleep(0)
        return {key: key.upper() for key in keys}

    wants = (["a", "b", "c"], ["c", "b", "d"], ["d", "a", "e"])
    found = await asyncio.gather(
        *(engine.get_or_set_many(keys, load) for engine, keys in zip(nodes, wants, strict=True))
    )
    assert [list(each.values()) for each in found] == [["A", "B", "C"], ["C", "B", "D"], ["D", "A", "E"]]
    assert sorted(asked) == ["a", "b", "c", "d", "e"]


async def test_a_value_of_another_schema_is_loaded_anew(nodes):
    here, there, _ = nodes
    await here.set("k", {"of": "an older release"})
    factory = Factory()
    factory.gives = {"name": "new"}
    assert await there.get_or_set("k", factory, returns=Farm) == Farm("new")
    await until(lambda: here.fresh("k") is None)
    assert await here.get_or_set("k", factory, returns=Farm) == Farm("new")
    assert factory.calls == 1


async def test_the_last_good_value_of_any_node_stands_in(nodes):
    here, there, _ = nodes
    factory = Factory()
    await here.get_or_set("k", factory, kind="brief")
    await until(lambda: is_past(there, "k"))
    factory.raises = OSError("away")
    assert await there.get_or_set("k", factory, kind="brief") == 1
    assert there.keeper.tallies["brief"].stale == 1


async def is_past(engine, key):
    """Whether its time is over by any clock: a node knows the server's to a round trip."""
    [entry] = await engine._remote.fetch([key])
    trip_s = engine._remote._shared.state()["round_trip_ms"] / 1000
    return entry is not None and engine.keeper.now() > entry.fresh_until + trip_s


async def test_when_the_server_dies_nobody_notices_and_when_it_is_back_nothing_old_is_served(own_redis):
    url = own_redis.url
    async with (
        engine_on(url, "a", "x", cut_off_ttl_s=30) as a,
        engine_on(url, "b", "x", cut_off_ttl_s=30) as b,
    ):
        factory = Factory()
        for engine in (a, b):
            assert await engine.get_or_set("k", factory, tags=["t"]) == 1
        own_redis.kill()
        await until(lambda: a.keeper.is_cut_off and b.keeper.is_cut_off)
        assert await b.get_or_set("k", factory, tags=["t"]) == 1
        assert await a.get_or_set("new", factory) == 2
        await a.invalidate(tags=["t"])
        assert await a.get_or_set("k", factory, tags=["t"]) == 3
        own_redis.launch()
        await until(lambda: not (a.keeper.is_cut_off or b.keeper.is_cut_off))
        # What was stored meanwhile is said after it is heard again.
        await until(lambda: not any(each._remote.state()["journal_writes"] for each in (a, b)))
        # The server is empty: whoever asks first stores what all get; what was invalidated is seen by nobody.
        found = [await engine.get_or_set("k", factory, tags=["t"]) for engine in (a, b, a, b)]
        assert 1 not in found
        assert len(set(found)) == 1


async def test_what_is_held_while_nothing_is_heard_is_served_for_its_time_and_no_longer(own_redis):
    async with engine_on(own_redis.url, "a", "x", cut_off_ttl_s=0.05) as engine:
        factory = Factory()
        assert await engine.get_or_set("k", factory) == 1
        own_redis.kill()
        await until(lambda: engine.keeper.is_cut_off)
        await until(lambda: engine.fresh("k") is None)
        assert await engine.get_or_set("k", factory) == 2


@pytest.mark.parametrize("how", ["too large", "for no time", "among others"])
async def test_a_value_that_is_not_kept_replaces_the_old_one_on_every_node(redis_database, how):
    namespace = f"dropped{next(_numbers)}"
    async with (
        engine_on(redis_database, "a", namespace, max_value_bytes=100) as here,
        engine_on(redis_database, "b", namespace, max_value_bytes=100) as there,
    ):
        await here.set("k", "old")
        assert await there.get("k") == "old"
        if how == "too large":
            await here.set("k", "x" * 101)
        elif how == "for no time":
            await here.set("k", "new", ttl_s=0)
        else:
            await here.set_many({"small": 1, "k": "x" * 101})
            assert await there.get("small") == 1
        assert await here.get("k") is None
        await until(lambda: there.fresh("k") is None)
        assert await there.get("k") is None
        factory = Factory()
        assert await there.get_or_set("k", factory) == 1
        assert await here.get_or_set("k", factory) == 1


@pytest.mark.parametrize("ahead_s", [3600, -3600])
async def test_a_node_whose_clock_is_wrong_keeps_nothing_that_was_invalidated_under_way(
    redis_database, ahead_s
):
    namespace = f"clocks{next(_numbers)}"
    async with (
        engine_on(redis_database, "wrong", namespace, ahead_s=ahead_s) as wrong,
        engine_on(redis_database, "right", namespace) as right,
    ):
        factory = Factory(is_open=False)
        loading = asyncio.create_task(wrong.get_or_set("k", factory))
        await factory.begun.wait()
        marks = wrong.keeper.markers.count
        await right.invalidate(keys=["k"])
        await until(lambda: wrong.keeper.markers.count > marks)
        factory.gate.set()
        await loading
        assert wrong.fresh("k") is None
        assert await right.get_or_set("k", factory) == 2
        assert await wrong.get_or_set("k", factory) == 2


@pytest.mark.parametrize("ahead_s", [3600, 0, -3600])
async def test_what_a_node_invalidates_itself_under_way_is_not_kept(redis_database, ahead_s):
    namespace = f"clocks{next(_numbers)}"
    async with engine_on(redis_database, "a", namespace, ahead_s=ahead_s) as engine:
        factory = Factory(is_open=False)
        loading = asyncio.create_task(engine.get_or_set("k", factory, tags=["t"]))
        await factory.begun.wait()
        await engine.invalidate(tags=["t"])
        later = asyncio.create_task(engine.get_or_set("k", factory, tags=["t"]))
        factory.gate.set()
        assert [await loading, await later] == [1, 2]
        assert await engine.get_or_set("k", factory, tags=["t"]) == 2
