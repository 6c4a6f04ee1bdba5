"""Past its time: served while loading, standing in when no load succeeds, never after an invalidation."""

import asyncio

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.cache.rules.kinds import KindSettings
from tests.waiting import until

from .making import Factory, make_engine, settle

KINDS = {
    "swr": KindSettings(ttl_s=10, stale_s=20, fail_safe_s=60, retry_s=5, jitter=0, early_beta=0),
    "safe": KindSettings(ttl_s=10, stale_s=0, fail_safe_s=60, retry_s=5, jitter=0, early_beta=0),
    "early": KindSettings(ttl_s=10, jitter=0, early_beta=1.0),
}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def engine(clock):
    return make_engine(clock, kinds=KINDS)


async def test_a_stale_value_is_served_at_once_while_one_load_runs_behind(engine, clock):
    factory = Factory()
    await engine.get_or_set("k", factory, kind="swr")
    clock.advance(15)
    factory.gate.clear()
    assert [await engine.get_or_set("k", factory, kind="swr") for _ in range(5)] == [1] * 5
    await until(lambda: factory.calls == 2)
    factory.gate.set()
    await settle(engine)
    assert await engine.get_or_set("k", factory, kind="swr") == 2
    assert factory.calls == 2
    assert engine.keeper.tallies["swr"].stale == 5


async def test_after_the_stale_time_callers_wait(engine, clock):
    factory = Factory()
    await engine.get_or_set("k", factory, kind="swr")
    clock.advance(31)
    assert await engine.get_or_set("k", factory, kind="swr") == 2


async def test_the_last_good_value_stands_in_and_a_failing_factory_is_not_asked_each_time(engine, clock):
    factory = Factory()
    await engine.get_or_set("k", factory, kind="safe")
    clock.advance(11)
    factory.raises = OSError("away")
    for _ in range(10):
        assert await engine.get_or_set("k", factory, kind="safe") == 1
    assert factory.calls == 2
    clock.advance(5)
    assert await engine.get_or_set("k", factory, kind="safe") == 1
    assert factory.calls == 3
    factory.raises = None
    clock.advance(5)
    assert await engine.get_or_set("k", factory, kind="safe") == 4
    tally = engine.keeper.tallies["safe"]
    assert (tally.failures, tally.stale) == (2, 11)


async def test_nothing_stands_in_past_its_fail_safe_age(engine, clock):
    factory = Factory()
    await engine.get_or_set("k", factory, kind="safe")
    clock.advance(69)
    factory.raises = OSError("away")
    assert await engine.get_or_set("k", factory, kind="safe") == 1
    clock.advance(1)
    with pytest.raises(OSError, match="away"):
        await engine.get_or_set("k", factory, kind="safe")


@pytest.mark.parametrize(
    "how", [{"keys": ["k"]}, {"tags": ["t"]}, {"prefix": "k"}, {"prefix": ""}, {"everything": True}]
)
async def test_what_was_invalidated_never_stands_in(engine, clock, how):
    factory = Factory()
    await engine.get_or_set("k", factory, kind="safe", tags=["t"])
    await engine.invalidate(**how)
    factory.raises = OSError("away")
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await engine.get_or_set("k", factory, kind="safe", tags=["t"])


async def test_an_invalidation_during_a_failing_load_leaves_nothing_to_stand_in(engine, clock):
    factory = Factory()
    await engine.get_or_set("k", factory, kind="safe", tags=["t"])
    clock.advance(11)
    factory.gate.clear()
    factory.begun.clear()
    factory.raises = OSError("away")
    waiter = asyncio.create_task(engine.get_or_set("k", factory, kind="safe", tags=["t"]))
    await factory.begun.wait()
    await engine.invalidate(tags=["t"])
    factory.gate.set()
    with pytest.raises(OSError, match="away"):
        await waiter


async def test_a_value_is_refreshed_before_its_end_by_one_load_in_the_background(engine, clock):
    factory = Factory(is_open=False)
    first = asyncio.create_task(engine.get_or_set("k", factory, kind="early"))
    await factory.begun.wait()
    clock.advance(2)  # the load takes two seconds
    factory.gate.set()
    assert await first == 1
    # At an even chance the refresh is due 2 s * ln 2 = 1.39 s before the end.
    clock.advance(8.6)
    assert await engine.get_or_set("k", factory, kind="early") == 1
    await settle(engine)
    assert factory.calls == 1
    clock.advance(0.02)
    factory.gate.clear()
    assert [await engine.get_or_set("k", factory, kind="early") for _ in range(3)] == [1] * 3
    factory.gate.set()
    await settle(engine)
    assert factory.calls == 2
    assert await engine.get_or_set("k", factory, kind="early") == 2
    assert engine.keeper.tallies["early"].early == 1


async def test_an_early_refresh_that_fails_is_not_tried_at_each_request(engine, clock):
    factory = Factory(is_open=False)
    first = asyncio.create_task(engine.get_or_set("k", factory, kind="early"))
    await factory.begun.wait()
    clock.advance(2)
    factory.gate.set()
    await first
    clock.advance(9)
    factory.raises = OSError("away")
    for _ in range(5):
        assert await engine.get_or_set("k", factory, kind="early") == 1
        await settle(engine)
    assert factory.calls == 2


async def test_nothing_at_all_does_not_stand_in(engine, clock):
    async def nothing():
        return None

    assert await engine.get_or_set("k", nothing, kind="safe") is None
    clock.advance(31)
    factory = Factory()
    factory.raises = OSError("away")
    with pytest.raises(OSError, match="away"):
        await engine.get_or_set("k", factory, kind="safe")
