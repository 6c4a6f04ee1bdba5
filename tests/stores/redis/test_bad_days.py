"""A server that is killed, paused, cut off, full, busy or closed to us; and what is left when it is back."""

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.ports.shared import SharedDown, SharedRefused
from holdfast.stores.redis.client import RedisShared
from tests.shared_servers import ValkeyServer
from tests.stores.redis.conftest import PATIENT, Open
from tests.stores.redis.proxy import Ears, Proxy
from tests.waiting import until

BUDGET = {"budget_ms": 100.0, "heartbeat_s": 0.2}


class Load:
    """Callers that never stop; only SharedDown may reach them, and every reply must be their own."""

    def __init__(self, shared: RedisShared, callers: int = 16) -> None:
        self.good = self.down = 0
        self._shared = shared
        self._ending = False
        self._tasks = [asyncio.create_task(self._call(i)) for i in range(callers)]

    async def _call(self, number: int) -> None:
        turn = 0
        while not self._ending:
            turn += 1
            said = f"{number}:{turn}"
            try:
                assert await self._shared.call("ECHO", said) == said.encode()
                self.good += 1
            except SharedDown:
                self.down += 1
                await until(lambda: self._ending or self._shared.is_up)

    async def grows(self, what: str, by: int = 20) -> None:
        start = getattr(self, what)
        await until(lambda: getattr(self, what) >= start + by or any(task.done() for task in self._tasks))

    async def end(self) -> None:
        self._ending = True
        await asyncio.gather(*self._tasks)


async def outage(
    shared: RedisShared, begin: Callable[[], object], end: Callable[[], object], ears: Ears
) -> None:
    """Under load: all is well, it goes away, calls fail at once, it comes back by itself."""
    shared.subscribe("c", ears)
    await until(lambda: ears.told)
    load = Load(shared)
    await load.grows("good")
    begin()
    await until(lambda: not shared.is_up)
    with pytest.raises(SharedDown):
        await shared.call("PING")
    with pytest.raises(SharedDown):
        await shared.many([("PING",)] * 3)
    await until(lambda: ears.told[-1] == "cut off")
    assert shared.state()["problem"]
    end()
    await until(lambda: shared.is_up)
    await load.grows("good")
    await load.end()
    assert load.down
    await until(lambda: ears.told[-1] == "joined")
    turns = ears.told[1:]  # on a machine that is busy enough it was away more than once
    assert ears.told == ["joined", *["cut off", "joined"] * (len(turns) // 2)]
    while ears.told[-1] == "joined":
        try:
            await shared.call("PUBLISH", "c", "x")
        except SharedDown:
            await until(lambda: shared.is_up)
        await asyncio.sleep(0)
    assert shared.state()["outages"] >= 1
    assert shared.state()["reconnects"] >= 1


async def test_killed_and_started_again(own_redis: ValkeyServer, open_driver: Open) -> None:
    shared = await open_driver(own_redis.url, **BUDGET)
    await outage(shared, own_redis.kill, own_redis.start, Ears())


async def test_paused_and_resumed(own_redis: ValkeyServer, open_driver: Open) -> None:
    shared = await open_driver(own_redis.url, connect_timeout_s=0.3, **BUDGET)
    await outage(shared, own_redis.pause, own_redis.resume, Ears())


async def test_partitioned_and_joined_again(proxy: Proxy, open_driver: Open) -> None:
    shared = await open_driver(proxy.url, connect_timeout_s=0.3, **BUDGET)
    await outage(shared, proxy.stall, proxy.resume, Ears())


async def test_cut_and_mended(proxy: Proxy, open_driver: Open) -> None:
    shared = await open_driver(proxy.url, **BUDGET)
    mending: list[asyncio.Task[None]] = []
    await outage(
        shared,
        lambda: mending.append(asyncio.create_task(proxy.cut())),
        lambda: mending.append(asyncio.create_task(proxy.start())),
        Ears(),
    )


async def test_an_idle_partition_is_noticed_without_any_call(proxy: Proxy, open_driver: Open) -> None:
    shared, ears = await open_driver(proxy.url, connect_timeout_s=0.3, **BUDGET), Ears()
    shared.subscribe("c", ears)
    await until(lambda: ears.told[-1:] == ["joined"])
    proxy.stall()
    await until(lambda: not shared.is_up and ears.told[-1] == "cut off")
    proxy.resume()
    await until(lambda: shared.is_up and ears.told[-1] == "joined")


async def test_a_hiccup_shorter_than_the_failures_costs_calls_and_no_connection(
    proxy: Proxy, open_driver: Open
) -> None:
    clock = ManualClock()
    shared = await open_driver(proxy.url, clock, budget_ms=100.0, failures=1000, heartbeat_s=60.0)
    await until(lambda: shared.state()["waiting"] == 0)
    accepted = proxy.accepted
    proxy.stall()
    calls = [shared.call("INCR", "count") for _ in range(50)]
    await asyncio.sleep(0)  # they have left
    clock.advance(0.2)
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(reply, SharedDown) for reply in replies)
    assert shared.is_up
    proxy.resume()
    await until(lambda: shared.state()["waiting"] == 0)  # late replies are read, and dropped
    assert await shared.call("INCR", "count") == 51
    assert proxy.accepted == accepted
    assert shared.state()["missed"] == 50


async def test_a_budget_ends_the_wait_and_not_the_reply_of_others(
    own_redis: ValkeyServer, open_driver: Open
) -> None:
    clock, settings = ManualClock(), {"budget_ms": 100.0, "failures": 1000, "heartbeat_s": 60.0}
    shared = await open_driver(own_redis.url, clock, connections=2, **settings)
    ends: list[str] = []

    async def wait(command: tuple[str | int, ...], name: str) -> None:
        try:
            await shared.call(*command)
        except SharedDown:
            ends.append(name)

    await until(lambda: shared.state()["nodes"][0]["connections"] == 2)
    await until(lambda: shared.state()["waiting"] == 0)  # the lines are as long: each has had its first beat
    slow = asyncio.create_task(wait(("BLPOP", "late", 0), "slow"))
    await asyncio.sleep(0)
    assert await shared.call("SET", "key", "x") == b"OK", "the other connection has the shorter line"
    clock.advance(0.2)
    await slow
    assert ends == ["slow"]
    own_redis.ask("LPUSH", "late", "x")
    await until(lambda: shared.state()["waiting"] == 0)
    assert await shared.call("GET", "key") == b"x"


async def test_while_it_is_away_nothing_grows(own_redis: ValkeyServer, open_driver: Open) -> None:
    shared = await open_driver(own_redis.url, **BUDGET)
    own_redis.kill()
    await until(lambda: not shared.is_up)
    tasks = len(asyncio.all_tasks())
    for _ in range(5000):
        with pytest.raises(SharedDown):
            await shared.call("GET", "key")
    assert len(asyncio.all_tasks()) <= tasks
    assert shared.state()["waiting"] == 0


async def test_it_starts_without_a_server_and_finds_it_later(
    own_redis: ValkeyServer, open_driver: Open, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.kill()
    with caplog.at_level(logging.WARNING, "holdfast.shared"):
        shared, ears = await open_driver(own_redis.url, **PATIENT), Ears()
        shared.subscribe("c", ears)
        assert not shared.is_up
        own_redis.start()
        await until(lambda: shared.is_up and ears.told == ["joined"])
    assert [line.split(" is ")[-1].split(":")[0] for line in caplog.messages] == ["away", "back"]


async def test_a_wrong_password_is_said_once_and_not_hammered(
    own_redis: ValkeyServer, open_driver: Open, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.ask("CONFIG", "SET", "requirepass", "맞는 것")
    own_redis.password = "맞는 것"
    wrong = own_redis.url.replace("//", "//:wrong@")
    with caplog.at_level(logging.WARNING, "holdfast.shared"):
        shared = await open_driver(wrong, **PATIENT)
        nobody = await open_driver(own_redis.url, **PATIENT)
    for driver, said in ((shared, "WRONGPASS"), (nobody, "NOAUTH")):
        assert said in driver.state()["problem"]
        with pytest.raises(SharedDown, match=said):
            await driver.call("GET", "key")
    assert len(caplog.messages) == 2
    assert "wrong@" not in caplog.text
    asked = int(own_redis.info("stats")["total_connections_received"])
    for _ in range(100):
        with pytest.raises(SharedDown):
            await shared.call("GET", "key")
    assert int(own_redis.info("stats")["total_connections_received"]) == asked + 1  # this look itself
    right = own_redis.url.replace("//", "//default:%EB%A7%9E%EB%8A%94%20%EA%B2%83@")
    good = await open_driver(right, **PATIENT)
    assert await good.call("GET", "key") is None


async def test_a_full_memory_is_a_refusal_and_reads_go_on(own_redis: ValkeyServer, open_driver: Open) -> None:
    shared = await open_driver(own_redis.url, **PATIENT)
    await shared.call("SET", "key", "x")
    own_redis.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(SharedRefused, match="OOM"):
        await shared.call("SET", "key", "y")
    assert await shared.call("GET", "key") == b"x"
    assert shared.is_up


async def test_a_replica_refuses_writes_as_away_and_reads_go_on(
    own_redis: ValkeyServer, open_driver: Open
) -> None:
    shared = await open_driver(own_redis.url, **PATIENT)
    own_redis.ask("REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(SharedDown, match="READONLY"):
        await shared.call("SET", "key", "x")
    own_redis.ask("REPLICAOF", "NO", "ONE")
    await until(lambda: shared.is_up)
    assert await shared.call("SET", "key", "x") == b"OK"


async def test_a_server_busy_with_a_script_is_away_until_it_is_done(
    own_redis: ValkeyServer, open_driver: Open
) -> None:
    shared = await open_driver(own_redis.url, **PATIENT)
    own_redis.ask("CONFIG", "SET", "busy-reply-threshold", "1")
    endless = shared.call("EVAL", "while true do end", 0)
    other = await open_driver(own_redis.url, connect_timeout_s=20.0)
    assert not other.is_up
    assert "BUSY" in other.state()["problem"]
    own_redis.ask("SCRIPT", "KILL")
    with pytest.raises(SharedRefused, match="killed"):
        await endless
    await until(lambda: other.is_up)


async def test_a_loading_server_is_away_until_it_has_its_data(
    own_redis: ValkeyServer, open_driver: Open
) -> None:
    own_redis.ask("DEBUG", "POPULATE", 4000)
    own_redis.ask("CONFIG", "SET", "key-load-delay", 2000)  # eight seconds, were it not ended below
    own_redis.ask("CONFIG", "SET", "loading-process-events-interval-bytes", 1024)
    loading = threading.Thread(target=own_redis.ask, args=("DEBUG", "RELOAD"))
    loading.start()
    await until(lambda: own_redis.info("persistence")["loading"] == "1")
    shared = await open_driver(own_redis.url, **PATIENT)
    assert "LOADING" in shared.state()["problem"]
    own_redis.ask("CONFIG", "SET", "key-load-delay", 0)
    await until(lambda: shared.is_up)
    loading.join()
    assert await shared.call("GET", "key:1") == b"value:1"


async def test_a_full_output_buffer_costs_a_connection_and_not_the_service(
    own_redis: ValkeyServer, open_driver: Open
) -> None:
    shared = await open_driver(own_redis.url, **PATIENT)
    await shared.call("SET", "large", b"x" * 10_000_000)
    own_redis.ask("CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 1mb 0")
    replies = await asyncio.gather(*(shared.call("GET", "large") for _ in range(20)), return_exceptions=True)
    assert any(isinstance(reply, SharedDown) for reply in replies)
    await until(lambda: shared.is_up)
    assert await shared.call("STRLEN", "large") == 10_000_000


async def test_a_killed_subscription_is_joined_again(own_redis: ValkeyServer, open_driver: Open) -> None:
    shared, ears = await open_driver(own_redis.url, **PATIENT), Ears()
    shared.subscribe("c", ears)
    await until(lambda: ears.told)
    own_redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: ears.told == ["joined", "cut off", "joined"])
    await shared.call("PUBLISH", "c", "x")
    await until(lambda: ears.told[-1] == b"x")


async def test_a_channel_that_is_not_ours_is_no_storm(
    own_redis: ValkeyServer, open_driver: Open, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.ask("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "+@all", "resetchannels")
    shared = await open_driver(own_redis.url.replace("//", "//deaf:pw@"), **PATIENT)
    ears = Ears()
    with caplog.at_level(logging.WARNING, "holdfast.shared"):
        shared.subscribe("c", ears)
        await until(lambda: "NOPERM" in shared.state()["listening_problem"])
    assert await shared.call("SET", "key", "x") == b"OK"
    await until(lambda: caplog.messages)
    assert len(caplog.messages) == 1
    assert ears.told == []


@pytest.mark.parametrize(
    ("form", "said"),
    [("redis://{}/100000", "DB index"), ("redis+cluster://{}", "cluster support disabled")],
)
async def test_a_url_that_does_not_fit_the_server_says_so(
    own_redis: ValkeyServer, open_driver: Open, form: str, said: str
) -> None:
    shared = await open_driver(form.format(own_redis.address), **PATIENT)
    assert said in shared.state()["problem"]
    with pytest.raises(SharedDown):
        await shared.call("GET", "key")
