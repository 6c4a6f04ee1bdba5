"""Whatever began before an invalidation is not seen after it: entries and loads under way."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.cache.rules.entry import KEY, Marker
from holdfast.rooms.cache.rules.freshness import Cached

from .making import Factory, make_engine, settle

WAYS = [{"keys": ["user:1"]}, {"tags": ["t"]}, {"prefix": "user:"}, {"everything": True}]


@pytest.mark.parametrize("how", WAYS)
async def test_an_entry_is_dropped(how):
    engine, factory = make_engine(), Factory()
    await engine.get_or_set("user:1", factory, tags=["t"])
    await engine.set("other", "untouched")
    await engine.invalidate(**how)
    assert await engine.get("user:1") is None
    assert await engine.get_or_set("user:1", factory, tags=["t"]) == 2
    assert await engine.get_or_set("user:1", factory, tags=["t"]) == 2
    assert await engine.get("other") == (None if "everything" in how else "untouched")


@pytest.mark.parametrize("how", WAYS)
async def test_a_load_under_way_stores_nothing_and_is_not_joined_afterwards(how):
    engine, factory = make_engine(), Factory(is_open=False)
    before = asyncio.create_task(engine.get_or_set("user:1", factory, tags=["t"]))
    await factory.begun.wait()
    await engine.invalidate(**how)
    after = asyncio.create_task(engine.get_or_set("user:1", factory, tags=["t"]))
    await asyncio.sleep(0)
    factory.gate.set()
    assert await before == 1
    assert await after == 2
    assert await engine.get("user:1") == 2


async def test_a_tag_that_only_the_value_knows_counts_too():
    engine, factory = make_engine(), Factory(is_open=False)
    factory.gives = Cached("old", tags=("late",))
    before = asyncio.create_task(engine.get_or_set("k", factory))
    await factory.begun.wait()
    await engine.invalidate(tags=["late"])
    after = asyncio.create_task(engine.get_or_set("k", factory))
    await asyncio.sleep(0)
    factory.gate.set()
    assert (await before, await after) == ("old", "old")
    assert factory.calls == 2, "whoever came after the invalidation needs a load that began after it"
    assert await engine.get("k") == "old"


async def test_an_unrelated_invalidation_doubles_no_load():
    engine, factory = make_engine(), Factory(is_open=False)
    before = asyncio.create_task(engine.get_or_set("k", factory, tags=["mine"]))
    await factory.begun.wait()
    await engine.invalidate(tags=["other"], keys=["other"], prefix="x")
    after = asyncio.create_task(engine.get_or_set("k", factory, tags=["mine"]))
    await asyncio.sleep(0)
    factory.gate.set()
    assert (await before, await after) == (1, 1)
    assert factory.calls == 1


async def test_a_set_wins_over_an_older_load():
    engine, factory = make_engine(), Factory(is_open=False)
    waiter = asyncio.create_task(engine.get_or_set("k", factory))
    await factory.begun.wait()
    await engine.set("k", "set")
    assert await engine.get_or_set("k", factory) == "set"
    factory.gate.set()
    assert await waiter == 1
    await settle(engine)
    assert await engine.get("k") == "set"


async def test_what_another_node_stored_outdates_entry_and_load():
    engine, factory = make_engine(), Factory()
    await engine.get_or_set("k", factory)
    born = engine.peek("k").born
    engine.replaced("k", born)
    assert await engine.get("k") == 1, "the same value, heard of again"
    engine.replaced("k", born + 1)
    assert await engine.get("k") is None
    factory.gate.clear()
    factory.begun.clear()
    waiter = asyncio.create_task(engine.get_or_set("k", factory))
    await factory.begun.wait()
    engine.replaced("k", engine.keeper.stamp())
    factory.gate.set()
    assert await waiter == 2
    assert engine.peek("k") is None


async def test_a_marker_of_a_node_whose_clock_is_ahead_does_not_hold_off_new_values():
    engine, factory = make_engine(), Factory()
    ahead = engine.keeper.stamp() + 3_600_000_000
    engine.heard([Marker(KEY, "k", ahead)])
    assert await engine.get_or_set("k", factory) == 1
    assert await engine.get_or_set("k", factory) == 1


async def test_an_entry_is_compared_with_its_own_beginning_not_the_reader_s():
    engine, factory = make_engine(), Factory()
    await engine.invalidate(tags=["t"])
    await engine.get_or_set("k", factory, tags=["t"])
    old = Marker(KEY, "k", engine.peek("k").born - 1)
    engine.heard([old])
    engine.heard([old])
    assert await engine.get_or_set("k", factory, tags=["t"]) == 1


async def test_a_load_that_began_while_nothing_was_heard_is_asked_for_anew():
    engine, factory = make_engine(), Factory(is_open=False)
    engine.cut_off()
    waiter = asyncio.create_task(engine.get_or_set("k", factory))
    await factory.begun.wait()
    engine.joined()
    factory.gate.set()
    assert await waiter == 1
    await settle(engine)
    assert await engine.get_or_set("k", factory) == 2
    assert await engine.get_or_set("k", factory) == 2


async def test_what_is_held_while_cut_off_is_served_for_that_time_and_after_joining_asked_for_anew():
    clock = ManualClock()
    engine, factory = make_engine(clock, cut_off_ttl_s=30), Factory()
    await engine.get_or_set("before", factory)
    engine.cut_off()
    clock.advance(20)
    engine.cut_off()
    await engine.get_or_set("during", factory)
    clock.advance(9.9)
    assert await engine.get_many(["before", "during"]) == {"before": 1, "during": 2}
    clock.advance(0.2)
    assert await engine.get_many(["before", "during"]) == {"during": 2}
    clock.advance(20)
    assert await engine.get_many(["before", "during"]) == {}
    factory.raises = OSError("away")
    with pytest.raises(OSError, match="away"):
        await engine.get_or_set("before", factory)
    factory.raises = None
    assert await engine.get_or_set("last", factory) == 4
    engine.joined()
    assert engine.explain("last")["state"] == "ended"
    assert await engine.get_or_set("last", factory) == 5
    assert await engine.get_or_set("last", factory) == 5


async def test_a_value_too_large_to_keep_replaces_the_old_one_all_the_same():
    engine = make_engine(max_value_bytes=100)
    await engine.set("k", "old")
    await engine.set("k", "x" * 101)
    assert await engine.get("k") is None


TAGS = {"a": ("t",), "ab": ("t", "u"), "b": ("u",), "c": ()}
KEYS = st.sampled_from(sorted(TAGS))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["ask", "ask", "ask", "many", "set", "key"]), KEYS),
        st.tuples(st.just("tag"), st.sampled_from("tu")),
        st.tuples(st.just("prefix"), st.sampled_from(["", "a", "b", "ab", "x"])),
        st.tuples(st.sampled_from(["all", "let go", "hold up"]), st.just("")),
        st.tuples(st.just("clock"), st.sampled_from("+-")),
    ),
    max_size=40,
)


class World:
    """The truth behind the keys: each change is a new version, and the cache is told of it."""

    def __init__(self, max_markers):
        self.clock = ManualClock()
        self.engine = make_engine(self.clock, max_markers=max_markers)
        self.version = dict.fromkeys(TAGS, 0)
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = []

    async def load(self, keys):
        found = {key: self.version[key] for key in keys}
        await self.gate.wait()
        return found

    async def one(self, key):
        least = self.version[key]

        async def load():
            return Cached((await self.load([key]))[key], tags=TAGS[key][1:])

        assert await self.engine.get_or_set(key, load, tags=TAGS[key][:1]) >= least

    async def many(self, key):
        keys = [key, "c"]
        least = dict(self.version)
        found = await self.engine.get_or_set_many(keys, self.load, tags=("t", "u"))
        assert all(found[each] >= least[each] for each in keys)

    def change(self, keys):
        for key in keys:
            self.version[key] += 1

    async def play(self, what, name):
        if what in ("ask", "many"):
            self.asked.append(asyncio.create_task(self.one(name) if what == "ask" else self.many(name)))
            for _ in range(3):
                await asyncio.sleep(0)
        elif what == "set":
            self.change([name])
            await self.engine.set(name, self.version[name], tags=TAGS[name])
        elif what == "key":
            self.change([name])
            await self.engine.invalidate(keys=[name])
        elif what == "tag":
            self.change([key for key in TAGS if name in TAGS[key]])
            await self.engine.invalidate(tags=[name])
        elif what == "prefix":
            self.change([key for key in TAGS if key.startswith(name)])
            await self.engine.invalidate(prefix=name)
        elif what == "all":
            self.change(TAGS)
            await self.engine.invalidate(everything=True)
        elif what == "clock":
            self.clock.step_wall(3600 if name == "+" else -3600)
        elif what == "hold up":
            self.gate.clear()
        else:
            await self.settle()

    async def settle(self):
        self.gate.set()
        await asyncio.gather(*self.asked)
        self.asked.clear()


@given(STEPS, st.sampled_from([16, 50_000]))
@settings(max_examples=300, deadline=None)
def test_no_answer_is_older_than_the_question(steps, max_markers):
    async def run():
        world = World(max_markers)
        for what, name in steps:
            await world.play(what, name)
        await world.settle()

    asyncio.run(run())
