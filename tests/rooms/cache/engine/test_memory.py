"""The bounds of the memory: bytes, count, parts of kinds; whatever is put in."""

import sys
import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.cache.engine.counts import Tally
from holdfast.rooms.cache.engine.memory import Memory
from holdfast.rooms.cache.rules import kinds
from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.rules.kinds import KindSettings
from holdfast.rooms.cache.rules.settings import Config

from .making import Factory, make_engine

ALL = kinds.merge({"own": KindSettings(max_bytes=20_000)})
TALLIES = {name: Tally(name) for name in ALL}


def entry(key, size, kind="default", born=1):
    return Entry(key, key, kind, born, 0.0, 0.0, size_bytes=size, tally=Tally(kind))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "put", "drop", "hit"]),
            st.integers(0, 60),
            st.integers(1, 12_000),
            st.sampled_from(["default", "own"]),
        ),
        max_size=300,
    )
)
@settings(max_examples=150, deadline=None)
def test_no_bound_is_passed_and_the_books_agree(steps):
    config = Config(max_bytes=100_000, max_entries=40, largest_share=0.2)
    memory = Memory(config, ALL)
    tallies = {"default": Tally("default"), "own": Tally("own")}
    for born, (what, number, size, kind) in enumerate(steps):
        held = memory.entries.get(str(number))
        if what == "put":
            new = entry(str(number), size, kind, born)
            new.tally = tallies[kind]
            kept = memory.put(new)
            assert (memory.entries.get(str(number)) is new) is kept
        elif what == "drop" and held is not None:
            memory.drop(held)
        elif held is not None:
            held.hits = min(3, held.hits + 1)
        entries = list(memory.entries.values())
        own = [each.size_bytes for each in entries if each.kind == "own"]
        rest = [each.size_bytes for each in entries if each.kind == "default"]
        assert sum(own) <= 20_000
        assert sum(rest) <= 80_000
        assert len(entries) <= 40
        assert memory.size_bytes == sum(own) + sum(rest)
        assert tallies["own"].size_bytes == sum(own)
        assert tallies["default"].entries == len(rest)


def test_an_older_value_replaces_nothing():
    memory = Memory(Config(), ALL)
    new = entry("k", 10, born=5)
    assert memory.put(new)
    assert not memory.put(entry("k", 10, born=4))
    assert memory.entries["k"] is new


def test_a_value_larger_than_its_share_is_refused_and_takes_its_older_self_along():
    memory = Memory(Config(max_bytes=100_000, largest_share=0.1), kinds.merge({}))
    others = [entry(f"k{n}", 1_000) for n in range(50)]
    for each in others:
        memory.put(each)
    large = entry("k0", 10_001, born=2)
    assert not memory.put(large)
    assert large.tally.refused == 1
    assert set(memory.entries) == {f"k{n}" for n in range(1, 50)}


def test_parts_that_leave_nothing_for_the_rest_stop_the_start():
    with pytest.raises(Misconfigured, match="llm"):
        Memory(Config(max_bytes=1 << 20), kinds.merge({"llm": KindSettings(max_bytes=1 << 20)}))


async def test_a_value_of_a_hundred_megabytes_is_given_and_not_kept():
    engine, factory = make_engine(), Factory()
    await engine.set("small", 1)
    factory.gives = b"x" * 100_000_000
    found = await engine.get_or_set("large", factory)
    assert len(found) == 100_000_000
    assert engine.peek("large") is None
    assert await engine.get("small") == 1
    assert engine.keeper.tallies["default"].refused == 1
    assert engine.keeper.memory.size_bytes < 10_000


@pytest.mark.slow
async def test_ever_new_keys_stay_within_the_bounds():
    engine = make_engine(max_bytes=4 << 20, max_entries=5_000)

    async def load():
        return "농장"

    for number in range(50_000):
        await engine.get_or_set(f"key:{number}", load)
    memory = engine.keeper.memory
    assert len(memory.entries) <= 5_000
    assert memory.size_bytes <= 4 << 20
    assert len(engine.flights) == 0
    assert engine.keeper.tallies["default"].evictions >= 45_000


VALUES = {
    "list of records": [
        {"id": n, "name": f"농장 {n}", "score": n / 7, "tags": ["a", "b"]} for n in range(2_000)
    ],
    "long text": {"text": "답" * 100_000},
    "numbers": list(range(1_000_000, 1_050_000)),
    "bytes": b"x" * 500_000,
}


@pytest.mark.parametrize("name", VALUES)
async def test_the_estimated_size_is_near_what_python_takes(name):
    engine = make_engine()
    await engine.set("warm", [1])
    body = VALUES[name] if name == "bytes" else msgspec.json.encode(VALUES[name])
    tracemalloc.start()
    value = bytes(bytearray(body)) if name == "bytes" else msgspec.json.decode(body)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    await engine.set("k", value)
    assert 0.5 < engine.peek("k").size_bytes / taken < 2.5, (engine.peek("k").size_bytes, taken)
    assert sys.getsizeof(value)


async def test_what_has_ended_is_let_go_without_being_asked_for():
    clock = ManualClock()
    engine = make_engine(clock, kinds={"brief": KindSettings(ttl_s=10, fail_safe_s=0)})
    for number in range(100):
        await engine.set(f"brief:{number}", number, kind="brief")
        await engine.set(f"long:{number}", number)
    await engine.set("tagged", 1, tags=["t"])
    clock.advance(12)
    await engine.invalidate(tags=["t"])
    assert sum(engine.keeper.sweep(50) for _ in range(6)) == 101
    assert len(engine.keeper.memory.entries) == 100
    assert engine.keeper.memory.size_bytes == sum(
        each.size_bytes for each in engine.keeper.memory.entries.values()
    )
