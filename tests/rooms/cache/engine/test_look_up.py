"""What a miss in memory reads from the second tier before a load is opened. On a real server."""

import asyncio
import contextlib
from itertools import count

import pytest

from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.rooms.cache.rules.kinds import KindSettings
from tests.waiting import until

from .making import Factory
from .test_two_nodes import engine_on

_numbers = count()


class Counted:
    """The second tier, with its calls counted and its answers to `fetch` held back while the gate is shut."""

    def __init__(self, tier):
        self._tier = tier
        self.calls = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.has_read = asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._tier, name)

    async def fetch(self, keys):
        self.calls.append("fetch")
        found = await self._tier.fetch(keys)
        self.has_read.set()
        await self.gate.wait()
        return found

    async def claim(self, key, *, refresh=False):
        self.calls.append("claim")
        return await self._tier.claim(key, refresh=refresh)


@pytest.fixture
async def nodes(redis_database):
    """One that stores, one that asks, and the asker's view of the second tier."""
    namespace = f"look{next(_numbers)}"
    kinds = {"own": KindSettings(isolated=True)}
    async with (
        engine_on(redis_database, "stores", namespace, kinds=kinds) as here,
        engine_on(redis_database, "asks", namespace, kinds=kinds) as there,
    ):
        tier = Counted(there._remote)
        there.connect(tier)
        there.joined()
        yield here, there, tier


async def test_a_hit_in_the_second_tier_is_one_read_and_is_kept(nodes):
    here, there, tier = nodes
    factory = Factory()
    await here.set("k", {"농장": 1}, kind="dashboard")
    ctx = detached(Event())
    token = enter(ctx)
    try:
        assert await there.get_or_set("k", factory, kind="dashboard") == {"농장": 1}
    finally:
        leave(token)
    assert ctx.event.facts == {"cache": "shared:dashboard"}
    tally = there.keeper.tallies["dashboard"]
    assert (tally.misses, tally.shared_hits, tally.hits) == (1, 1, 0)
    assert await there.get_or_set("k", factory, kind="dashboard") == {"농장": 1}
    assert (tally.misses, tally.shared_hits, tally.hits) == (1, 1, 1)
    assert (tier.calls, factory.calls) == (["fetch"], 0)


async def test_a_cold_miss_costs_one_read_more_and_a_second_caller_does_not_wait_for_it(nodes):
    _, there, tier = nodes
    factory = Factory()
    assert await there.get_or_set("cold", factory) == 1
    assert tier.calls == ["fetch", "claim"]
    tier.calls.clear()
    tier.gate.clear()
    first = asyncio.create_task(there.get_or_set("other", factory))
    await tier.has_read.wait()
    assert await asyncio.gather(*(there.get_or_set("other", factory) for _ in range(9))) == [2] * 9
    assert tier.calls == ["fetch", "claim"]
    tier.gate.set()
    assert await first == 2
    assert factory.calls == 2


async def test_what_a_flight_finds_there_is_noted_as_shared_too(nodes):
    here, there, tier = nodes
    await here.set("k", "v")
    tier.gate.clear()
    first = asyncio.create_task(there.get_or_set("k", Factory()))
    await tier.has_read.wait()
    ctx = detached(Event())
    token = enter(ctx)
    try:
        assert await there.get_or_set("k", Factory()) == "v"
    finally:
        leave(token)
    assert ctx.event.facts == {"cache": "shared:default"}
    tier.gate.set()
    assert await first == "v"


async def test_who_leaves_while_looking_takes_nobody_along(nodes):
    here, there, tier = nodes
    await here.set("k", "v")
    tier.gate.clear()
    first = asyncio.create_task(there.get_or_set("k", Factory()))
    await tier.has_read.wait()
    others = [asyncio.create_task(there.get_or_set("k", Factory())) for _ in range(3)]
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    assert await asyncio.gather(*others) == ["v"] * 3
    await there.invalidate(keys=["k"])
    tier.gate.set()
    tier.calls.clear()
    assert await there.get_or_set("k", Factory()) == 1
    assert tier.calls == ["fetch", "claim"]


@pytest.mark.parametrize("way", [{"keys": ["k"]}, {"tags": ["t"]}, {"prefix": "k"}, {"everything": True}])
async def test_a_marker_that_is_heard_while_looking_kills_what_was_read(nodes, way):
    here, there, tier = nodes
    await here.set("k", "old", tags=["t"])
    tier.gate.clear()
    looking = asyncio.create_task(there.get_or_set("k", Factory()))
    await tier.has_read.wait()
    marks = there.keeper.markers.count
    await here.invalidate(**way)
    await until(lambda: there.keeper.markers.count > marks)
    tier.gate.set()
    assert await looking == 1
    assert await there.get_or_set("k", Factory()) == 1


async def test_what_another_node_replaces_while_it_is_read_is_not_kept(nodes):
    here, there, tier = nodes
    await here.set("k", "old")
    tier.gate.clear()
    looking = asyncio.create_task(there.get_or_set("k", Factory()))
    await tier.has_read.wait()
    heard = asyncio.Event()
    outdate = there.keeper.outdate
    there.keeper.outdate = lambda key, born: (outdate(key, born), heard.set())
    await here.set("k", "new")
    await heard.wait()
    tier.gate.set()
    assert await looking == "old"  # it asked before
    assert await there.get_or_set("k", Factory()) == "new"


async def test_an_isolated_value_is_the_caller_s_own(nodes):
    here, there, _ = nodes
    await here.set("k", [1], kind="own")
    first = await there.get_or_set("k", Factory(), kind="own")
    first.append(2)
    assert await there.get_or_set("k", Factory(), kind="own") == [1]


async def test_an_absence_that_another_node_remembers_is_taken_over(nodes):
    here, there, tier = nodes
    factory = Factory()
    await here.set("k", None)
    assert await there.get_or_set("k", factory) is None
    assert (tier.calls, factory.calls) == (["fetch"], 0)
