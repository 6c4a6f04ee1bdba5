import asyncio

import pytest

from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.kernel.guard import (
    BreakerRules,
    Budget,
    BulkheadRules,
    CircuitOpen,
    DeadlineExceeded,
    Retry,
    RetryLater,
    TimedOut,
    Timeouts,
    without_waits,
)

from .stage import Flaky, Held, Stage, Told, turns

ON_OS = Retry(on=OSError, attempts=4)


async def test_it_tries_again_with_growing_waits_and_notes_what_it_did():
    stage = Stage(retry=ON_OS)
    fn = Flaky(OSError(), OSError(), OSError(), "ok")
    ctx = detached(Event(), stage.clock)
    token = enter(ctx)
    try:
        assert await stage.guard.call(fn) == "ok"
    finally:
        leave(token)
    assert stage.sleeps.waited == [0.5, 1.0, 2.0]
    assert ctx.event.facts == {"guard.pay": {"calls": 1, "attempts": 4, "waited_s": 3.5}}
    assert stage.guard.tally.retries == 3


async def test_the_last_error_comes_out_and_what_is_not_named_is_not_retried():
    stage = Stage(retry=ON_OS, budget=Budget(floor=99))
    fn = Flaky(OSError("1"), OSError("2"), OSError("3"), OSError("4"), "never")
    with pytest.raises(OSError, match="4"):
        await stage.guard.call(fn)
    assert fn.calls == 4
    other = Flaky(ValueError("no"), "never")
    with pytest.raises(ValueError, match="no"):
        await stage.guard.call(other)
    assert other.calls == 1


async def test_a_predicate_says_what_to_retry():
    stage = Stage(retry=Retry(on=lambda error: getattr(error, "status", 0) == 503))
    assert await stage.guard.call(Flaky(Told(503), "ok")) == "ok"
    with pytest.raises(Told, match="500"):
        await stage.guard.call(Flaky(Told(500), "never"))


@pytest.mark.parametrize(
    ("asked", "waited"), [(0, 0.5), (7, 7.5), (60, 60.5), (120, 120.5), (None, 0.5), ("soon", 0.5), (-3, 0.5)]
)
async def test_retry_after_is_the_floor_up_to_and_including_its_cap(asked, waited):
    stage = Stage(retry=Retry(on=Told))
    assert await stage.guard.call(Flaky(Told(503, asked), "ok")) == "ok"
    assert stage.sleeps.waited == [waited]


@pytest.mark.parametrize("asked", [120.001, 3600, 10**9])
async def test_a_longer_retry_after_fails_now_and_passes_the_hint_on(asked):
    stage = Stage(retry=Retry(on=Told))
    with pytest.raises(RetryLater) as caught:
        await stage.guard.call(Flaky(Told(503, asked), "never"))
    assert caught.value.retry_after_s == asked
    assert isinstance(caught.value.__cause__, Told)
    assert stage.sleeps.waited == []


async def test_a_wait_beyond_the_deadline_fails_now():
    stage = Stage(retry=ON_OS, timeout_s=0.4)
    fn = Flaky(OSError("gone"), "never")
    with pytest.raises(OSError, match="gone") as caught:
        await stage.guard.call(fn)
    assert "after the deadline" in caught.value.__notes__[0]
    stage = Stage(retry=Retry(on=Told), timeout_s=20)
    with pytest.raises(RetryLater) as hinted:
        await stage.guard.call(Flaky(Told(503, 30), "never"))
    assert hinted.value.retry_after_s == 30
    assert stage.sleeps.waited == []


async def test_all_attempts_share_one_deadline():
    stage = Stage(retry=Retry(on=TimeoutError, attempts=9), timeout_s=10, timeouts=Timeouts(total_s=4))
    held = Held()
    task = asyncio.create_task(stage.guard.call(held))
    for _ in range(3):
        await turns()
        await stage.pass_time(4)
    with pytest.raises(DeadlineExceeded):
        await task
    assert held.calls == held.cancelled == 3
    assert stage.guard.tally.timed_out == 3


async def test_cancellation_is_never_retried():
    stage = Stage(retry=Retry(on=Exception))
    held = Held()
    task = asyncio.create_task(stage.guard.call(held))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert held.calls == 1


async def test_the_budget_suppresses_the_extra_alone():
    stage = Stage(retry=ON_OS, budget=Budget(share=0.2, floor=3))
    with pytest.raises(ConnectionError):
        await stage.guard.call(Flaky(ConnectionError()))
    fn = Flaky(OSError("gone"), "never")
    with pytest.raises(OSError, match="gone") as caught:
        await stage.guard.call(fn)
    assert fn.calls == 1
    assert "budget" in caught.value.__notes__[0]
    assert await stage.guard.call(Flaky("ok")) == "ok"


async def test_in_a_storm_retries_stay_at_a_fifth_of_the_calls():
    stage = Stage(retry=ON_OS)
    made = 0
    for _ in range(1000):
        fn = Flaky(ConnectionError())
        with pytest.raises(ConnectionError):
            await stage.guard.call(fn)
        made += fn.calls
        stage.sleeps.waited.clear()
    assert made <= 1000 * 1.25, "a window that ends while they wait leaves a little room"


async def test_no_retry_against_a_circuit_that_opened():
    stage = Stage(retry=ON_OS, breaker=BreakerRules(failures=2))
    fn = Flaky(OSError("gone"))
    with pytest.raises(OSError, match="gone") as caught:
        await stage.guard.call(fn)
    assert fn.calls == 2
    assert "circuit is open" in caught.value.__notes__[-1]
    with pytest.raises(CircuitOpen):
        await stage.guard.call(fn)
    assert fn.calls == 2


async def test_a_circuit_that_opens_during_the_wait_refuses_and_shows_why_it_was_called_at_all():
    stage = Stage(retry=ON_OS, breaker=BreakerRules(failures=5))

    async def broken_meanwhile(seconds):
        stage.guard.breaker.trip(stage.clock.monotonic(), 60, 1)

    stage.guard._sleep = broken_meanwhile
    with pytest.raises(CircuitOpen) as caught:
        await stage.guard.call(Flaky(OSError("gone"), "never"))
    assert isinstance(caught.value.__cause__, OSError)


async def test_nothing_is_held_while_it_waits():
    stage = Stage(retry=ON_OS, bulkhead=BulkheadRules(concurrent=1), timeout_s=60)
    seen = []

    async def look(seconds):
        seen.append((stage.guard.bulkhead.busy, dict(stage.guard.expiry.watched)))

    stage.guard._sleep = look
    assert await stage.guard.call(Flaky(OSError(), "ok")) == "ok"
    assert seen == [(0, {})]


async def test_only_the_innermost_layer_retries():
    inner = Stage(retry=Retry(on=OSError, attempts=2), budget=Budget(floor=99))
    outer = Stage(retry=Retry(on=Exception, attempts=5), budget=Budget(floor=99))
    fn = Flaky(OSError("gone"))

    async def client():
        try:
            return await inner.guard.call(fn)
        except OSError as error:
            raise RuntimeError("the client's own") from error

    with pytest.raises(RuntimeError):
        await outer.guard.call(client)
    assert fn.calls == 2
    shared = OSError("the same object each time")
    fn = Flaky(shared)
    for _ in range(2):
        with pytest.raises(OSError, match="same object"):
            await inner.guard.call(fn)
    assert fn.calls == 4, "its own mark does not keep a guard from retrying"


async def test_for_tests_the_waits_are_switched_off():
    stage = Stage(retry=Retry(on=OSError, attempts=9), budget=Budget(floor=99), timeout_s=1)
    with without_waits():
        assert await stage.guard.call(Flaky(*[OSError()] * 8, "ok")) == "ok"
        with without_waits(attempts=1):
            fn = Flaky(ConnectionError(), "never")
            with pytest.raises(ConnectionError):
                await stage.guard.call(fn)
            assert fn.calls == 1
        assert await stage.guard.call(Flaky(OSError(), "ok")) == "ok"
    assert stage.sleeps.waited == []
    with pytest.raises(ValueError, match="at least 1"), without_waits(attempts=0):
        pass
    stage.guard.timeout_s = 60
    await stage.guard.call(Flaky(OSError(), "ok"))
    assert stage.sleeps.waited == [0.5]


# -- async for attempt in guard.attempts() ------------------------------------------------------------


async def test_a_block_is_retried():
    stage = Stage(retry=ON_OS, bulkhead=BulkheadRules(concurrent=1), timeout_s=60)
    numbers = []
    async for attempt in stage.guard.attempts():
        with attempt:
            assert stage.guard.bulkhead.busy == 1
            numbers.append(attempt.number)
            if len(numbers) < 3:
                raise OSError
    assert numbers == [1, 2, 3]
    assert stage.sleeps.waited == [0.5, 1.0]
    assert (stage.guard.bulkhead.busy, stage.guard.expiry.watched) == (0, {})


async def test_a_block_that_keeps_failing_ends_with_its_own_error():
    stage = Stage(retry=Retry(on=OSError, attempts=2))
    seen = []

    async def block(kind):
        async for attempt in stage.guard.attempts():
            with attempt:
                seen.append(attempt.number)
                raise kind(f"attempt {attempt.number}")

    with pytest.raises(OSError, match="attempt 2"):
        await block(OSError)
    with pytest.raises(ValueError, match="attempt 1"):
        await block(ValueError)
    assert seen == [1, 2, 1]
    assert stage.guard.bulkhead.busy == 0


async def test_a_block_may_return_or_break_and_counts_as_a_success():
    stage = Stage(retry=ON_OS, bulkhead=BulkheadRules(concurrent=1))

    async def early():
        async for attempt in stage.guard.attempts():
            with attempt:
                return "early"
        return "late"

    assert await early() == "early"
    async for attempt in stage.guard.attempts():
        with attempt:
            break
    assert stage.guard.tally.ok == 2
    assert stage.guard.bulkhead.busy == 0


async def test_a_loop_that_never_enters_its_attempt_leaves_nothing_taken():
    stage = Stage(retry=ON_OS, bulkhead=BulkheadRules(concurrent=1))
    with pytest.raises(RuntimeError, match="with attempt"):
        async for _ in stage.guard.attempts():
            pass
    assert stage.guard.bulkhead.busy == 0
    async for _ in stage.guard.attempts():
        break
    assert stage.guard.bulkhead.busy == 0, "the loop was left and its attempt collected"


async def test_a_block_meets_deadline_and_open_circuit():
    stage = Stage(
        retry=Retry(on=TimeoutError),
        timeout_s=10,
        timeouts=Timeouts(total_s=2),
        breaker=BreakerRules(failures=2),
    )
    seen = []

    async def hang():
        async for attempt in stage.guard.attempts():
            with attempt:
                seen.append(attempt.number)
                await Held()()

    task = asyncio.create_task(hang())
    for _ in range(2):
        await turns()
        await stage.pass_time(2)
        await turns()
    with pytest.raises(TimedOut):
        await task
    assert seen == [1, 2]
    with pytest.raises(CircuitOpen):
        await hang()
    assert seen == [1, 2]
    task = asyncio.create_task(hang())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
