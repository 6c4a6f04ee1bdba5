"""One suite for every place where budgets may be counted."""

import asyncio
import random
from datetime import UTC

import pytest

from holdfast.ports.services import NoMeter
from holdfast.rooms.llm.engine.budgets import Budgets
from holdfast.rooms.llm.engine.memory_counts import MemoryCounts
from holdfast.rooms.llm.rules.budgets import BudgetSetting, Declared
from holdfast.rooms.llm.rules.denials import BudgetExceeded
from holdfast.rooms.llm.rules.limits import REQUESTS, ROLLING, TOKENS, limit_of
from holdfast.rooms.llm.rules.payer import Payer

KIM = Payer(tenant="서울", user="김철수", model="gpt-4o")
DAILY = BudgetSetting("user", "month", tokens=100)


async def tries(budgets, payer, tokens, times=1, cost=0):
    """How many of that many callers at once pass."""
    found = await asyncio.gather(
        *(budgets.reserve(payer, tokens=tokens, cost=cost) for _ in range(times)), return_exceptions=True
    )
    strange = [
        each for each in found if isinstance(each, BaseException) and not isinstance(each, BudgetExceeded)
    ]
    assert not strange, strange
    return [each for each in found if not isinstance(each, BaseException)]


async def test_of_eight_first_calls_of_an_unknown_user_with_a_budget_for_one_one_passes(world):
    budgets = world.process(DAILY)
    assert len(await tries(budgets, KIM, 100, times=8)) == 1


async def test_of_eight_calls_over_four_processes_one_passes(world):
    processes = [world.process(DAILY) for _ in range(4)]
    found = await asyncio.gather(*(tries(budgets, KIM, 60, times=2) for budgets in processes))
    assert sum(len(each) for each in found) == 1


async def test_what_was_not_spent_may_be_spent_by_the_next(world):
    one, other = world.process(DAILY), world.process(DAILY)
    reservation = await one.reserve(KIM, tokens=90)
    with pytest.raises(BudgetExceeded):
        await other.reserve(KIM, tokens=20)
    reservation.settle(70)
    await world.settled()
    assert await tries(other, KIM, 30)
    with pytest.raises(BudgetExceeded):
        await one.reserve(KIM, tokens=1)


async def test_settling_and_refunding_count_once_in_any_order(world):
    budgets = world.process(DAILY)
    first = await budgets.reserve(KIM, tokens=40)
    first.refund()
    first.settle(40)
    second = await budgets.reserve(KIM, tokens=40)
    second.settle(10)
    second.settle(10)
    second.refund()
    await world.settled()
    assert await tries(budgets, KIM, 90)
    assert not await tries(budgets, KIM, 1)


async def test_all_limits_are_charged_or_none(world):
    budgets = world.process(
        BudgetSetting("user", "month", tokens=1_000),
        BudgetSetting("tenant", "month", tokens=100),
        BudgetSetting("everything", "month", cost=1.0),
    )
    with pytest.raises(BudgetExceeded) as refused:
        await budgets.reserve(KIM, tokens=101)
    assert "tenant 서울" in refused.value.detail
    assert refused.value.members["retryable"] is False, "this much is never allowed"
    for _ in range(20):
        with pytest.raises(BudgetExceeded):
            await budgets.reserve(KIM, tokens=101)
    alone = KIM.__class__(tenant="부산", user="김철수")
    assert len(await tries(budgets, alone, 100, times=1)) == 1, "the refusals have left nothing on the user"


async def test_money_is_limited_apart_from_tokens_and_what_is_free_passes(world):
    budgets = world.process(BudgetSetting("user", "month", cost=0.000_001))
    held = await budgets.reserve(KIM, tokens=50, cost=1_000)
    with pytest.raises(BudgetExceeded) as refused:
        await budgets.reserve(KIM, tokens=1, cost=1)
    assert refused.value.members["unit"] == "cost"
    (await budgets.reserve(KIM, tokens=10**9, cost=0)).settle(10**9, 0)
    held.settle(50, 400)
    await world.settled()
    assert await tries(budgets, KIM, 1, cost=600)
    assert not await tries(budgets, KIM, 1, cost=1)


async def test_what_costs_more_than_was_reserved_is_charged_whole(world):
    budgets = world.process(DAILY)
    (await budgets.reserve(KIM, tokens=10)).settle(250)
    await world.settled()
    with pytest.raises(BudgetExceeded) as refused:
        await budgets.reserve(KIM, tokens=1)
    assert refused.value.members["left"] == 0
    assert refused.value.retry_after_s > 1.0  # the end of the day, not of a call: it may be near


async def test_calls_under_way_are_told_apart_from_what_is_spent(world):
    budgets = world.process(DAILY)
    await budgets.reserve(KIM, tokens=100)
    with pytest.raises(BudgetExceeded) as refused:
        await budgets.reserve(KIM, tokens=1)
    assert refused.value.retry_after_s <= 1.0
    assert "under way" in refused.value.hint


async def test_spending_without_a_reservation_counts(world):
    budgets = world.process(DAILY)
    budgets.spend(KIM, tokens=60)
    budgets.spend(KIM, tokens=30)
    await world.settled()
    assert not await tries(budgets, KIM, 11)
    assert await tries(budgets, KIM, 10)


async def test_requests_and_tokens_a_minute_of_a_key_are_one_decision(world):
    own = (limit_of("key", "k1", ROLLING, REQUESTS, 3), limit_of("key", "k1", ROLLING, TOKENS, 100_000))
    payer = Payer(key="k1", own=own)
    one, other = world.process(), world.process()
    assert len(await tries(one, payer, 10, times=2)) == 2
    assert len(await tries(other, payer, 10, times=8)) == 1
    with pytest.raises(BudgetExceeded) as refused:
        await one.reserve(payer, tokens=10)
    assert refused.value.members["unit"] == "requests"
    assert 0 < refused.value.retry_after_s <= 20.0


async def test_tokens_of_a_rolling_minute_come_back_when_they_were_not_used(world):
    payer = Payer(key="k2", own=(limit_of("key", "k2", ROLLING, TOKENS, 1_000),))
    budgets = world.process()
    held = await budgets.reserve(payer, tokens=1_000)
    assert not await tries(budgets, payer, 500)
    held.settle(10)
    await world.settled()
    assert await tries(budgets, payer, 900)
    assert not await tries(budgets, payer, 900)


async def test_a_reservation_that_nobody_settles_expires(world, clock):
    budgets = world.process(DAILY)
    lost = await budgets.reserve(KIM, tokens=100, lease_s=0.01)
    clock.advance(1.0)

    async def passes():
        return await tries(world.process(DAILY), KIM, 50)

    never = asyncio.get_running_loop().create_future()
    while not (found := await passes()):
        await asyncio.wait([never], timeout=0.01)
    lost.settle(40)
    await world.settled()
    assert not await tries(budgets, KIM, 20), "what comes late is charged all the same"
    found[0].settle(50)
    await world.settled()
    assert await tries(budgets, KIM, 10)
    assert not await tries(budgets, KIM, 1)


@pytest.mark.parametrize("user", ["", "a:b", "{x}", "#", "김" * 500, "\ud800", "nul\0", "\n", "월급 도둑"])
async def test_any_user_name_has_a_budget_of_its_own(world, user):
    budgets = world.process(DAILY)
    assert await tries(budgets, Payer(user=user), 100)
    assert not await tries(budgets, Payer(user=user), 100)
    assert await tries(budgets, Payer(user=user + "!"), 100)


async def test_a_budget_of_nothing_lets_nothing_pass(world):
    budgets = world.process(BudgetSetting("user", "minute", tokens=0))
    assert not await tries(budgets, KIM, 1)


@pytest.mark.parametrize("seed", range(3))
async def test_every_store_decides_as_memory_does(world, clock, seed):
    rng = random.Random(seed)
    settings = (
        BudgetSetting("user", "month", tokens=500, cost=0.000_002),
        BudgetSetting("tenant", "month", tokens=900),
        BudgetSetting("everything", "month", requests=40),
    )
    there = [world.process(*settings) for _ in range(2)]
    here = Budgets(Declared(settings), MemoryCounts(clock, UTC), NoMeter())
    open_calls = []
    for step in range(80):
        payer = Payer(user=rng.choice(["김철수", "lee"]), tenant="서울")
        tokens, cost = rng.randrange(150), rng.randrange(400)
        move = rng.random()
        if move < 0.6:
            pair = []
            for budgets in (here, rng.choice(there)):
                pair += await tries(budgets, payer, tokens, cost=cost) or [None]
            assert (pair[0] is None) == (pair[1] is None), (step, payer, tokens, cost)
            if pair[0] is not None:
                open_calls.append(pair)
        elif move < 0.65:
            here.spend(payer, tokens=tokens, cost=cost)
            there[0].spend(payer, tokens=tokens, cost=cost)
        elif open_calls:
            for reservation in open_calls.pop(rng.randrange(len(open_calls))):
                reservation.settle(tokens // 2, cost // 2) if move < 0.9 else reservation.refund()
        await world.settled()


async def test_a_caller_that_leaves_while_it_asks_holds_nothing(world):
    budgets = world.process(DAILY)
    asking = [asyncio.ensure_future(budgets.reserve(KIM, tokens=100)) for _ in range(5)]
    await asyncio.sleep(0)
    for each in asking:
        each.cancel()
    found = await asyncio.gather(*asking, return_exceptions=True)
    for each in found:
        if not isinstance(each, BaseException):
            each.refund()
    await world.settled()
    assert await tries(budgets, KIM, 100)
