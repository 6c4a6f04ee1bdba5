"""A hit is of the type that is asked for, however the value came into memory."""

import asyncio

import msgspec
import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.cache.engine.sync import SyncCache
from holdfast.rooms.cache.rules.kinds import KindSettings
from holdfast.rooms.cache.rules.problems import BadValue

from .making import PLAIN, Factory, make_engine, refused


class Farm(msgspec.Struct):
    name: str


class Place(msgspec.Struct):
    """Knows less than Farm does, and something more that has a default."""

    area: int = 0


async def never():
    raise AssertionError("it is in memory")


async def test_a_value_set_without_its_type_is_given_as_the_type_asked_for():
    engine = make_engine()
    await engine.set("k", {"name": "밭"})
    assert await engine.get_or_set("k", never) == {"name": "밭"}
    first = await engine.get_or_set("k", never, returns=Farm)
    assert first == Farm("밭")
    assert await engine.get_or_set("k", never, returns=Farm) is first
    assert await engine.get("k", returns=Farm) is first
    assert await engine.get_or_set_many(["k"], never, returns=Farm) == {"k": first}


async def test_who_names_no_type_gets_the_named_one():
    engine, factory = make_engine(), Factory()
    factory.gives = Farm("밭")
    first = await engine.get_or_set("k", factory, returns=Farm)
    assert await engine.get_or_set("k", factory) is first
    assert await engine.get("k") is first


async def test_equal_types_that_are_made_anew_at_each_call_are_one_type():
    engine = make_engine()
    await engine.set("k", [{"name": "밭"}])
    first = await engine.get_or_set("k", never, returns=list[Farm])
    assert first == [Farm("밭")]
    assert await engine.get_or_set("k", never, returns=list[Farm]) is first


async def test_many_keys_read_without_a_type_are_typed_when_they_are_asked_for():
    engine = make_engine()
    await engine.set_many({"a": {"name": "가"}, "b": {"name": "나"}})
    assert await engine.get_many(["a", "b"]) == {"a": {"name": "가"}, "b": {"name": "나"}}
    assert await engine.get_many(["a", "b"], returns=Farm) == {"a": Farm("가"), "b": Farm("나")}


async def test_a_value_that_is_not_of_the_type_is_loaded_anew():
    engine, factory = make_engine(), Factory()
    factory.gives = {"name": "new"}
    await engine.set("k", {"of": "an older release"})
    assert await engine.get_many(["k"], returns=Farm) == {}
    assert await engine.get_or_set("k", factory, returns=Farm) == Farm("new")
    assert await engine.get_or_set("k", never, returns=Farm) == Farm("new")
    assert factory.calls == 1


async def test_one_key_as_two_types_is_loaded_once_more_and_then_given_as_either():
    engine, factory = make_engine(), Factory()
    factory.gives = {"name": "밭", "area": 7}
    assert await engine.get_or_set("k", factory, returns=Farm) == Farm("밭")
    size = engine.peek("k").size_bytes
    assert await engine.get_or_set("k", factory, returns=Place) == Place(7)
    for _ in range(2):
        assert await engine.get_or_set("k", factory, returns=Farm) == Farm("밭")
        assert await engine.get_or_set("k", factory, returns=Place) == Place(7)
    assert factory.calls == 2
    assert engine.peek("k").size_bytes > size


async def test_those_who_wait_for_one_load_get_each_their_type():
    engine, factory = make_engine(), Factory(is_open=False)
    factory.gives = {"name": "밭", "area": 7}
    types = (Farm, Place, None)
    waiters = [asyncio.create_task(engine.get_or_set("k", factory, returns=each)) for each in types]
    await factory.begun.wait()
    factory.gate.set()
    assert await asyncio.gather(*waiters) == [Farm("밭"), Place(7), Farm("밭")]
    assert factory.calls == 1


async def test_those_who_wait_for_an_isolated_value_get_each_their_own():
    engine = make_engine(kinds={"own": KindSettings(isolated=True)})
    factory = Factory(is_open=False)
    factory.gives = [1]
    waiters = [asyncio.create_task(engine.get_or_set("k", factory, kind="own")) for _ in range(2)]
    await factory.begun.wait()
    factory.gate.set()
    first, second = await asyncio.gather(*waiters)
    first.append(2)
    assert (first, second) == ([1, 2], [1])
    assert await engine.get_or_set("k", factory, kind="own") == [1]


@pytest.mark.parametrize("hard_s", [0, 0.01])
async def test_a_stand_in_is_of_the_type_too(hard_s):
    clock = ManualClock()
    kind = KindSettings(ttl_s=10, fail_safe_s=60, jitter=0, early_beta=0, hard_s=hard_s)
    engine = make_engine(clock, kinds={"default": PLAIN, "brief": kind})
    await engine.set("k", {"name": "밭"}, kind="brief")
    await engine.set("other", {"of": "an older release"}, kind="brief")
    clock.advance(11)
    factory = Factory(is_open=not hard_s)
    factory.raises = OSError("away")
    assert await engine.get_or_set("k", factory, kind="brief", returns=Farm) == Farm("밭")
    with pytest.raises(BadValue if hard_s else OSError):
        await engine.get_or_set("other", factory, kind="brief", returns=Farm)


async def test_bytes_and_nothing_have_no_type():
    engine = make_engine()
    await engine.set_many({"raw": b"\xff", "nothing": None})
    for returns in (None, bytes, Farm, None):
        assert await engine.get_or_set("raw", never, returns=returns) == b"\xff"
        assert await engine.get_or_set("nothing", never, returns=returns) is None


async def test_a_value_that_json_cannot_say_as_the_type_is_refused_for_who_waits():
    engine, factory = make_engine(), Factory(is_open=False)
    factory.gives = {"area": 7}
    waiters = [asyncio.create_task(engine.get_or_set("k", factory, returns=each)) for each in (Place, Farm)]
    await factory.begun.wait()
    factory.gate.set()
    assert await waiters[0] == Place(7)
    with refused(BadValue):
        await waiters[1]


async def test_threads_get_the_type_too():
    engine = make_engine()
    await engine.set("k", {"name": "밭"})
    cache = SyncCache(engine, asyncio.get_running_loop())
    for _ in range(2):
        assert await asyncio.to_thread(cache.get_or_set, "k", lambda: None, returns=Farm) == Farm("밭")
