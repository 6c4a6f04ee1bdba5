import asyncio

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.guard.expiry import EXPIRY, INF, Expiry, expiry_of
from holdfast.kernel.guard.problems import TimedOut
from holdfast.kernel.guard.timeouts import Timeouts, phase

from .stage import turns


async def waiting():
    await asyncio.get_running_loop().create_future()


async def test_one_timer_serves_all_and_stands_at_the_earliest_end():
    clock = ManualClock()
    expiry = Expiry(clock)
    first = expiry.enter(clock.monotonic() + 60)
    assert expiry.armed_for == clock.monotonic() + 60
    second = expiry.enter(clock.monotonic() + 90)
    assert expiry.armed_for == clock.monotonic() + 60, "a later end does not touch the timer"
    expiry.leave(second)
    expiry.leave(first)
    assert expiry.watched == {}
    clock.advance(60)
    expiry.sweep()
    assert expiry.armed_for == INF, "nothing is watched, so nothing is armed"


async def test_the_timer_itself_ends_what_takes_too_long():
    with pytest.raises(TimedOut, match="connect"), phase("connect", 0.001):
        await waiting()
    assert asyncio.current_task().cancelling() == 0
    assert EXPIRY.watched == {}


async def test_a_foreign_cancellation_passes_even_when_the_time_is_over_as_well():
    clock = ManualClock()
    expiry = Expiry(clock)

    async def work():
        with phase("total", 1, clock=clock, expiry=expiry):
            await waiting()

    task = asyncio.create_task(work())
    await turns()
    clock.advance(2)
    expiry.sweep()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert expiry.watched == {}


async def test_of_two_that_end_together_the_outer_one_speaks():
    clock = ManualClock()
    expiry = Expiry(clock)

    async def work():
        own = {"clock": clock, "expiry": expiry}
        with phase("total", 1, **own), phase("idle", 1, **own):
            await waiting()

    task = asyncio.create_task(work())
    await turns()
    clock.advance(2)
    expiry.sweep()
    with pytest.raises(TimedOut, match="total"):
        await task
    assert task.cancelling() == 0


async def test_work_that_ends_in_spite_of_it_leaves_no_cancellation_behind():
    clock = ManualClock()
    expiry = Expiry(clock)
    after = []

    async def work():
        with phase("total", 1, clock=clock, expiry=expiry):
            try:
                await waiting()
            except asyncio.CancelledError:
                after.append("finished all the same")
        await asyncio.sleep(0)
        after.append("and went on")

    task = asyncio.create_task(work())
    await turns()
    clock.advance(2)
    expiry.sweep()
    await task
    assert after == ["finished all the same", "and went on"]
    assert task.cancelling() == 0


async def test_inside_a_task_that_is_being_cancelled_the_limit_still_is_a_time_out():
    clock = ManualClock()
    expiry = Expiry(clock)
    seen = []

    async def work():
        try:
            await waiting()
        finally:
            try:
                with phase("goodbye", 1, clock=clock, expiry=expiry):
                    await waiting()
            except TimedOut as error:
                seen.append(error.members["phase"])

    task = asyncio.create_task(work())
    await turns()
    task.cancel()
    await turns()
    clock.advance(2)
    expiry.sweep()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["goodbye"]


async def test_each_chunk_gives_an_idle_stream_new_time():
    clock = ManualClock()
    expiry = Expiry(clock)
    chunks = asyncio.Queue()
    got = []

    async def read():
        with phase("idle", 2, clock=clock, expiry=expiry) as idle:
            while True:
                got.append(await chunks.get())
                idle.again()

    task = asyncio.create_task(read())
    for _ in range(5):
        await turns()
        clock.advance(1.5)
        expiry.sweep()
        chunks.put_nowait("x")
    await turns()
    clock.advance(2)
    expiry.sweep()
    with pytest.raises(TimedOut, match="no end of idle within 2 s"):
        await task
    assert got == ["x"] * 5


async def test_limits_may_be_left_in_any_order():
    expiry = Expiry(ManualClock())
    a, b, c = (expiry.enter(5000 + n) for n in range(3))
    expiry.leave(b)
    assert c.outer is a
    expiry.leave(a)
    expiry.leave(c)
    expiry.leave(c)
    assert expiry.watched == {}


async def test_the_tightest_limit_says_what_is_left():
    clock = ManualClock()
    expiry = Expiry(clock)
    assert expiry.remaining_s() is None
    outer = expiry.enter(clock.monotonic() + 1)
    inner = expiry.enter(clock.monotonic() + 5)
    assert expiry.remaining_s() == 1
    clock.step_wall(9999)
    assert expiry.remaining_s() == 1
    expiry.leave(inner)
    expiry.leave(outer)


def test_a_new_loop_begins_anew():
    clock = SystemClock()
    expiry = Expiry(clock)

    async def abandoned():
        expiry.enter(clock.monotonic() + 3600)

    async def cut():
        with pytest.raises(TimedOut), phase("total", 0.001, expiry=expiry):
            await waiting()

    asyncio.run(abandoned())
    asyncio.run(cut())
    assert expiry.watched == {}


def test_guards_on_the_machine_s_clock_share_one_timer():
    assert expiry_of(SystemClock()) is expiry_of(SystemClock()) is EXPIRY
    assert expiry_of(ManualClock()) is not EXPIRY


async def test_a_phase_without_a_limit_watches_nothing():
    with phase("connect", None) as unlimited:
        unlimited.again()
        assert EXPIRY.watched == {}


def test_a_limit_is_positive():
    with pytest.raises(ValueError, match="connect_s is 0"):
        Timeouts(connect_s=0)
