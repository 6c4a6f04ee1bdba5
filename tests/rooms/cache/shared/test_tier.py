"""Two nodes over a real server: one value, one lease, one invalidation."""

import asyncio
from itertools import count

import pytest

from holdfast.ports.shared import SharedDown
from holdfast.rooms.cache.engine.remote import Lease
from holdfast.rooms.cache.rules.entry import EVERYTHING, KEY, PREFIX, TAG, Entry
from holdfast.rooms.cache.store.keys import Keys
from tests.rooms.cache.shared.nodes import node, pause
from tests.rooms.cache.shared.test_wire import HARD_KEYS
from tests.waiting import until

_numbers = count()


@pytest.fixture(params=["alone", "cluster"])
def url(request):
    if request.param == "alone":
        return request.getfixturevalue("redis_database")
    cluster = request.getfixturevalue("redis_cluster")
    cluster.empty()
    return cluster.url


@pytest.fixture
async def pair(url):
    """Two nodes that hear each other; channels know no database, so each test has a namespace."""
    namespace = f"t{next(_numbers)}"
    async with node(url, "a", namespace=namespace) as a, node(url, "b", namespace=namespace) as b:
        yield a, b


async def test_what_one_node_stores_the_other_finds(pair):
    a, b = pair
    entry = await a.fill("farm:1", b'{"a":1}', tags=("farm", "user:1"), load_s=0.5)
    found = await b.tier.claim("farm:1")
    assert isinstance(found, Entry)
    assert (found.body, found.tags, found.born, found.load_s) == (
        b'{"a":1}',
        ("farm", "user:1"),
        entry.born,
        0.5,
    )
    assert 55 < found.fresh_until - b.clock.monotonic() <= 60.1
    assert await b.body("farm:1") == b'{"a":1}'


async def test_one_lease_for_all(pair):
    a, b = pair
    lease = await a.tier.claim("k")
    assert isinstance(lease, Lease)
    assert await b.tier.claim("k") is None
    assert await a.tier.claim("k") is None
    assert await a.tier.store([a.entry("k", born=lease.born)], lease)
    assert isinstance(await b.tier.claim("k"), Entry)


async def test_who_waits_is_woken_by_the_value(pair):
    a, b = pair
    lease = await a.tier.claim("k")
    assert await b.tier.claim("k") is None
    waiting = asyncio.create_task(b.tier.filled("k", 3600.0))
    await until(lambda: b.tier.state()["waiting"])
    await a.tier.store([a.entry("k", born=lease.born)], lease)
    await waiting
    assert (await b.tier.claim("k")).body == b'"v"'
    assert b.tier.state()["waiting"] == 0


async def test_a_value_stored_between_the_answer_and_the_wait_is_not_missed(pair):
    a, b = pair
    lease = await a.tier.claim("k")
    assert await b.tier.claim("k") is None
    await a.tier.store([a.entry("k", born=lease.born)], lease)
    await until(lambda: b.ears.replacements)
    await b.tier.filled("k", 3600.0)


async def test_who_waits_is_woken_when_the_load_failed(pair):
    a, b = pair
    lease = await a.tier.claim("k")
    assert await b.tier.claim("k") is None
    waiting = asyncio.create_task(b.tier.filled("k", 3600.0))
    await until(lambda: b.tier.state()["waiting"])
    await a.tier.give_back(lease)
    await waiting
    assert isinstance(await b.tier.claim("k"), Lease)


async def test_a_refresh_takes_the_lease_though_the_value_is_fresh(pair):
    a, b = pair
    await a.fill("k", b"1")
    lease = await b.tier.claim("k", refresh=True)
    assert isinstance(lease, Lease)
    assert await a.tier.claim("k", refresh=True) is None
    assert (await a.tier.claim("k")).body == b"1"
    assert await b.tier.store([b.entry("k", b"2", born=lease.born)], lease)
    assert await a.body("k") == b"2"


async def test_a_load_replaces_what_lay_there_when_it_began_however_new_that_was(url):
    """Loads are dated early, by what the servers' clocks may differ; not earlier than what they replace."""
    async with node(url, "a", skew_us=60_000_000, namespace=f"t{next(_numbers)}") as a:
        written = a.entry("k", b"1")
        assert await a.tier.store([written])
        lease = await a.tier.claim("k", refresh=True)
        assert lease.born > written.born
        assert await a.tier.store([a.entry("k", b"2", born=lease.born)], lease)
        assert await a.body("k") == b"2"


async def test_a_lease_that_is_held_outlives_its_term_and_one_that_is_not_does_not(url):
    async with (
        node(url, "a", lease_s=1.0, max_load_s=4.0, namespace="held") as a,
        node(url, "b", namespace="held") as b,
    ):
        assert isinstance(await a.tier.claim("k"), Lease)
        await pause(1.0)
        # A busy machine may be late with one renewal; from the next one on the lease has its term again.
        await until(renewed(b, "k"))
        assert await b.tier.claim("k") is None
        await b.tier.filled("k", 10.0)
        while (found := await b.tier.claim("k")) is None:
            await b.tier.filled("k", 10.0)
        assert isinstance(found, Lease)


def renewed(at, key):
    """Whether the time that the lease has left has grown since the last look."""
    looks = []

    async def look():
        looks.append(await at.shared.call("PTTL", Keys("held").lease(key)))
        return looks[-1] > looks[-2] if len(looks) > 1 else False

    return look


async def test_only_the_holder_of_the_lease_stores(pair):
    a, b = pair
    first = await a.tier.claim("k")
    await a.mark(KEY, "k")
    second = await b.tier.claim("k")
    assert isinstance(second, Lease)
    assert not await a.tier.store([a.entry("k", b"old", born=first.born)], first)
    assert await b.tier.claim("k") is None
    assert await b.tier.store([b.entry("k", b"new", born=second.born)], second)
    assert await a.body("k") == b"new"
    assert a.tier.state()["overtaken"] + b.tier.state()["overtaken"] <= 1


@pytest.mark.parametrize(
    ("scope", "name"), [(KEY, "farm:1"), (TAG, "user:1"), (PREFIX, "farm:"), (EVERYTHING, "")]
)
async def test_an_invalidation_kills_what_is_there_and_what_is_being_loaded_elsewhere(pair, scope, name):
    a, b = pair
    await a.fill("farm:1", b"1", tags=("user:1",))
    assert await b.body("farm:1") == b"1"
    lease = await a.tier.claim("farm:1", refresh=True)
    marker = await b.mark(scope, name)
    assert await b.body("farm:1") is None
    await until(lambda: a.ears.markers)
    assert (a.ears.markers[0].scope, a.ears.markers[0].name) == (scope, name)
    assert a.ears.markers[0].stamp >= marker.stamp
    assert await a.body("farm:1") is None
    assert not await a.tier.store([a.entry("farm:1", b"2", born=lease.born, tags=("user:1",))], lease)
    assert await a.body("farm:1") is None
    assert await b.body("farm:1") is None
    await a.fill("farm:1", b"3", tags=("user:1",))
    assert await b.body("farm:1") == b"3"


@pytest.mark.parametrize(("scope", "name"), [(KEY, "k"), (TAG, "t"), (PREFIX, ""), (EVERYTHING, "")])
async def test_what_is_loaded_or_set_after_an_invalidation_is_kept(pair, scope, name):
    a, b = pair
    for turn in range(20):
        await a.mark(scope, name)
        born = a.stamp()
        assert await a.tier.store([a.entry("k", b"%d" % turn, born=born, tags=("t",))])
        assert await b.body("k") == b"%d" % turn


async def test_a_newer_value_is_never_overwritten_by_an_older_one(pair):
    a, b = pair
    lease = await a.tier.claim("k")
    born = b.stamp() + 1_000_000
    assert await b.tier.store([b.entry("k", b"set", born=born)])
    assert not await a.tier.store([a.entry("k", b"loaded", born=lease.born)], lease)
    assert await a.body("k") == b"set"
    assert not await a.tier.store([a.entry("k", b"late", born=born - 1)])
    assert await b.body("k") == b"set"


async def test_others_are_told_of_what_is_stored_and_not_of_their_own(pair):
    a, b = pair
    entry = await a.fill("k")
    await until(lambda: b.ears.replacements)
    assert b.ears.replacements == [("k", entry.born)]
    assert a.ears.replacements == []


async def test_many_values_in_one_go(pair):
    a, b = pair
    keys = [f"k{i}" for i in range(300)]
    assert await a.tier.store([a.entry(key, key.encode()) for key in keys])
    found = await b.tier.fetch([*keys, "none"])
    assert [entry and entry.body for entry in found] == [*(key.encode() for key in keys), None]
    assert await b.tier.fetch([]) == []


@pytest.mark.parametrize("key", HARD_KEYS)
async def test_any_key_and_any_tag(pair, key):
    a, b = pair
    await a.fill(key, b"1", tags=(key,))
    assert (await b.tier.claim(key)).body == b"1"
    await until(lambda: b.ears.replacements)
    assert b.ears.replacements[0][0] == key
    await b.mark(TAG, key)
    assert await a.body(key) is None
    await a.fill(key, b"2")
    await b.mark(KEY, key)
    assert await a.body(key) is None
    await a.fill(key, b"3")
    await b.mark(PREFIX, key)
    assert await b.body(key) is None
    await until(lambda: [marker for marker in a.ears.markers if marker.scope == PREFIX])
    assert await a.body(key) is None


async def test_the_life_of_a_value_ends_there_too(pair):
    a, b = pair
    entry = await a.fill("k", ttl_s=0.05)
    await until(lambda: b.clock.monotonic() > entry.stale_until)
    await until(lambda: is_gone(b, "k"))  # by the server's clock, which nodes know to a round trip
    assert isinstance(await b.tier.claim("k"), Lease)


async def is_gone(at, key):
    return await at.body(key) is None


async def test_a_stale_value_can_be_fetched_and_is_not_claimed(pair):
    a, b = pair
    now = a.clock.monotonic()
    lease = await a.tier.claim("k")
    entry = a.entry("k", born=lease.born, fresh_until=now - 1.0, stale_until=now + 60.0)
    assert await a.tier.store([entry], lease)
    assert await b.body("k") == b'"v"'
    assert isinstance(await b.tier.claim("k"), Lease)


async def test_a_negative_answer_travels(pair):
    a, b = pair
    await a.fill("k", None, is_negative=True)
    found = await b.tier.claim("k")
    assert (found.is_negative, found.body) == (True, None)


async def test_a_value_too_large_is_refused_and_what_it_replaces_is_gone(url):
    async with (
        node(url, "a", max_value_bytes=1000, namespace="large") as a,
        node(url, "b", namespace="large") as b,
    ):
        await a.fill("k", b"1")
        assert not await a.tier.store([a.entry("k", bytes(100 << 20))])
        assert a.tier.state()["too_large"] == 1
        assert await b.body("k") is None
        lease = await a.tier.claim("k")
        assert not await a.tier.store([a.entry("k", bytes(1001), born=lease.born)], lease)
        assert isinstance(await b.tier.claim("k"), Lease)


async def test_a_claim_that_is_cancelled_leaves_no_lease_behind(pair):
    a, b = pair
    claim = asyncio.create_task(a.tier.claim("k"))
    await asyncio.sleep(0)
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    a.tier._link.spawn(a.tier._link.catch_up())
    while (found := await b.tier.claim("k")) is None:
        await b.tier.filled("k", 1.0)
    assert isinstance(found, Lease)


async def test_an_invalidation_goes_out_though_its_caller_leaves(pair):
    a, b = pair
    await a.fill("k", tags=("t",))
    mark = asyncio.create_task(a.mark(TAG, "t"))
    await asyncio.sleep(0)
    mark.cancel()
    with pytest.raises(asyncio.CancelledError):
        await mark
    await until(lambda: b.ears.markers)
    assert await b.body("k") is None


async def test_a_node_that_stops_gives_its_leases_back(url):
    async with node(url, "b", namespace="stops") as b:
        async with node(url, "a", namespace="stops") as a:
            assert isinstance(await a.tier.claim("k"), Lease)
            assert await b.tier.claim("k") is None
        assert isinstance(await b.tier.claim("k"), Lease)


async def test_markers_are_read_by_who_comes_later(url):
    async with node(url, "a", namespace="later") as a:
        for key in ("p:1", "t", "x"):
            await a.fill(key, tags=("gone",) if key == "t" else ())
        await a.mark(PREFIX, "p:")
        await a.mark(TAG, "gone")
        async with node(url, "b", namespace="later") as b:
            assert [await b.body(key) for key in ("p:1", "t", "x")] == [None, None, b'"v"']
            await a.mark(EVERYTHING)
            await until(lambda: b.ears.markers[-1].scope == EVERYTHING)
            async with node(url, "c", namespace="later") as c:
                assert await c.body("x") is None
                assert await c.tier.store([c.entry("x", b"new")])
                assert await b.body("x") == b"new"


async def test_too_many_prefixes_become_one_marker(url):
    async with node(url, "a", namespace="many") as a:
        await a.fill("p3:x")
        for i in range(1030):
            await a.mark(PREFIX, f"p{i}:")
        assert 500 < len(await a.tier._calls.read_wide()) <= 1025
        await a.fill("q:x")
        async with node(url, "b", namespace="many") as b:
            assert await b.body("p3:x") is None
            assert await b.body("q:x") == b'"v"'


async def test_a_node_away_raises_at_claim_and_nowhere_else():
    async with node("redis://127.0.0.1:1/0", "a", waits=False) as a:
        with pytest.raises(SharedDown):
            await a.tier.claim("k")
        assert await a.tier.fetch(["k", "j"]) == [None, None]
        assert not await a.tier.store([a.entry("k")])
        await a.mark(TAG, "t")
        await a.tier.give_back(Lease("k", "token", 1))
        await a.tier.filled("k", 3600.0)
        state = a.tier.state()
        assert (state["is_up"], state["is_joined"], state["journal_writes"], state["journal_markers"]) == (
            *(False, False),
            *(1, 1),
        )
        assert state["cut_off_for_s"] >= 0
