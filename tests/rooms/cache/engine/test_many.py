"""Many keys in one call."""

import asyncio

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.cache.rules.kinds import KindSettings
from holdfast.rooms.cache.rules.problems import BadValue
from tests.waiting import until

from .making import Factory, make_engine, settle


class ManyFactory(Factory):
    def __init__(self, **rest):
        super().__init__(**rest)
        self.asked = []

    async def __call__(self, keys):
        self.asked.append(list(keys))
        number = await super().__call__()
        return {key: f"{key}{number}" for key in keys if not key.startswith("no")}


async def test_only_what_is_missing_is_loaded_in_one_call_and_given_in_the_order_asked():
    engine, factory = make_engine(), ManyFactory()
    await engine.set("b", "held")
    found = await engine.get_or_set_many(["c", "b", "a", "c", "none"], factory)
    assert list(found.items()) == [("c", "c1"), ("b", "held"), ("a", "a1")]
    assert factory.asked == [["c", "a", "none"]]
    assert await engine.get_or_set_many(["a", "none"], factory) == {"a": "a1"}
    assert len(factory.asked) == 1
    assert await engine.get_or_set_many([], factory) == {}


async def test_callers_of_one_key_and_of_many_join_each_other():
    engine, many, single = make_engine(), ManyFactory(is_open=False), Factory(is_open=False)
    one = asyncio.create_task(engine.get_or_set("a", single))
    await single.begun.wait()
    several = asyncio.create_task(engine.get_or_set_many(["a", "b"], many))
    await many.begun.wait()
    late = asyncio.create_task(engine.get_or_set("b", single))
    other = asyncio.create_task(engine.get_or_set_many(["b", "a"], many))
    await asyncio.sleep(0)
    several.cancel()
    single.gate.set()
    many.gate.set()
    assert (await one, await late, await other) == (1, "b1", {"b": "b1", "a": 1})
    assert many.asked == [["b"]]
    assert single.calls == 1


async def test_an_error_of_the_factory_reaches_all_and_one_bad_value_only_its_own():
    engine, factory = make_engine(), ManyFactory()
    factory.raises = OSError("away")
    with pytest.raises(OSError, match="away"):
        await engine.get_or_set_many(["a", "b"], factory)
    assert len(engine.flights) == 0

    async def odd(keys):
        return {key: object() if key == "bad" else 1 for key in keys}

    with pytest.raises(BadValue):
        await engine.get_or_set_many(["good", "bad"], odd)
    assert await engine.get_many(["good", "bad"]) == {"good": 1}


async def test_an_invalidation_under_way_concerns_each_key_by_itself():
    engine, factory = make_engine(), ManyFactory(is_open=False)
    before = asyncio.create_task(engine.get_or_set_many(["a", "b"], factory))
    await factory.begun.wait()
    await engine.invalidate(keys=["a"])
    after = asyncio.create_task(engine.get_or_set_many(["a", "b"], factory))
    await until(lambda: len(factory.asked) == 2)
    factory.gate.set()
    assert await before == {"a": "a1", "b": "b1"}
    assert await after == {"a": "a2", "b": "b1"}
    assert factory.asked[1] == ["a"]


async def test_stale_values_of_many_are_served_and_refreshed_one_by_one():
    clock = ManualClock()
    engine = make_engine(clock, kinds={"swr": KindSettings(ttl_s=10, stale_s=20, jitter=0, early_beta=0)})
    factory = ManyFactory()
    await engine.get_or_set_many(["a", "b"], factory, kind="swr")
    clock.advance(11)
    found = await engine.get_or_set_many(["a", "b", "c"], factory, kind="swr")
    assert (found["a"], found["b"], found["c"][0]) == ("a1", "b1", "c")
    await settle(engine)
    assert sorted(map(tuple, factory.asked[1:])) == [("a",), ("b",), ("c",)]


async def test_what_many_loads_cannot_have_stands_in_where_it_can():
    clock = ManualClock()
    engine, factory = make_engine(clock), ManyFactory()
    await engine.get_or_set_many(["a", "b"], factory, ttl_s=10)
    clock.advance(11)
    factory.raises = OSError("away")
    assert await engine.get_or_set_many(["a", "b"], factory, ttl_s=10) == {"a": "a1", "b": "b1"}
    with pytest.raises(OSError, match="away"):
        await engine.get_or_set_many(["a", "new"], factory, ttl_s=10)


async def test_set_many_and_get_many():
    engine = make_engine()
    await engine.set_many({"가": 1, "나": [2]}, tags=["t"], ttl_s=60)
    assert await engine.get_many(["나", "가", "다"]) == {"나": [2], "가": 1}
    await engine.invalidate(tags=["t"])
    assert await engine.get_many(["나", "가"]) == {}
