"""What one arm of an experiment computed is never another's answer, and one invalidation reaches all."""

import asyncio
import contextlib

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.rooms.cache.engine.sync import SyncCache
from holdfast.rooms.cache.engine.warmup import Warmup
from holdfast.rooms.cache.rules.kinds import KindSettings
from holdfast.rooms.cache.rules.problems import BadKey

from .making import Factory, make_engine, settle

ARMS = [None, {"rank": "control"}, {"rank": "treatment"}]
WAYS = [{"keys": ["farm:1"]}, {"tags": ["t"]}, {"prefix": "farm:"}, {"everything": True}]


@contextlib.contextmanager
def asked_by(variants):
    """A request to which the door assigned these."""
    ctx = detached(Event(), ManualClock())
    ctx.variants = variants
    token = enter(ctx)
    try:
        yield ctx
    finally:
        leave(token)


async def one_by_each(engine, factory, **how):
    found = []
    for variants in ARMS:
        with asked_by(variants):
            found.append(await engine.get_or_set("farm:1", factory, **how))
    return found


async def test_each_arm_loads_for_itself_once():
    engine, factory = make_engine(), Factory()
    assert await one_by_each(engine, factory) == [1, 2, 3]
    assert await one_by_each(engine, factory) == [1, 2, 3]
    assert await engine.get_or_set("farm:1", factory) == 1, "outside requests: as of old"
    with asked_by({}):
        assert await engine.get_or_set("farm:1", factory) == 1


async def test_a_kind_may_say_that_its_keys_hold_everything():
    engine, factory = make_engine(kinds={"exact": KindSettings(by_variant=False)}), Factory()
    assert await one_by_each(engine, factory, kind="exact") == [1, 1, 1]


@pytest.mark.parametrize("inside", ARMS)
@pytest.mark.parametrize("how", WAYS)
async def test_an_invalidation_reaches_every_arm_whoever_says_it(how, inside):
    engine, factory = make_engine(), Factory()
    await one_by_each(engine, factory, tags=["t"])
    with asked_by(inside):
        await engine.invalidate(**how)
    assert await one_by_each(engine, factory, tags=["t"]) == [4, 5, 6]
    assert await one_by_each(engine, factory, tags=["t"]) == [4, 5, 6]


async def test_a_load_of_an_arm_that_began_before_an_invalidation_is_not_kept():
    engine, factory = make_engine(), Factory(is_open=False)
    with asked_by({"rank": "treatment"}):
        before = asyncio.create_task(engine.get_or_set("farm:1", factory))
    await factory.begun.wait()
    await engine.invalidate(keys=["farm:1"])
    factory.gate.set()
    assert await before == 1
    with asked_by({"rank": "treatment"}):
        assert await engine.get("farm:1") is None


async def test_what_a_load_asks_for_is_of_its_own_arm():
    engine, part = make_engine(), Factory()

    async def whole():
        return f"of {await engine.get_or_set('part', part)}"

    found = []
    for variants in ARMS:
        with asked_by(variants):
            found.append(await engine.get_or_set("whole", whole))
    assert found == ["of 1", "of 2", "of 3"]


async def test_a_load_that_all_arms_share_asks_for_what_all_share():
    engine, part = make_engine(kinds={"exact": KindSettings(by_variant=False)}), Factory()

    async def whole():
        return await engine.get_or_set("part", part)

    with asked_by({"rank": "treatment"}):
        assert await engine.get_or_set("whole", whole, kind="exact") == 1
    assert await engine.get_or_set("part", part) == 1


async def test_many_keys_are_apart_as_single_ones_are_and_factories_see_the_callers_keys():
    engine = make_engine()
    asked = []

    async def many(keys):
        asked.append(list(keys))
        return {key: f"{key} {len(asked)}" for key in keys}

    for variants in ARMS:
        with asked_by(variants):
            await engine.get_or_set_many(["a", "b"], many)
            assert list(await engine.get_many(["b", "a", "c"])) == ["b", "a"]
    assert asked == [["a", "b"]] * 3
    with asked_by(ARMS[2]):
        assert await engine.get_or_set_many(["b"], many) == {"b": "b 3"}
        assert await engine.get("a") == "a 3"
    assert await engine.get("a") == "a 1"
    await engine.invalidate(keys=["a"])
    with asked_by(ARMS[2]):
        assert await engine.get_many(["a", "b"]) == {"b": "b 3"}


@pytest.mark.parametrize("writer", ARMS)
async def test_what_is_set_is_the_setters_and_nobody_keeps_what_it_replaces(writer):
    engine, factory = make_engine(), Factory()
    await one_by_each(engine, factory)
    with asked_by(writer):
        await engine.set("farm:1", "new")
        assert await engine.get("farm:1") == "new"
    for variants in ARMS:
        if variants != writer:
            with asked_by(variants):
                assert await engine.get("farm:1") is None


async def test_a_process_that_serves_no_arms_tells_of_them_where_others_do():
    engine = make_engine()
    await engine.invalidate(keys=["a"])
    await engine.set("a", 1)
    alone = len(engine.keeper.markers)
    engine.varies = lambda: True
    await engine.invalidate(keys=["b"])
    assert (alone, len(engine.keeper.markers)) == (1, 3)


async def test_threads_are_apart_too():
    engine, factory = make_engine(), Factory()
    await one_by_each(engine, factory)
    sync = SyncCache(engine, asyncio.get_running_loop())
    for number, variants in enumerate(ARMS, 1):
        with asked_by(variants):
            assert await asyncio.to_thread(sync.get_or_set, "farm:1", lambda: "none") == number
            assert await asyncio.to_thread(sync.get, "farm:1") == number


async def test_a_warm_up_takes_no_entry_of_an_arm_for_its_own(tmp_path):
    engine, factory = make_engine(), Factory()
    await one_by_each(engine, factory)
    await one_by_each(engine, factory)
    warmup = Warmup(engine, file=tmp_path / "hot.json", limit=10, concurrency=1)
    assert await warmup.remember() == 1


async def test_an_early_refresh_stays_with_its_arm():
    clock = ManualClock()
    engine = make_engine(clock, kinds={"default": KindSettings(ttl_s=10, stale_s=100, jitter=0)})
    factory = Factory()
    await one_by_each(engine, factory)
    clock.advance(11)
    with asked_by(ARMS[2]):
        assert await engine.get_or_set("farm:1", factory) == 3
        await settle(engine)
        assert await engine.get_or_set("farm:1", factory) == 4
    with asked_by(ARMS[1]):
        assert await engine.get_or_set("farm:1", factory) == 2
    await settle(engine)


async def test_who_asks_why_is_told_which_variants_have_entries():
    engine, factory = make_engine(), Factory()
    assert "variants" not in engine.explain("farm:1")
    await one_by_each(engine, factory)
    found = engine.explain("farm:1")
    assert found["state"] == "fresh"
    assert found["variants"] == [["rank=control"], ["rank=treatment"]]


async def test_no_key_that_a_client_wrote_can_be_the_entry_of_an_arm():
    """`search:{q}` with the sign and a variant in q would fill what that arm gets for another q."""
    engine, factory = make_engine(), Factory()
    forged = "farm:1\x1frank=treatment"
    for call in (
        engine.get_or_set(forged, factory),
        engine.get_or_set_many([forged], factory),
        engine.set(forged, "poison"),
        engine.get(forged),
        engine.invalidate(keys=[forged]),
    ):
        with pytest.raises(BadKey):
            await call
    with asked_by({"rank": "treatment"}):
        assert await engine.get_or_set("farm:1", factory) == 1
    await engine.invalidate(prefix=forged)
    with asked_by({"rank": "treatment"}):
        assert await engine.get_or_set("farm:1", factory) == 2
