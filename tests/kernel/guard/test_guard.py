import asyncio
import random

import pytest

from holdfast.kernel.context import current_ctx, detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.kernel.guard import (
    BreakerRules,
    BulkheadFull,
    BulkheadRules,
    CircuitOpen,
    DeadlineExceeded,
    Guard,
    Retry,
    TimedOut,
    Timeouts,
)
from holdfast.kernel.guard.breaker import CLOSED, HALF_OPEN, OPEN

from .stage import Flaky, Held, Stage, Told, turns

FULL = {
    "timeout_s": 10,
    "breaker": BreakerRules(failures=3),
    "bulkhead": BulkheadRules(concurrent=4, queue=4),
}


def nothing_is_held(guard):
    return guard.bulkhead.busy == 0 and guard.bulkhead.waiting == 0 and guard.expiry.watched == {}


async def failing(guard, times=1, error=None):
    for _ in range(times):
        with pytest.raises(OSError, match="gone"):
            await guard.call(Flaky(error or OSError("gone")))


async def test_arguments_and_results_pass_through():
    async def add(a, b, *, fn):
        return a + b + fn

    assert await Stage(**FULL).guard.call(add, 1, 2, fn=3) == 6


async def test_one_object_counts_what_it_did():
    stage = Stage(**FULL)
    await stage.guard.call(Flaky("ok"))
    await failing(stage.guard)
    with pytest.raises(Told):
        await stage.guard.call(Flaky(Told(404)))
    with pytest.raises(Told):
        await stage.guard.call(Flaky(Told(429)))
    tally = stage.guard.tally
    assert (tally.ok, tally.failed, tally.rejected, tally.dropped) == (1, 1, 1, 1)
    assert tally.last_error == "OSError: gone"
    assert nothing_is_held(stage.guard)


async def test_a_call_is_ended_at_its_deadline_and_counts_as_a_failure():
    stage = Stage(**FULL)
    held = Held()
    task = asyncio.create_task(stage.guard.call(held))
    await turns()
    await stage.pass_time(9.9)
    assert not task.done()
    await stage.pass_time(0.2)
    with pytest.raises(DeadlineExceeded) as caught:
        await task
    assert caught.value.status == 504
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert (held.cancelled, stage.guard.breaker.in_a_row, task.cancelling()) == (1, 1, 0)
    assert nothing_is_held(stage.guard)


async def test_the_limit_of_one_attempt_is_another_error_than_the_end_of_the_call():
    stage = Stage(timeout_s=10, timeouts=Timeouts(total_s=2))
    task = asyncio.create_task(stage.guard.call(Held()))
    await turns()
    await stage.pass_time(2)
    with pytest.raises(TimedOut, match="the attempt within 2 s") as caught:
        await task
    assert not isinstance(caught.value, DeadlineExceeded)
    assert stage.guard.tally.timed_out == 1


async def test_the_request_s_deadline_holds_when_it_is_the_shorter():
    stage = Stage(**FULL)
    ctx = detached(Event(), stage.clock)
    ctx.deadline = stage.clock.monotonic() + 3
    token = enter(ctx)
    try:
        seen = []

        async def look():
            seen.append(stage.guard.remaining_s())
            await Held()()

        task = asyncio.create_task(stage.guard.call(look))
        await turns()
        await stage.pass_time(3)
        with pytest.raises(DeadlineExceeded):
            await task
        assert seen == [3]
        never = Flaky("ok")
        with pytest.raises(DeadlineExceeded, match="no time was left"):
            await stage.guard.call(never)
        assert never.calls == 0
        assert stage.guard.breaker.in_a_row == 1, "a call that was not made says nothing"
    finally:
        leave(token)


async def test_steps_of_the_wall_clock_change_nothing():
    stage = Stage(**FULL)
    task = asyncio.create_task(stage.guard.call(Held()))
    await turns()
    for step in (1e9, -2e9):
        stage.clock.step_wall(step)
        await stage.pass_time(0)
        assert not task.done()
    task.cancel()
    await failing(stage.guard, 3)
    stage.clock.step_wall(1e9)
    with pytest.raises(CircuitOpen):
        await stage.guard.call(Flaky("ok"))


async def test_an_open_circuit_refuses_at_once_with_a_typed_error_that_says_when():
    stage = Stage(**FULL)
    await failing(stage.guard, 3)
    stage.clock.advance(2)
    ok = Flaky("ok")
    with pytest.raises(CircuitOpen) as caught:
        await stage.guard.call(ok)
    assert caught.value.retry_after_s == pytest.approx(3)
    assert (caught.value.status, caught.value.code) == (503, "circuit-open")
    assert caught.value.members == {"dependency": "pay"}
    assert ok.calls == 0
    assert stage.guard.tally.circuit_open == 1


async def test_twenty_callers_at_a_half_open_breaker_and_one_passes():
    stage = Stage(**FULL)
    await failing(stage.guard, 3)
    stage.clock.advance(5)
    held = Held()
    tasks = [asyncio.create_task(stage.guard.call(held)) for _ in range(20)]
    await turns(20)
    assert held.calls == 1
    assert sum(task.done() for task in tasks) == 19
    held.gates[0].set_result("well again")
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert ended.count("well again") == 1
    assert sum(isinstance(error, CircuitOpen) and error.retry_after_s <= 5 for error in ended) == 19
    assert stage.guard.breaker.state == CLOSED


@pytest.mark.parametrize("way", ["cancel", "time out", "crash", "no answer"])
async def test_the_lease_is_freed_however_the_probe_ends(way):
    stage = Stage(**FULL)
    await failing(stage.guard, 3)
    stage.clock.advance(5)
    held = Held()
    probe = asyncio.create_task(stage.guard.call(held))
    await turns()
    assert stage.guard.breaker.state == HALF_OPEN
    if way == "cancel":
        probe.cancel()
    elif way == "time out":
        await stage.pass_time(10)
    elif way == "crash":
        held.gates[0].set_exception(KeyError("bug"))
    else:
        stage.clock.advance(31)
    await turns()
    assert nothing_is_held(stage.guard) or way == "no answer"
    expected = {"cancel": (OPEN, 1), "time out": (OPEN, 2), "crash": (OPEN, 2), "no answer": (HALF_OPEN, 1)}
    assert (stage.guard.breaker.state, stage.guard.breaker.opens) == expected[way]
    stage.clock.advance(20)
    assert await stage.guard.call(Flaky("ok")) == "ok"
    assert stage.guard.breaker.state == CLOSED
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert stage.guard.breaker.state == CLOSED


async def test_cancellation_is_neutral():
    stage = Stage(**FULL)
    for _ in range(20):
        task = asyncio.create_task(stage.guard.call(Held()))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert stage.guard.breaker.state == CLOSED
    assert (stage.guard.tally.dropped, stage.guard.tally.failed) == (20, 0)


async def test_ten_thousand_cancelled_calls_leave_no_permit_taken():
    guard = Guard(
        "pay", timeout_s=60, breaker=BreakerRules(), bulkhead=BulkheadRules(concurrent=50, queue=10_000)
    )
    for step in range(4):
        held = Held()
        tasks = [asyncio.create_task(guard.call(held)) for _ in range(2500)]
        await turns(step * 2)
        for number, task in enumerate(tasks):
            task.cancel()
            if held.gates and number % 7 == 0 and not held.gates[-1].done():
                held.gates[-1].set_result("just in time")
        await asyncio.gather(*tasks, return_exceptions=True)
        assert nothing_is_held(guard)
    assert guard.breaker.state == CLOSED
    assert await guard.call(Flaky("ok")) == "ok"


async def test_the_bulkhead_bounds_queues_refuses_and_keeps_the_deadline():
    stage = Stage(
        timeout_s=10, bulkhead=BulkheadRules(concurrent=1, queue=1), breaker=BreakerRules(failures=1)
    )
    held = Held()
    first = asyncio.create_task(stage.guard.call(held))
    await turns()
    second = asyncio.create_task(stage.guard.call(held))
    await turns()
    assert held.calls == 1
    with pytest.raises(BulkheadFull) as caught:
        await stage.guard.call(held)
    assert caught.value.retry_after_s is not None
    assert stage.guard.tally.full == 1
    held.gates[0].set_result(1)
    assert await first == 1
    await turns()
    assert held.calls == 2
    third = asyncio.create_task(stage.guard.call(held))
    await turns()
    held.gates[1].set_result(2)
    await second
    await turns()
    fourth = asyncio.create_task(stage.guard.call(held))
    await turns()
    await stage.pass_time(10)
    for task, text in ((third, "before it answered"), (fourth, "before a permit was free")):
        with pytest.raises(DeadlineExceeded, match=text):
            await task
    assert nothing_is_held(stage.guard)


async def test_who_waits_past_the_deadline_says_nothing_about_the_dependency():
    stage = Stage(
        timeout_s=10, bulkhead=BulkheadRules(concurrent=1, queue=1), breaker=BreakerRules(failures=1)
    )
    blocker = asyncio.create_task(stage.guard.call(Held()))
    await turns()
    stage.clock.advance(5)
    waiter = asyncio.create_task(stage.guard.call(Held()))
    stage.guard.expiry.watched[blocker].until += 100
    await turns()
    await stage.pass_time(10)
    with pytest.raises(DeadlineExceeded, match="before a permit was free"):
        await waiter
    assert stage.guard.breaker.state == CLOSED
    blocker.cancel()
    await asyncio.gather(blocker, return_exceptions=True)
    assert nothing_is_held(stage.guard)


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [
        (None, None),
        ([], []),
        (lambda error: type(error).__name__, "OSError"),
        (Flaky("awaited"), "awaited"),
    ],
)
async def test_the_fallback_answers_and_the_record_says_so(fallback, expected):
    stage = Stage(fallback=fallback)
    ctx = detached(Event(), stage.clock)
    token = enter(ctx)
    try:
        assert await stage.guard.call(Flaky(OSError())) == expected
    finally:
        leave(token)
    assert ctx.event.facts == {"guard.pay": {"calls": 1, "attempts": 1, "degraded": True, "error": "OSError"}}
    assert stage.guard.tally.degraded == 1


async def test_the_fallback_covers_refusals_but_not_a_no_nor_a_cancellation():
    stage = Stage(fallback="spare", breaker=BreakerRules(failures=1), bulkhead=BulkheadRules(concurrent=1))
    with pytest.raises(Told, match="404"):
        await stage.guard.call(Flaky(Told(404)))
    assert await stage.guard.call(Flaky(Told(429))) == "spare"
    task = asyncio.create_task(stage.guard.call(Held()))
    await turns()
    assert await stage.guard.call(Flaky("ok")) == "spare", "the bulkhead is full"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await stage.guard.call(Flaky(OSError())) == "spare"
    never = Flaky("ok")
    assert await stage.guard.call(never) == "spare", "the circuit is open"
    assert never.calls == 0


async def test_a_fallback_that_fails_shows_both_errors():
    def broken(error):
        raise LookupError("no spare")

    stage = Stage(fallback=broken)
    with pytest.raises(LookupError) as caught:
        await stage.guard.call(Flaky(OSError("gone")))
    assert isinstance(caught.value.__context__, OSError)


async def test_a_call_that_goes_through_leaves_nothing_on_the_record():
    stage = Stage(**FULL)
    ctx = detached(Event(), stage.clock)
    token = enter(ctx)
    try:
        await stage.guard.call(Flaky("ok"))
    finally:
        leave(token)
    assert ctx.event.facts is None
    assert current_ctx() is None


async def test_several_calls_of_one_request_add_up_under_one_key():
    stage = Stage(breaker=BreakerRules(failures=2))
    ctx = detached(Event(), stage.clock)
    token = enter(ctx)
    try:
        await failing(stage.guard, 2)
        with pytest.raises(CircuitOpen):
            await stage.guard.call(Flaky("ok"))
    finally:
        leave(token)
    assert ctx.event.facts == {
        "guard.pay": {"calls": 3, "attempts": 2, "error": "CircuitOpen", "breaker": "open"}
    }


async def test_the_decorator_guards_an_async_function_and_refuses_others():
    stage = Stage(breaker=BreakerRules(failures=1))

    @stage.guard
    async def charge(amount):
        """Take money."""
        if amount < 0:
            raise OSError("gone")
        return amount

    assert await charge(5) == 5
    assert (charge.__name__, charge.__doc__) == ("charge", "Take money.")
    assert asyncio.iscoroutinefunction(charge)
    with pytest.raises(OSError, match="gone"):
        await charge(-1)
    with pytest.raises(CircuitOpen):
        await charge(5)

    def sync(): ...

    async def stream():
        yield 1

    for wrong in (sync, stream):
        with pytest.raises(TypeError, match="no async function"):
            stage.guard(wrong)


async def test_a_block_is_guarded_by_async_with_and_blocks_nest():
    stage = Stage(timeout_s=10, breaker=BreakerRules(failures=1), bulkhead=BulkheadRules(concurrent=2))
    async with stage.guard as guard:
        assert guard.remaining_s() == 10
        async with guard:
            assert guard.bulkhead.free == 0
        assert guard.bulkhead.free == 1
    assert nothing_is_held(guard)

    async def hang():
        async with guard:
            await Held()()

    task = asyncio.create_task(hang())
    await turns()
    await stage.pass_time(10)
    with pytest.raises(DeadlineExceeded):
        await task
    with pytest.raises(CircuitOpen):
        async with guard:
            pytest.fail("the circuit is open")
    assert nothing_is_held(guard)
    assert guard._entered == {}


async def test_a_block_left_by_another_task_gives_back_what_its_own_has_left_behind():
    stage = Stage(bulkhead=BulkheadRules(concurrent=1))

    async def source():
        async with stage.guard:
            yield 1

    stream = source()
    await asyncio.create_task(anext(stream))
    assert stage.guard.bulkhead.busy == 1
    await stream.aclose()
    assert stage.guard.bulkhead.busy == 0
    with pytest.raises(RuntimeError, match="another task"):
        await stage.guard.__aexit__(None, None, None)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_nothing_is_lost_and_one_probes(seed):
    chance = random.Random(seed)
    stage = Stage(
        timeout_s=10,
        timeouts=Timeouts(total_s=4),
        retry=Retry(on=OSError, attempts=3),
        breaker=BreakerRules(failures=4, lease_s=20),
        bulkhead=BulkheadRules(concurrent=5, queue=8),
    )
    inside, probing, most_probing = 0, 0, 0

    async def dependency():
        nonlocal inside, probing, most_probing
        is_probe = stage.guard.breaker.state == HALF_OPEN
        inside, probing = inside + 1, probing + is_probe
        most_probing = max(most_probing, probing)
        assert inside <= 5
        try:
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            ending = chance.randrange(10)
            if ending < 5:
                raise chance.choice([OSError("gone"), Told(500), Told(404), Told(429)])
            if ending == 5:
                await asyncio.Event().wait()
        finally:
            inside, probing = inside - 1, probing - is_probe

    async def caller():
        way = chance.randrange(3)
        if way == 0:
            async with stage.guard:
                await dependency()
        elif way == 1:
            async for attempt in stage.guard.attempts():
                with attempt:
                    await dependency()
        else:
            await stage.guard.call(dependency)

    tasks, states = [], set()
    for _ in range(600):
        tasks.append(asyncio.create_task(caller()))
        if chance.random() < 0.2:
            chance.choice(tasks).cancel()
        if chance.random() < 0.2:
            stage.clock.advance(chance.uniform(0, 3))
            stage.guard.expiry.sweep()
        states.add(stage.guard.breaker.state)
        await asyncio.sleep(0)
    while not all(task.done() for task in tasks):
        await stage.pass_time(1)
    errors = [error for error in await asyncio.gather(*tasks, return_exceptions=True) if error is not None]
    known = (OSError, Told, CircuitOpen, BulkheadFull, TimedOut, asyncio.CancelledError)
    assert [error for error in errors if not isinstance(error, known)] == []
    assert nothing_is_held(stage.guard)
    assert states == {CLOSED, OPEN, HALF_OPEN}
    assert most_probing == 1


async def test_what_an_attempt_took_is_observed():
    stage, seen = Stage(), []
    stage.guard.observe = seen.append

    async def slow(error=None):
        stage.clock.advance(0.25)
        if error:
            raise error

    await stage.guard.call(slow)
    with pytest.raises(OSError, match="gone"):
        await stage.guard.call(slow, OSError("gone"))
    assert seen == [0.25, 0.25]


def test_a_time_limit_is_positive():
    with pytest.raises(ValueError, match="timeout_s is 0"):
        Guard("pay", timeout_s=0)
