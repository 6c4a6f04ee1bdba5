"""The shared store goes away and comes back, with its memory or without it."""

import asyncio
from datetime import UTC

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoMeter
from holdfast.rooms.llm.engine.budgets import Budgets
from holdfast.rooms.llm.engine.shared_counts import SharedCounts
from holdfast.rooms.llm.rules.budgets import BudgetSetting, Declared
from holdfast.rooms.llm.rules.denials import BudgetExceeded
from holdfast.rooms.llm.rules.limits import ROLLING, TOKENS, limit_of
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.store.budgets_redis import RedisBudgets
from holdfast.rooms.llm.store.budgets_sql import SqlBudgets
from holdfast.stores.open import open_shared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.waiting import until

KIM = Payer(user="김철수")
MONTHLY = BudgetSetting("user", "month", tokens=1_000)


class Node:
    """One process: its own connection, its own counts."""

    def __init__(self, url, budget_ms=2_000):
        self.shared = open_shared(url, SystemClock(), SharedConfig(budget_ms=budget_ms))
        new_id = IdSource().span_id
        self.counts = SharedCounts(
            RedisBudgets(self.shared, new_id(), silent_after_s=60), SystemClock(), UTC, new_id
        )
        self.budgets = Budgets(Declared((MONTHLY,)), self.counts, NoMeter())

    async def passes(self, tokens, payer=KIM):
        try:
            return await self.budgets.reserve(payer, tokens=tokens)
        except BudgetExceeded as refused:
            self.refusal = refused
            return None


@pytest.fixture
async def nodes(own_redis):
    found = [Node(own_redis.url), Node(own_redis.url)]
    for _ in range(2):
        for node in found:
            await node.shared.start()
            await node.counts.beat()
    assert [node.counts.nodes for node in found] == [2, 2]
    yield found
    for node in found:
        await node.counts.stop()
        await node.shared.stop()


async def back(own_redis, nodes):
    own_redis.start()
    for node in nodes:
        await until(lambda node=node: node.shared.is_up)
        await node.counts.beat()
        await until(lambda node=node: not node.counts.is_away and not node.counts.owed)


async def gone(own_redis, nodes):
    own_redis.kill()
    for node in nodes:
        await until(lambda node=node: not node.shared.is_up)


async def test_each_process_spends_its_share_of_what_was_left_and_tells_it_on_return(own_redis, nodes):
    one, other = nodes
    (await one.passes(400)).settle(400)
    await until(lambda: not one.counts.owed)
    open_call = await one.passes(100)
    await other.passes(1)
    await gone(own_redis, nodes)

    assert await one.passes(251) is None, "500 were left for two"
    assert one.refusal.retry_after_s <= 5
    held = await one.passes(250)
    assert await one.passes(1) is None
    elsewhere = await other.passes(249)
    assert elsewhere is not None
    held.settle(200)
    open_call.settle(50)
    elsewhere.settle(249)
    assert one.counts.owed == 2
    assert one.counts.is_away
    assert one.counts.outages == 1

    await back(own_redis, nodes)
    # The server came back empty: 400 by what it was last heard to hold, 200 + 50 + 249 told on return.
    assert await one.passes(102) is None
    assert await one.passes(101) is not None
    assert await other.passes(1) is None


async def test_a_server_that_was_only_silent_has_counted_each_call_once(own_redis, nodes):
    one, other = nodes
    calls = [await one.passes(100) for _ in range(3)]
    own_redis.pause()
    lost = await one.passes(100)
    assert lost is not None, "by its share, after the budget of the call was over"
    for each in [*calls, lost]:
        each.settle(60)
    own_redis.resume()
    for node in nodes:
        await until(lambda node=node: node.shared.is_up)
        await node.counts.beat()
        await until(lambda node=node: not node.counts.is_away and not node.counts.owed)
    assert await other.passes(761) is None
    assert await other.passes(760) is not None


async def test_a_store_that_was_never_there_leaves_each_its_whole_budget(own_redis):
    own_redis.kill()
    node = Node(own_redis.url, budget_ms=200)
    await node.shared.start()
    assert await node.passes(1_001) is None
    assert node.refusal.members["retryable"] is False
    held = await node.passes(1_000)
    assert await node.passes(1) is None
    held.settle(300)
    assert await node.passes(700) is not None
    await node.counts.stop()
    await node.shared.stop()


async def test_a_rolling_limit_is_shared_out_too(own_redis, nodes):
    payer = Payer(key="k", own=(limit_of("key", "k", ROLLING, TOKENS, 600),))
    await gone(own_redis, nodes)
    assert await nodes[0].passes(301, payer) is None
    assert await nodes[0].passes(300, payer) is not None
    assert await nodes[0].passes(100, payer) is None


async def test_a_poisoned_count_does_not_stop_the_others(own_redis, nodes):
    one, other = nodes
    held, fine = await one.passes(10), await one.passes(10, Payer(user="이영희"))
    own_redis.ask("SET", "hfm{m}c:user:month:tokens:김철수", "poison")
    held.settle(10)
    fine.settle(900)
    await until(lambda: not one.counts.owed)
    assert one.counts.dropped == 1
    assert await other.passes(101, Payer(user="이영희")) is None
    assert await other.passes(10) is not None, "by the share of this process"
    assert not one.counts.is_away


async def test_a_reservation_is_remembered_as_long_as_what_it_holds(own_redis, nodes):
    held = await nodes[0].passes(10)
    record = f"hfm{{m}}r:{held._held.id}"
    ttl_ms = own_redis.ask("PTTL", record)
    assert ttl_ms >= own_redis.ask("PTTL", "hfm{m}c:user:month:tokens:김철수") - 1_000
    held.settle(10)
    await until(lambda: not nodes[0].counts.owed)
    assert own_redis.ask("GET", record) == b"done"
    assert own_redis.ask("ZCARD", "hfm{m}leases") == 0


async def test_decisions_without_the_store_are_forgotten_once_they_are_told(own_redis, nodes):
    one, _ = nodes
    own_redis.pause()
    blip = await one.passes(300)
    own_redis.resume()
    blip.settle(300)
    await until(lambda: one.shared.is_up)
    await one.counts.beat()
    await until(lambda: not one.counts.owed and not one.counts.is_away)
    await gone(own_redis, nodes)
    assert await one.passes(350) is not None, "half of 700: the 300 are not counted twice"


async def test_a_database_that_goes_away_is_made_up_for_when_it_is_back(sqlite, clock):
    new_id = IdSource().span_id
    stores = [SqlBudgets(sqlite, clock.wall, nodes=2, patience_s=30.0) for _ in range(2)]
    processes = [SharedCounts(store, clock, UTC, new_id) for store in stores]
    one, other = (Budgets(Declared((MONTHLY,)), counts, NoMeter()) for counts in processes)
    for counts in processes:
        await counts.beat()
    open_call = await one.reserve(KIM, tokens=400)
    await sqlite.stop()
    alone = await one.reserve(KIM, tokens=300)
    with pytest.raises(BudgetExceeded):
        await one.reserve(KIM, tokens=1)
    open_call.settle(100)
    alone.settle(300)
    assert processes[0].is_away
    assert processes[0].owed == 2
    await sqlite.start()
    for counts in processes:
        await counts.beat()
    await until(lambda: not processes[0].owed and not processes[0].is_away)
    with pytest.raises(BudgetExceeded):
        await other.reserve(KIM, tokens=601)
    assert await other.reserve(KIM, tokens=600)
    for counts in processes:
        await counts.stop()


class Meanwhile:
    """A store that somebody does something beside, in the turn in which it has been told."""

    def __init__(self, store):
        self.store = store
        self.then = None

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def settle(self, settlements, seed):
        await self.store.settle(settlements, seed)
        if self.then is not None:
            asyncio.get_running_loop().call_soon(self.then)
            self.then = None


async def test_what_is_owed_as_the_last_of_it_has_been_told_does_not_wait_for_the_next_beat(sqlite, clock):
    store = Meanwhile(SqlBudgets(sqlite, clock.wall, patience_s=30.0))
    counts = SharedCounts(store, clock, UTC, IdSource().span_id)
    budgets = Budgets(Declared((MONTHLY,)), counts, NoMeter())
    first, second = [await budgets.reserve(KIM, tokens=10) for _ in range(2)]
    settled = []

    def settle_the_other():
        second.settle(10)
        settled.append(second)

    store.then = settle_the_other
    first.settle(10)
    await until(lambda: settled and not counts.owed)
    await counts.stop()


async def test_a_settlement_that_the_database_refuses_does_not_stop_the_others(sql, clock):
    counts = SharedCounts(SqlBudgets(sql, clock.wall, patience_s=30.0), clock, UTC, IdSource().span_id)
    budgets = Budgets(Declared((MONTHLY,)), counts, NoMeter())
    lee = Payer(user="이영희")
    held, fine = await budgets.reserve(KIM, tokens=10), await budgets.reserve(lee, tokens=10)
    held.settle(10**19)
    fine.settle(900)
    await until(lambda: not counts.owed)
    assert counts.dropped == 1
    with pytest.raises(BudgetExceeded):
        await budgets.reserve(lee, tokens=101)
    assert await budgets.reserve(KIM, tokens=10), "what was not taken is not known to be used"
    budgets.spend(KIM, tokens=10**19)
    budgets.spend(lee, tokens=100)
    await until(lambda: not counts.owed)
    assert counts.dropped == 2
    with pytest.raises(BudgetExceeded):
        await budgets.reserve(lee, tokens=1)
    await counts.stop()
