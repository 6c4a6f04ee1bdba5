"""The store killed, paused, full, cut off and failed over; clocks that step; holders that die."""

import asyncio

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.ports.shared import SharedDown
from holdfast.rooms.cache.engine.remote import Lease
from holdfast.rooms.cache.rules.entry import EVERYTHING, KEY, PREFIX, TAG, Entry, Marker
from tests.rooms.cache.shared.nodes import cut_wire, node, pause
from tests.stores.redis.proxy import Proxy
from tests.waiting import until

SCOPES = [(KEY, "farm:1"), (TAG, "user:1"), (PREFIX, "farm:"), (EVERYTHING, "")]


@pytest.mark.parametrize(("scope", "name"), SCOPES)
async def test_a_node_that_was_cut_off_serves_nothing_dead_when_it_is_back(own_redis, scope, name):
    async with cut_wire(own_redis.port) as wire, node(wire.url, "a") as a, node(own_redis.url, "b") as b:
        await a.fill("farm:1", tags=("user:1",))
        assert await a.body("farm:1") == b'"v"'
        await wire.cut()
        await until(lambda: a.ears.turns == ["joined", "cut_off"])
        await b.mark(scope, name)
        assert await a.body("farm:1") is None
        await wire.open()
        while await until(lambda: a.tier.is_up) and await a.body("farm:1") is not None:
            raise AssertionError("a dead value was served")
        await until(lambda: a.tier.state()["is_joined"])
        assert a.ears.turns == ["joined", "cut_off", "joined"]
        assert await a.body("farm:1") is None
        lease = await a.tier.claim("farm:1")
        assert isinstance(lease, Lease)


@pytest.mark.parametrize(("scope", "name"), SCOPES)
async def test_an_invalidation_by_a_node_that_is_cut_off_reaches_the_others_later(own_redis, scope, name):
    async with cut_wire(own_redis.port) as wire, node(wire.url, "a") as a, node(own_redis.url, "b") as b:
        await b.fill("farm:1", tags=("user:1",))
        await wire.cut()
        await until(lambda: not a.tier.is_up)
        marker = await a.mark(scope, name)
        assert a.tier.state()["journal_markers"] == 1
        await wire.open()
        await until(lambda: b.ears.markers)
        assert b.ears.markers == [marker]
        assert await b.body("farm:1") is None
        await until(lambda: not a.tier.state()["journal_markers"])


@pytest.mark.parametrize(("scope", "name"), SCOPES)
async def test_what_was_stored_after_a_missed_invalidation_outlives_its_coming(own_redis, scope, name):
    async with cut_wire(own_redis.port) as wire, node(wire.url, "a") as a, node(own_redis.url, "b") as b:
        await wire.cut()
        await until(lambda: not a.tier.is_up)
        marker = await a.mark(scope, name)
        # Later by the server's clock too, which this node knows to a round trip.
        await until(lambda: b.shared.clock_us(-1) > marker.stamp + 5_000)
        await b.fill("farm:1", b"newer", tags=("user:1",))
        await wire.open()
        await until(lambda: a.tier.state()["is_joined"] and not a.tier.state()["journal_markers"])
        await until(lambda: b.ears.markers == [marker])
        assert await b.body("farm:1") == b"newer"
        assert await a.body("farm:1") == b"newer"


async def test_writes_that_were_missed_are_made_up_for_and_never_replace_newer_ones(own_redis):
    async with cut_wire(own_redis.port) as wire, node(wire.url, "a") as a, node(own_redis.url, "b") as b:
        await b.fill("changed", b"0")
        await wire.cut()
        await until(lambda: not a.tier.is_up)
        for i in range(100):
            assert not await a.tier.store([a.entry(f"k{i}", b"a")])
        assert not await a.tier.store([a.entry("changed", b"a")])
        assert a.tier.state()["journal_writes"] == 101
        await b.tier.store([b.entry("changed", b"b", born=b.stamp() + 1_000_000)])
        await wire.open()
        await until(lambda: a.tier.state()["journal_writes"] == 0 and a.tier.state()["replayed"])
        await until(lambda: len(b.ears.replacements) == 100)
        assert await b.body("k99") == b"a"
        assert await a.body("changed") == b"b"


async def test_the_server_is_killed_and_comes_back_empty(own_redis):
    async with node(own_redis.url, "a") as a, node(own_redis.url, "b") as b:
        await a.fill("old")
        lease = await a.tier.claim("k")
        assert await b.tier.claim("k") is None
        waiting = asyncio.create_task(b.tier.filled("k", 3600.0))
        own_redis.kill()
        await waiting
        with pytest.raises(SharedDown):
            await b.tier.claim("k")
        # Newer than the load by any clock: a node knows the server's to a round trip.
        await until(lambda: b.shared.clock_us(-1) > lease.born)
        assert not await b.tier.store([b.entry("k", b"b")])
        await b.mark(TAG, "t")
        own_redis.start()
        await until(lambda: b.tier.state()["replayed"] == 1)
        await until(lambda: a.ears.turns == ["joined", "cut_off", "joined"])
        assert await a.body("old") is None
        assert not await a.tier.store([a.entry("k", b"a", born=lease.born)], lease)
        assert await a.body("k") == b"b"
        assert own_redis.ask("EXISTS", "holdfast:cache1:t:{=t}")


async def test_a_load_that_outlives_the_server_keeps_its_lease(own_redis):
    async with node(own_redis.url, "a", lease_s=0.3) as a, node(own_redis.url, "b", lease_s=0.3) as b:
        lease = await a.tier.claim("k")
        own_redis.kill()
        own_redis.start()
        await until(lambda: a.ears.turns == b.ears.turns == ["joined", "cut_off", "joined"])
        await until(lambda: own_redis.ask("EXISTS", "holdfast:cache1:l:{=k}"))
        assert await b.tier.claim("k") is None
        assert await a.tier.store([a.entry("k", born=lease.born)], lease)
        assert isinstance(await b.tier.claim("k"), Entry)


async def test_a_paused_server_costs_the_budget_and_leaves_nothing_behind(own_redis):
    """What is there before and after another tells: a busy machine may miss so short a budget as well."""
    async with node(own_redis.url, "a", budget_ms=50.0) as a, node(own_redis.url, "b") as b:
        await b.fill("k")
        own_redis.pause()
        try:
            with pytest.raises(SharedDown):
                await a.tier.claim("other")
            await until(lambda: not a.tier.is_up)
            assert await a.body("k") is None
            marker = await a.mark(TAG, "t")
            assert not await a.tier.store([a.entry("new", b"1")])
        finally:
            own_redis.resume()
        await until(lambda: a.tier.state()["replayed"] and not a.tier.state()["journal_markers"])
        await until(lambda: not own_redis.ask("EXISTS", "holdfast:cache1:l:{=other}"))
        assert await b.body("k") == b'"v"'
        assert await b.body("new") == b"1"
        assert int(own_redis.ask("GET", "holdfast:cache1:t:{=t}")) == marker.stamp


async def test_a_full_server_still_takes_invalidations_of_keys(own_redis):
    async with node(own_redis.url, "a") as a, node(own_redis.url, "b") as b:
        await a.fill("k")
        own_redis.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(SharedDown):
            await a.tier.claim("other")
        assert not await a.tier.store([a.entry("new")])
        assert a.tier.state()["refused"] == 2
        await a.mark(KEY, "k")
        await a.mark(TAG, "t")
        assert await b.body("k") is None
        assert a.tier.state()["journal_markers"] == 1
        assert {marker.name for marker in b.ears.markers} == {"k", "new"}
        own_redis.ask("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: a.tier.state()["journal_markers"] == 0)
        await until(lambda: {marker.name for marker in b.ears.markers} == {"k", "t", "new"})


async def test_markers_that_a_fail_over_lost_are_said_again_with_their_stamps(own_redis):
    async with node(own_redis.url, "a") as a, node(own_redis.url, "b") as b:
        entry = await b.fill("k", tags=("t",))
        marker = await a.mark(TAG, "t")
        prefix = await a.mark(PREFIX, "other:")
        await until(lambda: len(b.ears.markers) == 2)
        stamps = [each.stamp for each in b.ears.markers]
        own_redis.ask("DEL", "holdfast:cache1:t:{=t}", "holdfast:cache1:wide")
        own_redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: a.ears.turns == ["joined", "cut_off", "joined"])
        assert int(own_redis.ask("GET", "holdfast:cache1:t:{=t}")) == stamps[0] >= marker.stamp > entry.born
        async with node(own_redis.url, "c") as c:
            assert await c.body("k") is None
            assert c.ears.markers[0] == Marker(PREFIX, "other:", stamps[1])
            assert stamps[1] >= prefix.stamp


async def test_a_node_that_cannot_hear_asks_every_time(own_redis):
    own_redis.ask("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "+@all", "-subscribe", "&*")
    deaf = own_redis.url.replace("redis://", "redis://deaf:pw@")
    async with node(own_redis.url, "a") as a, node(deaf, "b", waits=False) as b:
        await until(lambda: b.tier.is_up)
        await a.fill("farm:1", tags=("t",))
        assert await b.body("farm:1") == b'"v"'
        for scope, name in ((TAG, "t"), (PREFIX, "farm"), (EVERYTHING, ""), (KEY, "farm:1")):
            await a.mark(scope, name)
            assert await b.body("farm:1") is None
            lease = await a.tier.claim("farm:1")
            assert await b.tier.claim("farm:1") is None
            waiting = asyncio.create_task(b.tier.filled("farm:1", 3600.0))
            await a.tier.store([a.entry("farm:1", b"new", born=lease.born, tags=("t",))], lease)
            await waiting
            assert (await b.tier.claim("farm:1")).body == b"new"
        assert not b.tier.state()["is_joined"]


class SteppedClock(SystemClock):
    """The machine's clock, with a wall that an operator moves."""

    def __init__(self, offset_s: float) -> None:
        self.offset_s = offset_s
        self.wall = lambda: SystemClock.wall() + self.offset_s


@pytest.mark.parametrize("offset_s", [-86_400.0, 86_400.0])
async def test_a_wall_clock_that_steps_changes_nothing(own_redis, offset_s):
    clock = SteppedClock(offset_s)
    async with node(own_redis.url, "a", clock=clock) as a, node(own_redis.url, "b") as b:
        for turn in range(3):
            clock.offset_s = -clock.offset_s
            entry = await a.fill("k", b"%d" % turn, tags=("t",))
            assert (await b.tier.claim("k")).fresh_until - b.clock.monotonic() == pytest.approx(60.0, abs=5.0)
            marker, hearer = (await a.mark(TAG, "t"), b) if turn % 2 else (await b.mark(TAG, "t"), a)
            await until(lambda at=marker.stamp, ears=hearer.ears: [m for m in ears.markers if m.stamp >= at])
            assert await a.body("k") is None
            assert await b.body("k") is None
            assert abs(entry.born / 1e6 - SystemClock.wall()) < 60.0


async def test_a_sentinel_fail_over(redis_sentinel):
    async with node(redis_sentinel.url, "a") as a, node(redis_sentinel.url, "b") as b:
        await a.fill("k", tags=("t",))
        redis_sentinel.master.kill()
        await until(lambda: not a.tier.is_up)
        await a.mark(TAG, "t")
        await until(lambda: a.tier.state()["is_joined"] and a.tier.state()["journal_markers"] == 0)
        await until(lambda: b.tier.state()["is_joined"])
        assert await b.body("k") is None
        await a.fill("k", b"new", tags=("t",))
        assert await b.body("k") == b"new"


async def test_a_cluster_s_master_dies(own_redis_cluster):
    """Its replica takes over: the invalidation said meanwhile holds, wherever value and marker lie."""
    cluster = own_redis_cluster
    doomed = cluster.masters[0]
    keys = [f"k{i}" for i in range(60)]
    async with node(cluster.url, "a") as a, node(cluster.url, "b") as b:
        for key in keys:
            await a.fill(key, tags=(f"tag:{key}",))
        await until(lambda: cluster.replica.ask("DBSIZE") == doomed.ask("DBSIZE"))
        doomed.kill()
        for key in keys:
            await a.mark(TAG, f"tag:{key}")
        await until(lambda: a.tier.state()["journal_markers"] == 0)
        await until(lambda: a.tier.state()["is_joined"] and b.tier.state()["is_joined"])
        assert await b.tier.fetch(keys) == [None] * len(keys)
        for key in keys:
            await a.fill(key, b"new", tags=(f"tag:{key}",))
        # The other node finds out by itself who answers now, and until then finds nothing, never the old.
        while None in (found := [entry and entry.body for entry in await b.tier.fetch(keys)]):
            await pause(0.02)
        assert found == [b"new"] * len(keys)


async def test_a_wire_that_swallows_everything(own_redis):
    """A partition without a reset: connections stand, nothing arrives."""
    proxy = Proxy(own_redis.port)
    await proxy.start()
    try:
        async with node(proxy.url, "a", budget_ms=50.0) as a, node(own_redis.url, "b") as b:
            await b.fill("k", tags=("t",))
            await until(lambda: a.body("k"))  # its budget is short: a busy machine may miss it
            proxy.stall()
            await b.mark(TAG, "t")
            await until(lambda: a.ears.turns == ["joined", "cut_off"])
            assert await a.body("k") is None
            marker = await a.mark(TAG, "own")
            proxy.resume()
            await until(lambda: a.tier.state()["is_joined"])
            assert await a.body("k") is None
            await until(lambda: marker.name in [each.name for each in b.ears.markers])
    finally:
        await proxy.stop()
