"""What the port promises, over every topology."""

import asyncio
import time

import pytest

from holdfast.ports.shared import Script, SharedDown, SharedRefused
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config
from tests.shared_servers import ValkeyServer
from tests.stores.redis.conftest import PATIENT, Open
from tests.stores.redis.proxy import Ears
from tests.waiting import until

TAKE = Script("take", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
BROKEN = Script("broken", "return redis.call('LPUSH', KEYS[1], 'x')")


async def test_replies_are_what_they_are(shared: RedisShared) -> None:
    assert await shared.call("SET", "key", "값") == b"OK"
    assert await shared.call("GET", b"key") == "값".encode()
    assert await shared.call("GET", "nothing") is None
    assert await shared.call("INCRBY", "count", 7) == 7
    assert await shared.call("RPUSH", "list", 1, 2.5, b"\0") == 3
    assert await shared.call("LRANGE", "list", 0, -1) == [b"1", b"2.5", b"\0"]
    assert shared.is_up


@pytest.mark.parametrize("key", ["사용자 열쇠", b"\0\r\n$5\r\n", " ", "k" * 10_000, "{", "}{", "{}tag"])
async def test_any_key_is_kept_apart(shared: RedisShared, key: str | bytes) -> None:
    assert await shared.call("SET", key, key) == b"OK"
    assert await shared.call("GET", key) == (key.encode() if isinstance(key, str) else key)


async def test_a_value_of_ten_megabytes_goes_there_and_back(shared: RedisShared) -> None:
    value = bytes(range(256)) * 40_000
    small = [shared.call("SET", f"small{i}", i) for i in range(10)]
    assert await shared.call("SET", "large", value) == b"OK"
    assert await asyncio.gather(*small) == [b"OK"] * 10
    assert await shared.call("GET", "large") == value


async def test_a_refused_command_raises_and_its_neighbours_do_not(shared: RedisShared) -> None:
    before = shared.call("SET", "{a}text", "x")
    wrong = shared.call("LPUSH", "{a}text", "y")
    after = shared.call("GET", "{a}text")
    assert await before == b"OK"
    with pytest.raises(SharedRefused, match="WRONGTYPE"):
        await wrong
    assert await after == b"x"


async def test_what_is_no_command_is_refused_before_it_leaves(shared: RedisShared) -> None:
    with pytest.raises(TypeError):
        await shared.call("SET", "key", None)  # type: ignore[arg-type] # that is the point
    assert await shared.call("GET", "key") is None


async def test_many_goes_everywhere_and_answers_in_order(shared: RedisShared) -> None:
    assert await shared.many([]) == []
    assert await shared.many([("SET", f"k{i}", i) for i in range(200)]) == [b"OK"] * 200
    asked = [("GET", f"k{i}") for i in range(200)]
    asked.insert(100, ("LPOP", "k0"))
    replies = await shared.many(asked)
    assert isinstance(replies.pop(100), SharedRefused)
    assert replies == [b"%d" % i for i in range(200)]


async def test_a_script_is_taught_once_and_again_after_it_was_forgotten(shared: RedisShared) -> None:
    first = [shared.script(TAKE, [f"{{{i}}}taken"], [i]) for i in range(30)]
    assert await asyncio.gather(*first) == list(range(30))
    assert await shared.script(TAKE, ["{5}taken"], [1]) == 6
    with pytest.raises(SharedRefused, match="WRONGTYPE"):
        await shared.script(BROKEN, ["{5}taken"])


async def test_scripts_flushed_on_the_server_are_sent_again(redis_database: str, open_driver: Open) -> None:
    shared = await open_driver(redis_database, **PATIENT)
    assert await shared.script(TAKE, ["taken"], [1]) == 1
    await shared.call("SCRIPT", "FLUSH")
    assert await shared.script(TAKE, ["taken"], [1]) == 2


async def test_what_is_published_is_heard(shared: RedisShared) -> None:
    one, two = Ears(), Ears()
    stop = shared.subscribe("소식", one)
    await until(lambda: one.told == ["joined"])
    shared.subscribe("소식", two)
    await until(lambda: two.told == ["joined"])
    await shared.call("PUBLISH", "소식", b"first\0")
    await until(lambda: len(one.told) == len(two.told) == 2)
    stop()
    stop()
    await shared.call("PUBLISH", "소식", "second")
    await until(lambda: two.told == ["joined", b"first\0", b"second"])
    assert one.told == ["joined", b"first\0"]


async def test_a_channel_left_and_joined_again_in_one_breath(shared: RedisShared) -> None:
    one, two = Ears(), Ears()
    stop = shared.subscribe("c", one)
    await until(lambda: one.told)
    stop()
    shared.subscribe("c", two)
    await until(lambda: two.told)
    await shared.call("PUBLISH", "c", "now")
    await until(lambda: two.told == ["joined", b"now"])
    assert one.told == ["joined"]


async def test_a_confirmation_of_an_earlier_subscription_is_not_taken_for_a_later_one(
    shared: RedisShared,
) -> None:
    first, left, last = Ears(), Ears(), Ears()
    shared.subscribe("other", first)
    await until(lambda: first.told)
    shared.subscribe("c", left)()
    stop = shared.subscribe("c", last)
    await until(lambda: last.told)
    # Whoever was told `joined` hears everything from then on: the earlier UNSUBSCRIBE lies behind.
    for i in range(20):
        await shared.call("PUBLISH", "c", i)
    await until(lambda: last.told == ["joined", *(b"%d" % i for i in range(20))])
    assert left.told == []
    stop()


async def test_a_listener_that_fails_does_not_deafen_the_others(shared: RedisShared) -> None:
    class Faulty(Ears):
        def heard(self, payload: bytes) -> None:
            raise ValueError(payload)

    faulty, good = Faulty(), Ears()
    shared.subscribe("c", faulty)
    shared.subscribe("c", good)
    await until(lambda: faulty.told and good.told)
    await shared.call("PUBLISH", "c", "x")
    await until(lambda: good.told == ["joined", b"x"])


async def test_the_clock_is_the_servers(redis_database: str, open_driver: Open) -> None:
    shared = await open_driver(redis_database, **PATIENT)
    await until(lambda: shared.state()["round_trip_ms"] is not None)
    slack_us = 1000 * shared.state()["round_trip_ms"] + 1000
    before = await shared.call("TIME")
    now = shared.clock_us()
    after = await shared.call("TIME")
    first, last = (int(seconds) * 1_000_000 + int(us) for seconds, us in (before, after))
    assert first - slack_us <= now <= last + slack_us


async def test_ten_thousand_cancelled_calls_leave_nothing_out_of_step(shared: RedisShared) -> None:
    await shared.many([("SET", f"k{i}", i) for i in range(100)])

    async def get(i: int) -> bytes:
        return await shared.call("GET", f"k{i % 100}")

    for _ in range(2):
        tasks = [asyncio.create_task(get(i)) for i in range(5000)]
        await asyncio.sleep(0)  # all of them wait for their reply now
        for i, task in enumerate(tasks):
            if i % 7:
                task.cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        for i, reply in enumerate(replies):
            if i % 7:
                assert isinstance(reply, asyncio.CancelledError)
            else:
                assert reply == b"%d" % (i % 100)
    assert await get(42) == b"42"
    await until(lambda: shared.state()["waiting"] == 0)
    assert shared.state()["missed"] == 0


async def test_cancelled_bundles_and_scripts_leave_nothing_out_of_step(shared: RedisShared) -> None:
    async def both(i: int) -> None:
        await shared.many([("SET", f"{{{i}}}a", i), ("LPUSH", f"{{{i}}}a", i)])
        await shared.script(TAKE, [f"{{{i}}}a"], [1])

    tasks = [asyncio.create_task(both(i)) for i in range(300)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [await shared.call("GET", f"{{{i}}}a") for i in range(1, 300, 2)] == [
        b"%d" % (i + 1) for i in range(1, 300, 2)
    ]


async def test_before_the_start_and_after_the_stop_calls_raise(redis_database: str) -> None:
    shared = RedisShared(redis_database, Config(**PATIENT))
    for _ in range(2):
        assert not shared.is_up
        with pytest.raises(SharedDown, match="not open"):
            await shared.call("GET", "key")
        with pytest.raises(SharedDown, match="not open"):
            await shared.many([("GET", "key")])
        with pytest.raises(SharedDown, match="not open"):
            await shared.script(TAKE, ["key"], [1])
        assert abs(shared.clock_us() - time.time() * 1e6) < 60e6
        await shared.start()
        await shared.start()
        assert await shared.call("GET", "key") is None
        waits = shared.call("BLPOP", "never", 0)
        await shared.stop()
        await shared.stop()
        with pytest.raises(SharedDown):
            await waits


async def test_bytes_of_one_turn_are_bounded_too(own_redis: ValkeyServer, open_driver: Open) -> None:
    shared = await open_driver(own_redis.url, max_unsent_mb=20.0, **PATIENT)
    calls = [shared.call("SET", f"k{i}", b"x" * 5_000_000) for i in range(30)]
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert replies[:4] == [b"OK"] * 4
    assert all(isinstance(reply, SharedDown) for reply in replies[5:])
    assert "unsent bytes" in str(replies[-1])
    assert await shared.call("SET", "key", "x") == b"OK"


@pytest.mark.parametrize("in_order", [True, False])
def test_it_starts_again_in_another_loop(own_redis: ValkeyServer, in_order: bool) -> None:
    shared, ears = RedisShared(own_redis.url, Config(**PATIENT)), Ears()
    shared.subscribe("c", ears)

    async def life() -> None:
        await shared.start()
        await until(lambda: ears.told and ears.told[-1] == "joined")
        await shared.call("PUBLISH", "c", "x")
        await until(lambda: ears.told[-1] == b"x")
        if in_order:
            await shared.stop()

    for _ in range(2):
        asyncio.run(life())
    told = ["joined", b"x", "cut off", "joined", b"x"]
    assert ears.told == ([*told, "cut off"] if in_order else told)


async def test_too_many_unanswered_commands_are_turned_away(
    own_redis: ValkeyServer, open_driver: Open
) -> None:
    shared = await open_driver(own_redis.url, max_waiting=100, heartbeat_s=60.0, **PATIENT)
    await until(lambda: shared.state()["waiting"] == 0)
    calls = [shared.call("INCR", "count") for _ in range(150)]
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert replies[:100] == list(range(1, 101))
    assert all(isinstance(reply, SharedDown) for reply in replies[100:])
    assert shared.state()["turned_away"] == 50
    assert await shared.call("INCR", "count") == 101


async def test_unsent_bytes_are_bounded(own_redis: ValkeyServer, open_driver: Open) -> None:
    shared = await open_driver(own_redis.url, max_unsent_mb=20.0, **PATIENT)
    own_redis.pause()
    value, calls = b"x" * 5_000_000, []
    while not shared.state()["turned_away"]:
        calls.append(shared.call("SET", "key", value))
        await asyncio.sleep(0)
        assert len(calls) < 50
    own_redis.resume()
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert replies.count(b"OK") >= 4
    assert isinstance(replies[-1], SharedDown)
    assert await shared.call("SET", "key", "x") == b"OK"


async def test_state_says_how_it_is(shared: RedisShared) -> None:
    before = shared.state()["calls"]
    await shared.many([("GET", f"k{i}") for i in range(30)])
    state = shared.state()
    assert state["calls"] >= before + 30
    assert state["up"] is True
    assert state["problem"] == ""
    assert all(node["up"] for node in state["nodes"])
    assert len(state["nodes"]) == (3 if state["topology"] == "cluster" else 1)
