"""What others may have put where our values, leases, markers and messages lie."""

import pytest

from holdfast.rooms.cache.engine.remote import Lease
from holdfast.rooms.cache.rules.entry import EVERYTHING, KEY, PREFIX, TAG
from holdfast.rooms.cache.store.keys import Keys
from holdfast.rooms.cache.store.wire import Life, encode_entry
from tests.rooms.cache.shared.nodes import behind, node
from tests.waiting import until

KEYS = Keys("holdfast")


@pytest.fixture
async def one(own_redis):
    async with node(own_redis.url, "a") as a:
        yield a, own_redis


def good(a, key: str = "k") -> bytes:
    return encode_entry(a.entry(key), Life(a.shared.clock_us(), a.clock.monotonic()), None)


def poisons(a):
    whole = good(a)
    return {
        "nothing": b"",
        "noise": b"\x80\x04\x95pickle",
        "older schema": b"\x00" + whole[1:],
        "newer schema": b"\x02" + whole[1:],
        "cut short": whole[:-1],
        "changed": whole[:-1] + b"X",
        "another key's": good(a, "other"),
    }


POISONS = ["nothing", "noise", "older schema", "newer schema", "cut short", "changed", "another key's"]


@pytest.mark.parametrize("name", POISONS)
async def test_a_poisoned_value_is_a_miss_counted_and_replaced(one, name):
    a, server = one
    server.ask("SET", KEYS.value("k"), poisons(a)[name])
    lease = await a.tier.claim("k")
    assert isinstance(lease, Lease)
    assert a.tier.state()["poisoned"] == 1
    assert await a.tier.store([a.entry("k", b"new", born=lease.born)], lease)
    assert await a.body("k") == b"new"


@pytest.mark.parametrize("name", POISONS)
async def test_a_poisoned_value_that_is_fetched_is_removed(one, name):
    a, server = one
    server.ask("SET", KEYS.value("k"), poisons(a)[name])
    assert await a.tier.fetch(["k", "none"]) == [None, None]
    assert a.tier.state()["poisoned"] == 1
    await until(lambda: not server.ask("EXISTS", KEYS.value("k")))


async def test_poison_that_was_replaced_meanwhile_is_left_alone(one):
    a, server = one
    server.ask("SET", KEYS.value("k"), good(a))
    assert await a.tier._calls.discard("k", b"what was read before") == 0
    assert await a.body("k") == b'"v"'


@pytest.mark.parametrize("place", ["value", "lease", "tomb"])
async def test_another_type_at_our_keys(one, place):
    a, server = one
    value, lease_key, tomb = KEYS.trio("k")
    server.ask("RPUSH", {"value": value, "lease": lease_key, "tomb": tomb}[place], "x")
    assert await a.tier.fetch(["k"]) == [None]
    lease = await a.tier.claim("k")
    assert isinstance(lease, Lease)
    assert await a.tier.store([a.entry("k", born=lease.born)], lease)
    await a.mark(KEY, "k")
    assert await a.body("k") is None


@pytest.mark.parametrize("command", [("SET", "x"), ("RPUSH", "x")])
async def test_a_marker_that_cannot_be_read_kills(one, command):
    a, server = one
    await a.fill("k", tags=("t",))
    a.tier._known.cut_off()
    a.tier._link.joined()
    await until(lambda: a.tier.state()["is_joined"])
    server.ask("DEL", KEYS.tag("t"))
    server.ask(command[0], KEYS.tag("t"), *command[1:])
    assert await a.body("k") is None
    assert a.tier.state()["garbled"] == 1
    await a.mark(TAG, "t")
    await a.fill("k", tags=("t",))
    assert await a.body("k") == b'"v"'


async def test_a_marker_that_cannot_be_read_kills_what_was_loaded_a_moment_ago(one):
    a, server = one
    behind(a.shared)
    server.ask("SET", KEYS.tag("t"), "x")
    async with node(server.url, "b") as b:
        await b.fill("k", tags=("t",))
    assert await a.body("k") is None
    assert isinstance(await a.tier.claim("k"), Lease)


async def test_a_poisoned_value_of_a_moment_ago_is_read_once(one):
    a, server = one
    behind(a.shared)
    async with node(server.url, "b") as b:
        await b.fill("k")
    server.ask("APPEND", KEYS.value("k"), "X")
    assert isinstance(await a.tier.claim("k"), Lease)
    assert a.tier.state()["poisoned"] == 1


async def test_another_type_where_the_prefixes_are(one):
    a, server = one
    server.ask("SET", KEYS.wide, "x")
    async with node(server.url, "b") as b:
        await a.fill("k")
        await a.mark(PREFIX, "k")
        await a.mark(EVERYTHING)
        assert await a.body("k") is None
        await until(lambda: len(b.ears.markers) == 2)


@pytest.mark.parametrize("payload", [b"", b"M", b"\xff\xfe", b"M0001750000000000\xc1", b"Z" * 100])
async def test_a_garbled_message_makes_a_node_read_everything_again(one, payload):
    a, server = one
    await a.fill("k", tags=("t",))
    assert await a.body("k")
    server.ask("PUBLISH", KEYS.channel, payload)
    await until(lambda: a.ears.turns == ["joined", "cut_off", "joined"])
    assert a.tier.state()["garbled"] == 1
    assert await a.body("k") == b'"v"'
