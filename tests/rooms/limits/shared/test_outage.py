"""The store is killed, stopped, cut off or fails over: no exception, never fully open, never fully closed."""

import asyncio
import random

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.ports.shared import SharedDown
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.engine.shared import SharedLedger
from holdfast.rooms.limits.rules.charge import GCRA, SLIDING_COUNTER, SLIDING_WINDOW, Charge, Limit
from holdfast.rooms.limits.rules.leasing import Sharing
from holdfast.stores.redis.config import Config
from tests.shared_servers import ask
from tests.waiting import until

from .conftest import decided

LIMIT = Limit("api_call", 32, 36_000.0, 8)
QUICK = Config(budget_ms=1_000, failures=1, heartbeat_s=0.05, connect_timeout_s=1.0)
SHARING = Sharing(lease_share=0.0, beat_s=60.0)


def of(identity, cost=1, limit=LIMIT):
    return [Charge(limit, identity, cost)]


async def admitted(nodes, identity, times, cost=1, limit=LIMIT):
    """How many of `times` charges on each node, all at once, are admitted."""
    charges = of(identity, cost, limit)
    verdicts = await asyncio.gather(*(decided(node, charges) for _ in range(times) for node in nodes))
    return sum(verdict.allowed for verdict in verdicts)


async def pair(new_node, *urls):
    nodes = [await new_node(url, SHARING, driver=QUICK) for url in urls]
    for node in (*nodes, *nodes):
        await node.beat()
    assert [node.nodes.known for node in nodes] == [len(nodes)] * len(nodes)
    return nodes


async def whole_again(nodes):
    """All nodes decide with the store again, and have told it what they owe."""

    async def settled():
        # As its supervisor does: what nobody has asked for since the store is back is told with a beat.
        for node in nodes:
            await node.beat()
        return not any(
            node.state()["away"] or node.state()["owed"] or node._batches.under_way for node in nodes
        )

    await until(lambda: all(node.driver.is_up for node in nodes))
    await until(settled)
    await until(lambda: not any(node._is_apart(node._now_us()) for node in nodes))


async def test_a_stopped_store_opens_no_limit_and_closes_none(new_node, own_redis):
    nodes = await pair(new_node, own_redis.url, own_redis.url)
    assert await admitted(nodes, "user:used", 40) == 40
    own_redis.pause()
    # Those that are under way when it stops are decided by share, whatever they find.
    hung = await admitted(nodes, "user:fresh", 3)
    await until(lambda: not any(node.driver.is_up for node in nodes))
    verdict = nodes[0].charge(of("user:fresh"))
    assert (verdict.allowed, verdict.source) == (True, "share")
    fresh = 1 + hung + await admitted(nodes, "user:fresh", 40)
    assert fresh == 40
    assert await admitted(nodes, "user:used", 40) == 0
    own_redis.resume()
    await whole_again(nodes)
    assert await admitted(nodes, "user:fresh", 40) == 0
    assert await admitted(nodes, "user:used", 40) == 0
    assert await admitted(nodes, "user:third", 40) == 40


async def test_a_killed_store_comes_back_and_is_told_what_was_admitted(new_node, own_redis):
    nodes = await pair(new_node, own_redis.url, own_redis.url)
    own_redis.kill()
    assert await admitted(nodes, "user:1", 10) == 20
    await until(lambda: not any(node.driver.is_up for node in nodes))
    own_redis.start()
    await whole_again(nodes)
    assert (await decided(nodes[0], of("user:1"))).remaining == 19
    assert await admitted(nodes, "user:1", 40) == 19


@pytest.mark.parametrize("algorithm", [GCRA, SLIDING_WINDOW, SLIDING_COUNTER])
async def test_debts_are_told_in_every_algorithm(new_node, own_redis, algorithm):
    limit = Limit("a", 20, 36_000.0, 0, algorithm)
    (node,) = await pair(new_node, own_redis.url)
    own_redis.pause()
    await admitted([node], "user:1", 1, limit=limit)
    await until(lambda: not node.driver.is_up)
    assert await admitted([node], "user:1", 6, limit=limit) == 6
    own_redis.resume()
    await whole_again([node])
    # The first was sent to the stopped server as well, which took it when it went on.
    assert (await node.peek(of("user:1", 0, limit))).remaining in (12, 13)


async def test_load_through_a_kill_raises_nothing_and_stays_within_the_limit(new_node, own_redis):
    nodes = await pair(new_node, own_redis.url, own_redis.url)
    limit = Limit("b", 200, 36_000.0)
    passed, asked, over = 0, 0, asyncio.Event()

    async def caller(node):
        nonlocal passed, asked
        while not over.is_set():
            verdict = await decided(node, of("user:1", 1, limit))
            passed += verdict.allowed
            asked += 1
            await asyncio.sleep(0)

    callers = [asyncio.create_task(caller(node)) for node in nodes for _ in range(8)]
    await until(lambda: passed >= 50)
    own_redis.kill()
    await until(lambda: not any(node.driver.is_up for node in nodes))
    before = asked
    await until(lambda: asked > before + 200)
    own_redis.start()
    await whole_again(nodes)
    before = asked
    await until(lambda: asked > before + 200)
    over.set()
    await asyncio.gather(*callers)
    # The server came back empty: it gave a limit once more, less what it was told.
    assert 200 <= passed <= 400


async def test_a_quota_below_the_number_of_nodes_stays_open_a_little(new_node, own_redis):
    nodes = await pair(new_node, *[own_redis.url] * 4)
    own_redis.kill()
    await until(lambda: not any(node.driver.is_up for node in nodes))
    assert await admitted(nodes, "user:1", 5, limit=Limit("login_attempt", 3, 36_000.0)) == 4


async def test_a_cost_above_the_share_passes_as_often_as_the_share_allows(own_redis):
    class Away:
        is_up = False

        def state(self):
            return {}

    clock = ManualClock()
    sharing = Sharing(nodes_at_least=8, most_owed=10_000)
    ledger = SharedLedger(
        Away(),
        clock=clock,
        local=LocalLedger(clock.monotonic),
        config=sharing,
        rng=random.Random(1),
        node_id="one",
    )
    limit = Limit("tokens", 8_000, 60.0)
    passed = sum(ledger.charge(of(f"user:{at}", 4_000, limit)).allowed for at in range(2_000))
    assert 400 <= passed <= 600  # a share of 1,000 of 4,000: one in four


async def test_a_refused_command_is_no_exception(new_node, redis_database, monkeypatch):
    node = await new_node(redis_database, SHARING)

    def breaks(*_):
        raise_later = asyncio.get_running_loop().create_future()
        raise_later.set_exception(SharedDown("cut"))
        return raise_later

    monkeypatch.setattr(node.driver, "script", breaks)
    assert (await decided(node, of("user:1"))).source == "share"
    assert (await node.peek(of("user:1"))).source == "share"
    await node.beat()
    node.refund(of("user:1"))
    monkeypatch.undo()
    await node.beat()
    await until(lambda: not node.state()["owed"])


class Wire:
    """A way to the server that can be cut: bytes are swallowed, connections stand."""

    def __init__(self, port):
        self.port = port
        self.is_cut = False
        self._tasks = set()

    async def open(self):
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def close(self):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()

    async def _carry(self, reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.port)
        for task in (self._pump(reader, there_writer), self._pump(there_reader, writer)):
            task = asyncio.create_task(task)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(65_536):
                if not self.is_cut:
                    writer.write(data)
        finally:
            writer.close()


async def test_a_node_that_is_cut_off_admits_its_share_and_tells_it_later(new_node, own_redis):
    wire = Wire(own_redis.port)
    nodes = await pair(new_node, own_redis.url, await wire.open())
    wire.is_cut = True
    nodes[1].charge(of("user:other"))
    await until(lambda: not nodes[1].driver.is_up)
    # The rest of the system admits the whole limit, the node that is cut off its half.
    assert await admitted(nodes[1:], "user:1", 60) == 20
    assert await admitted(nodes[:1], "user:1", 60) == 40
    wire.is_cut = False
    await whole_again(nodes)
    assert await admitted(nodes, "user:1", 60) == 0
    await wire.close()


async def test_a_master_fails_over(new_node, redis_sentinel):
    (node,) = await pair(new_node, redis_sentinel.url)
    assert await admitted([node], "user:1", 10) == 10
    # What the replica has not taken by then is lost: one more write, that comes after all ten, is waited for.
    assert ask(redis_sentinel.master.port, "WAIT", 1, 0, before=[("SET", "after", "all")]) == 1
    redis_sentinel.master.kill()
    # While there is no master the node knows what was used; after it the replica does.
    passed = await admitted([node], "user:1", 5)
    await until(lambda: not node.driver.is_up)
    passed += await admitted([node], "user:1", 5)
    await whole_again([node])
    passed += await admitted([node], "user:1", 60)
    assert 20 <= passed <= 30
