"""Getting, keeping, ending: one engine alone."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.context import detached, enter
from holdfast.kernel.event import Event
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.rules.freshness import Absent, Cached
from holdfast.rooms.cache.rules.kinds import KindSettings
from holdfast.rooms.cache.rules.problems import BadCall, BadKey, BadValue, LoadTimeout, UnknownKind

from .making import Factory, make_engine, refused, settle

HARD_KEYS = ["", " ", "a b\tc\n", "nul\0in it", "농장:목록:서울", "k" * 10_240, "{tag}:*?[x]", "\ud800"]


@pytest.fixture
def clock():
    return ManualClock()


async def test_a_value_is_loaded_once_and_given_until_its_time_is_over(clock):
    engine, factory = make_engine(clock), Factory()
    assert await engine.get_or_set("k", factory, ttl_s=10) == 1
    clock.advance(9.99)
    assert await engine.get_or_set("k", factory, ttl_s=10) == 1
    assert await engine.get("k") == 1
    clock.advance(0.02)
    assert await engine.get("k", otherwise="none") == "none"
    assert await engine.get_or_set("k", factory, ttl_s=10) == 2


@pytest.mark.parametrize("key", HARD_KEYS)
async def test_any_text_is_a_key(key):
    engine, factory = make_engine(), Factory()
    await engine.get_or_set(key, factory)
    assert await engine.get_or_set(key, factory) == 1
    await engine.invalidate(keys=[key])
    assert await engine.get(key) is None
    assert await engine.get_or_set(key, factory) == 2


@pytest.mark.parametrize("key", [1, b"k", None, ("k",), ["k"], {}])
async def test_a_key_that_is_no_text_is_refused(key):
    engine = make_engine()
    for call in (
        lambda: engine.get(key),
        lambda: engine.set(key, 1),
        lambda: engine.get_or_set(key, Factory()),
        lambda: engine.invalidate(keys=[key]),
    ):
        with refused((BadKey, TypeError) if isinstance(key, dict | list) else BadKey):
            try:
                await call()
            except TypeError as error:  # `set` of a key that no dict can hold
                raise BadKey(str(error), hint="unhashable") from None


async def test_unknown_kinds_and_single_texts_are_refused():
    engine = make_engine()
    with pytest.raises(UnknownKind, match="dashboard, default, farm_list"):
        await engine.get_or_set("k", Factory(), kind="dashbord")
    for call in (
        lambda: engine.get_or_set("k", Factory(), tags="user:1"),
        lambda: engine.get_many("keys"),
        lambda: engine.invalidate(tags="user:1"),
        lambda: engine.invalidate(),
    ):
        with refused(BadCall):
            await call()


async def test_kinds_live_as_long_as_their_settings_say(clock):
    engine = make_engine(clock, kinds={"llm": KindSettings(jitter=0, fail_safe_s=0, early_beta=0)})
    await engine.set("a", 1, kind="llm")
    await engine.set("b", 1, kind="default", ttl_s=7200)
    clock.advance(3599)
    assert await engine.get_many(["a", "b"]) == {"a": 1, "b": 1}
    clock.advance(1)
    assert await engine.get_many(["a", "b"]) == {"b": 1}


class Farm(msgspec.Struct):
    name: str
    size: tuple[int, int]


async def test_the_first_caller_gets_what_all_later_ones_get():
    engine = make_engine()

    async def load():
        return Farm("밭", (1, 2))

    first = await engine.get_or_set("plain", load)
    assert first == {"name": "밭", "size": [1, 2]}
    assert await engine.get_or_set("plain", load) is first
    typed = await engine.get_or_set("typed", load, returns=Farm)
    assert typed == Farm("밭", (1, 2))
    assert await engine.get_or_set("typed", load, returns=Farm) == typed


async def test_bytes_are_kept_as_they_are():
    engine = make_engine()
    await engine.set("raw", bytearray(b"\x00\xff{"))
    assert await engine.get("raw") == b"\x00\xff{"


async def test_an_isolated_kind_gives_each_caller_a_value_of_its_own():
    engine = make_engine(kinds={"own": KindSettings(isolated=True)})
    factory = Factory()
    factory.gives = {"list": [1]}
    first = await engine.get_or_set("k", factory, kind="own")
    second = await engine.get_or_set("k", factory, kind="own")
    second["list"].append(2)
    third = await engine.get_or_set("k", factory, kind="own")
    assert first == third == {"list": [1]}
    assert factory.calls == 1


async def test_what_json_cannot_say_is_refused_and_keeps_nothing():
    engine, factory = make_engine(), Factory()
    await engine.set("k", "old")
    factory.gives = object()
    with refused(BadValue):
        await engine.get_or_set("new", factory)
    with refused(BadValue):
        await engine.set("k", object())
    with refused(BadValue):
        await engine.set_many({"fine": 1, "k": object()})
    assert await engine.get_many(["k", "fine", "new"]) == {"k": "old"}


async def test_a_value_that_is_not_of_its_type_is_refused():
    engine, factory = make_engine(), Factory()
    factory.gives = {"name": 1}
    with refused(BadValue):
        await engine.get_or_set("k", factory, returns=Farm)
    with refused(BadValue):
        await engine.get_or_set("k", factory, returns=type("NoSchema", (), {}))


async def test_nothing_is_remembered_for_its_own_time(clock):
    engine, factory = make_engine(clock), Factory()
    factory.gives = Absent()
    assert await engine.get_or_set("k", factory) is None
    clock.advance(29)
    assert await engine.get_or_set("k", factory) is None
    assert await engine.get("k", otherwise="none") == "none"
    assert factory.calls == 1
    clock.advance(1)
    factory.gives = None
    assert await engine.get_or_set("k", factory) == 2
    [tally] = engine.tallies()
    assert tally.negative == 2


async def test_none_counts_as_nothing_and_may_be_left_out(clock):
    engine = make_engine(clock, kinds={"strict": KindSettings(negative_ttl_s=0)})
    calls = 0

    async def load():
        nonlocal calls
        calls += 1

    for _ in range(2):
        assert await engine.get_or_set("k", load, kind="strict") is None
    assert calls == 2
    for _ in range(2):
        assert await engine.get_or_set("k", load) is None
    assert calls == 3


async def test_a_factory_may_choose_life_and_tags_by_the_value(clock):
    engine, factory = make_engine(clock), Factory()
    factory.gives = Cached({"v": 1}, ttl_s=5, tags=("of the value",))
    assert await engine.get_or_set("k", factory, ttl_s=100, tags=["of the call"]) == {"v": 1}
    assert engine.peek("k").tags == ("of the call", "of the value")
    clock.advance(5)
    await engine.get_or_set("k", factory)
    assert factory.calls == 2
    await engine.invalidate(tags=["of the value"])
    await engine.get_or_set("k", factory)
    assert factory.calls == 3
    factory.gives = Cached(1, ttl_s=0)
    await engine.get_or_set("never kept", factory)
    assert engine.peek("never kept") is None


async def test_times_to_live_are_spread(clock):
    config = make_engine().config
    from random import Random

    from holdfast.ports.services import NoMeter

    engine = CacheEngine(
        msgspec.structs.replace(config, kinds={}), clock=clock, meter=NoMeter(), rng=Random(1)
    )
    for number in range(500):
        await engine.set(f"k{number}", number, ttl_s=100)
    ends = sorted(entry.fresh_until - clock.monotonic() for entry in engine.keeper.memory.entries.values())
    assert 90 <= ends[0] < 91
    assert 109 < ends[-1] <= 110


@pytest.mark.parametrize("step_s", [-86_400, 86_400])
async def test_a_step_of_the_wall_clock_changes_nothing(clock, step_s):
    engine, factory = make_engine(clock), Factory()
    await engine.get_or_set("k", factory, ttl_s=60, tags=["t"])
    clock.step_wall(step_s)
    clock.advance(59)
    assert await engine.get_or_set("k", factory) == 1
    await engine.invalidate(tags=["t"])
    assert await engine.get_or_set("k", factory, tags=["t"]) == 2
    clock.step_wall(-step_s)
    await engine.invalidate(keys=["k"])
    assert await engine.get_or_set("k", factory, tags=["t"]) == 3
    assert await engine.get_or_set("k", factory) == 3


async def test_a_hit_is_noted_on_the_record_of_the_request(clock):
    engine, factory = make_engine(clock), Factory()
    ctx = detached(Event(), clock)
    enter(ctx)
    await engine.get_or_set("k", factory, kind="dashboard")
    assert ctx.event.facts == {"cache": "load:dashboard"}
    await engine.get_or_set("k", factory, kind="dashboard")
    assert ctx.event.facts == {"cache": "memory:dashboard"}
    clock.advance(70)
    await engine.get_or_set("k", factory, kind="dashboard")
    assert ctx.event.facts == {"cache": "stale:dashboard", "cache_stale": "dashboard"}
    await settle(engine)
    assert await engine.get("k") == 2


async def test_the_deadline_of_a_request_ends_its_wait_and_not_the_load(clock):
    engine, factory = make_engine(clock), Factory(is_open=False)
    ctx = detached(Event(), clock)
    ctx.deadline = clock.monotonic()
    token = enter(ctx)
    with refused(LoadTimeout):
        await engine.get_or_set("k", factory)
    ctx.deadline = None
    factory.gate.set()
    assert await engine.get_or_set("k", factory) == 1
    assert factory.calls == 1
    assert token is not None


async def test_explain_tells_everything_but_the_value(clock):
    engine = make_engine(clock)
    assert engine.explain("k")["state"] == "absent"
    await engine.set("k", "a secret", tags=["t"], ttl_s=10)
    told = engine.explain("k")
    assert (told["state"], told["kind"], told["tags"], told["fresh_for_s"]) == ("fresh", "default", ["t"], 10)
    assert "secret" not in str(told)
    clock.advance(11)
    assert engine.explain("k")["state"] == "standby"
    await engine.invalidate(tags=["t"])
    assert engine.explain("k")["state"] == "dead by tag"


async def test_values_that_only_msgspec_knows_come_back_by_their_type():
    engine = make_engine()
    when = datetime(2025, 6, 15, tzinfo=UTC)

    async def load():
        return when

    assert await engine.get_or_set("k", load, returns=datetime) == when


def test_an_engine_serves_a_second_loop():
    engine = make_engine()

    async def ask():
        factory = Factory()
        values = await asyncio.gather(*(engine.get_or_set("k", factory, ttl_s=60) for _ in range(5)))
        await engine.invalidate(keys=["k"])
        return values, factory.calls, len(engine.flights)

    for _ in range(2):
        assert asyncio.run(ask()) == ([1] * 5, 1, 0)
