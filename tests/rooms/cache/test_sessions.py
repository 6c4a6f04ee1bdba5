"""Sessions: on memory alone, on a shared store by two nodes, and while that store is away."""

import re

import msgspec
import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.ports.services import NoMeter
from holdfast.rooms.cache.engine.sessions import Sessions
from holdfast.rooms.cache.rules import kinds
from holdfast.rooms.cache.rules.problems import UnknownKind
from holdfast.rooms.cache.rules.sessions import (
    NoSession,
    Session,
    SessionChanged,
    SessionSettings,
    SessionTooLarge,
    cookie,
    digest_of,
    id_of,
    is_id,
    shard_of,
)
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.rooms.cache.shared.nodes import behind
from tests.waiting import until

KINDS = kinds.merge({})


class Basket(msgspec.Struct):
    """What a session may hold."""

    items: list[str] = []


def sessions(shared=None, clock=None, **settings) -> Sessions:
    return Sessions(
        SessionSettings(**settings),
        all_kinds=KINDS,
        clock=clock or SystemClock(),
        meter=NoMeter(),
        shared=shared,
        namespace="test",
    )


@pytest.fixture
async def shared(redis_database):
    store = RedisShared(redis_database, SharedConfig(budget_ms=2000))
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def watchful(own_redis):
    """Starts stores that soon notice when their server is away."""
    started = []

    async def start():
        store = RedisShared(own_redis.url, SharedConfig(budget_ms=500, heartbeat_s=0.05, failures=1))
        started.append(store)
        await store.start()
        return store

    yield start
    for store in started:
        await store.stop()


@pytest.fixture(params=["memory", "shared"])
async def one(request, shared):
    return sessions(shared if request.param == "shared" else None)


def test_ids_are_random_of_one_shape_and_stored_as_digests():
    found = {id_of("A", bytes([number] * 24)) for number in range(256)}
    assert len(found) == 256
    assert all(is_id(each) for each in found)
    assert all(re.fullmatch(r"[\w-]{32}", digest_of(each)) for each in found)
    for wrong in ("", "short", "A" * 34, "가" * 33, None, b"A" * 33):
        assert not is_id(wrong)


def test_a_user_has_one_shard_and_nobody_any():
    assert shard_of("김농부", 1) == shard_of("김농부", 60)
    assert len({shard_of("", number) for number in range(64)}) == 64
    assert len({shard_of(f"user {number}", 0) for number in range(2000)}) == 64


async def test_a_session_is_made_read_changed_and_ended(one):
    made = await one.create("김농부", Basket(["사과"]))
    found = await one.get(made.id, returns=Basket)
    assert (found.user_id, found.data, found.version, found.kind) == (
        "김농부",
        Basket(["사과"]),
        1,
        "session",
    )
    assert found.left_s == pytest.approx(86400, abs=5)
    changed = await one.set(made.id, Basket(["배"]), version=1)
    assert changed.version == 2
    assert (await one.get(made.id, returns=Basket)).data == Basket(["배"])
    assert await one.touch(made.id)
    assert await one.delete(made.id)
    assert not await one.delete(made.id)
    assert await one.get(made.id) is None
    assert not await one.touch(made.id)


async def test_the_kinds_live_24_hours_and_1800_seconds(one):
    short = await one.create("u", kind="session_short")
    assert short.left_s == pytest.approx(1800, abs=1)
    assert (await one.create("u")).left_s == pytest.approx(86400, abs=1)
    with pytest.raises(UnknownKind):
        await one.create("u", kind="nonsense")


async def test_an_id_that_we_did_not_make_is_nobodys(one):
    planted = id_of("A", bytes(24))
    assert await one.get(planted) is None
    assert await one.get("<script>") is None
    for call in (one.set(planted, {}), one.rotate(planted), one.set("x", {}), one.rotate("x")):
        with pytest.raises(NoSession):
            await call


async def test_a_login_gets_a_new_id_and_the_old_one_dies(one):
    before = await one.create(data={"basket": ["귤"]})
    after = await one.rotate(before.id, user_id="u")
    assert after.id != before.id
    assert (after.user_id, after.data) == ("u", {"basket": ["귤"]})
    assert await one.get(before.id) is None
    again = await one.rotate(after.id, data={})
    assert ((await one.get(again.id)).user_id, again.data) == ("u", {})


async def test_every_session_of_a_user_is_ended_but_one(one):
    mine = [await one.create("u", number) for number in range(5)]
    other = await one.create("v")
    assert await one.count("u") == 5
    assert await one.end_all("u", but=mine[2].id) == 4
    assert [each.id for each in mine if await one.get(each.id) is not None] == [mine[2].id]
    assert await one.get(other.id) is not None
    assert await one.end_all("u") == 1
    assert await one.end_all("u") == 0
    assert await one.end_all("") == 0
    assert await one.count() == 1


async def test_a_newer_version_is_not_overwritten_unless_asked(one):
    made = await one.create("u", 1)
    await one.set(made.id, 2)
    with pytest.raises(SessionChanged):
        await one.set(made.id, 3, version=1)
    assert (await one.set(made.id, 4)).version == 3


async def test_data_is_bounded_and_of_the_asked_type(one):
    with pytest.raises(SessionTooLarge):
        await one.create("u", "x" * 70_000)
    made = await one.create("u", {"items": "no list"})
    assert await one.get(made.id, returns=Basket) is None
    assert (await one.get(made.id)).data == {"items": "no list"}
    with pytest.raises(SessionTooLarge):
        await one.set(made.id, "x" * 70_000)


def test_a_cookie_is_out_of_reach_of_scripts():
    session = Session("A" * 33, "", "session", None, 1, 0, 9.5)
    assert cookie(session) == f"session={'A' * 33}; Path=/; Max-Age=9; HttpOnly; Secure; SameSite=Lax"
    with pytest.raises(ValueError, match="no cookie name"):
        cookie(session, name="a b")


async def test_a_use_gives_a_session_its_time_again_up_to_its_longest():
    clock = ManualClock()
    one = sessions(clock=clock, longest_s=4000)
    made = await one.create("u", kind="session_short")
    clock.advance(1700)
    assert (await one.get(made.id)).left_s == 1800
    clock.advance(1700)
    assert (await one.get(made.id, slide=False)).left_s == pytest.approx(100)
    rotated = await one.rotate(made.id)
    assert rotated.left_s == 600
    clock.advance(599)
    assert await one.touch(rotated.id)
    clock.advance(2)
    assert await one.get(rotated.id) is None
    forgotten = await one.create("u", kind="session_short")
    clock.advance(1801)
    assert await one.get(forgotten.id) is None


async def test_memory_is_bounded_and_the_longest_unused_give_way():
    one = sessions(max_sessions=16)
    first = await one.create("u")
    rest = [await one.create(f"u{number}") for number in range(15)]
    assert await one.touch(first.id)
    await one.create("one too many")
    assert await one.get(first.id) is not None
    assert await one.get(rest[0].id) is None
    assert await one.count() == 16


async def test_a_logout_elsewhere_is_known_at_the_next_read(shared, redis_database):
    other_store = RedisShared(redis_database, SharedConfig(budget_ms=2000))
    await other_store.start()
    here, there = sessions(shared), sessions(other_store)
    made = await here.create("u", 1)
    assert (await there.get(made.id)).data == 1
    await there.set(made.id, 2)
    assert (await here.get(made.id)).data == 2
    await there.delete(made.id)
    assert await here.get(made.id) is None
    many = [await here.create("u") for _ in range(3)]
    assert await there.end_all("u") == 3
    assert [await here.get(each.id) for each in many] == [None] * 3
    await other_store.stop()


async def test_a_logout_by_a_node_whose_clock_is_behind_ends_the_login_of_just_now(shared, redis_database):
    other_store = behind(RedisShared(redis_database, SharedConfig(budget_ms=2000)))
    await other_store.start()
    here, there = sessions(shared), sessions(other_store)
    made = await here.create("u")
    assert await there.end_all("u") == 1
    assert await here.get(made.id) is None
    await other_store.stop()


async def test_a_logout_while_the_store_is_away_ends_the_login_of_just_now_as_well(own_redis, watchful):
    first, second = await watchful(), behind(await watchful())
    here, there = sessions(first), sessions(second)
    made = await here.create("u")
    own_redis.pause()
    assert await there.end_all("u") == 0, "of this process's own, which has none"
    own_redis.resume()
    await until(lambda: first.is_up and second.is_up)
    await there.tend()
    assert await here.get(made.id) is None


async def test_only_digests_are_stored(shared, redis_database):
    one = sessions(shared)
    made = await one.create("u", "data")
    names = b"\n".join(await shared.call("KEYS", "*"))
    assert made.id.encode() not in names
    assert made.id[1:].encode() not in names
    assert digest_of(made.id).encode() in names


async def test_sessions_end_by_themselves_in_the_shared_store(shared):
    one = sessions(shared, longest_s=0.05)
    made = await one.create("u")
    await until(lambda: gone(one, made.id))
    await until(lambda: none_left(one))


async def gone(one, session_id) -> bool:
    return await one.get(session_id) is None


async def none_left(one) -> bool:
    return await one.count() == 0


async def test_a_poisoned_value_is_no_session(shared, redis_database):
    one = sessions(shared)
    made = await one.create("u")
    key = f"test:session1:{{{made.id[0]}}}:s:{digest_of(made.id)}"
    await shared.call("DEL", key)
    await shared.call("SET", key, b"\x00\xff")
    assert (await one.get(made.id)).user_id == "u", "what cannot be read is as good as a store that is away"
    await shared.call("DEL", key)
    await shared.call("HSET", key, "u", "u")
    assert await one.get(made.id) is None


async def test_sessions_go_on_while_the_store_is_away_and_it_hears_of_it_later(own_redis, watchful):
    first, second = await watchful(), await watchful()
    here, there = sessions(first), sessions(second)
    kept, ended, changed, clash = [await here.create("u", name) for name in "keca"]
    mine = [await here.create("leaver") for _ in range(2)]
    await there.get(clash.id)
    own_redis.pause()
    assert (await here.get(kept.id)).data == "k"
    assert await here.delete(ended.id)
    assert await here.get(ended.id) is None
    assert (await here.set(changed.id, "new")).data == "new"
    await here.set(clash.id, "from here")
    assert await here.end_all("leaver") == 2
    made = await here.create("u", "made meanwhile")
    assert (await here.get(made.id)).data == "made meanwhile"
    assert await there.get(made.id) is None
    assert await there.get(changed.id) is None, "never seen there, and nobody can be asked"
    await there.set(clash.id, "from there")
    own_redis.resume()
    await until(lambda: first.is_up and second.is_up)
    await there.tend()
    await here.tend()
    assert (await there.get(kept.id)).data == "k"
    assert await there.get(ended.id) is None
    assert (await there.get(changed.id)).data == "new"
    assert (await there.get(made.id)).data == "made meanwhile"
    assert [await there.get(each.id) for each in mine] == [None, None]
    assert (await here.get(clash.id)).data == (await there.get(clash.id)).data == "from there"
    assert await here.count("u") == 4


async def test_what_was_heard_long_ago_does_not_count_while_the_store_is_away(own_redis, watchful):
    store = await watchful()
    clock = ManualClock()
    one = sessions(store, clock=clock, fallback_s=60)
    seen = await one.create("u")
    own_redis.kill()
    assert await one.get(seen.id) is not None
    clock.advance(61)
    assert await one.get(seen.id) is None
    made = await one.create("u")
    clock.advance(61)
    assert await one.get(made.id) is not None, "made here: nobody else can have ended it"
    own_redis.start()
    await until(lambda: store.is_up)
    await one.tend()
    assert await one.get(made.id) is not None
    assert await one.get(seen.id) is None, "the server came back empty"


async def test_on_a_cluster_every_change_is_one_script(redis_cluster):
    redis_cluster.empty()
    store = RedisShared(redis_cluster.url, SharedConfig(budget_ms=2000))
    await store.start()
    one = sessions(store)
    made = [await one.create(f"user {number}", number) for number in range(100)]
    assert await one.count() == 100
    assert [(await one.get(each.id)).data for each in made] == list(range(100))
    assert (await one.rotate(made[0].id, user_id="somebody else")).data == 0
    assert await one.end_all("user 7") == 1
    assert await one.count() == 99
    await store.stop()
