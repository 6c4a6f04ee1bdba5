import asyncio

import pytest

from holdfast.kernel.guard import BreakerRules, Budget, BulkheadRules, HedgeRules
from holdfast.kernel.guard.hedge import Latencies, hedge_delay_s, may_hedge

from .stage import Flaky, Held, Stage, turns


def test_the_delay_comes_from_the_live_95th_percentile_once_enough_is_known():
    latencies, rules = Latencies(), HedgeRules(minimum_calls=20)
    for n in range(19):
        latencies.add(0.01 * n)
    assert hedge_delay_s(rules, latencies) is None
    for n in range(19, 100):
        latencies.add(0.01 * n)
    assert hedge_delay_s(rules, latencies) == pytest.approx(0.95, abs=0.02)
    for _ in range(200):
        latencies.add(5.0)
    assert hedge_delay_s(rules, latencies) == 5.0, "a dependency that got slow is not hedged at its old pace"
    assert hedge_delay_s(HedgeRules(delay_s=0.3), Latencies()) == 0.3


@pytest.mark.parametrize(
    ("calls", "hedges", "allowed"),
    [(0, 0, False), (1, 0, True), (19, 1, False), (40, 1, True), (40, 2, False)],
)
def test_hedges_stay_within_their_share(calls, hedges, allowed):
    assert may_hedge(HedgeRules(share=0.05), calls, hedges) is allowed


@pytest.mark.parametrize("wrong", [{"share": 0}, {"share": 2}, {"minimum_calls": 0}, {"delay_s": -1}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"share|delay_s"):
        HedgeRules(**wrong)


async def begin(stage, fn, calls=2):
    """Start one call and go round until it has sent so many."""
    task = asyncio.create_task(stage.guard.call(fn))
    while fn.calls < calls:
        await asyncio.sleep(0)
    return task


async def test_the_second_call_may_win_and_the_loser_is_cancelled_without_harm():
    stage = Stage(
        hedge=HedgeRules(delay_s=0), breaker=BreakerRules(failures=1), bulkhead=BulkheadRules(concurrent=2)
    )
    held = Held()
    task = await begin(stage, held)
    held.gates[1].set_result("second")
    assert await task == "second"
    await turns()
    guard = stage.guard
    assert held.cancelled == 1
    assert guard.bulkhead.busy == 0
    assert guard.breaker.state == 0
    assert (guard.tally.hedges, guard.tally.hedges_won, guard.tally.dropped) == (1, 1, 1)


async def test_the_first_may_win_as_well():
    stage = Stage(hedge=HedgeRules(delay_s=0))
    held = Held()
    task = await begin(stage, held)
    held.gates[0].set_result("first")
    assert await task == "first"
    assert stage.guard.tally.hedges_won == 0


async def test_when_one_fails_the_other_is_waited_for_and_when_both_do_the_first_speaks():
    stage = Stage(hedge=HedgeRules(delay_s=0, share=1))
    held = Held()
    task = await begin(stage, held)
    held.gates[0].set_exception(OSError("first"))
    await turns()
    held.gates[1].set_result("second")
    assert await task == "second"
    held = Held()
    task = await begin(stage, held)
    held.gates[1].set_exception(OSError("second"))
    await turns()
    held.gates[0].set_exception(OSError("first"))
    with pytest.raises(OSError, match="first"):
        await task


async def test_when_the_caller_leaves_both_calls_end():
    stage = Stage(hedge=HedgeRules(delay_s=0), bulkhead=BulkheadRules(concurrent=5))
    held = Held()
    task = await begin(stage, held)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turns()
    assert held.cancelled == 2
    assert stage.guard.bulkhead.busy == 0


async def test_no_second_call_without_budget_permit_or_a_closed_breaker():
    for options in (
        {"budget": Budget(share=0, floor=0)},
        {"bulkhead": BulkheadRules(concurrent=1, queue=9)},
    ):
        stage = Stage(hedge=HedgeRules(delay_s=0, share=1), **options)
        held = Held()
        task = await begin(stage, held, calls=1)
        await turns(20)
        assert held.calls == 1
        held.gates[0].set_result(1)
        assert await task == 1
        assert stage.guard.tally.hedges == 0


async def test_retries_and_hedges_share_one_budget():
    budget = Budget(share=0.2, floor=1)
    stage = Stage(hedge=HedgeRules(delay_s=0, share=1), budget=budget)
    held = Held()
    task = await begin(stage, held)
    held.gates[0].set_result(1)
    await task
    assert budget.left(stage.clock.monotonic()) == 0


async def test_nothing_is_hedged_by_default():
    stage = Stage()
    ok = Flaky("ok")
    for _ in range(50):
        await stage.guard.call(ok)
    assert stage.guard.hedging is None
    assert ok.calls == 50
