import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.errors import Unavailable
from holdfast.stores.gate import Gate


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_lets_in_as_many_as_it_has_permits_and_no_more() -> None:
    gate = Gate(3, 10.0, SystemClock())
    most = 0

    async def visit() -> None:
        nonlocal most
        async with gate.enter():
            most = max(most, gate.inside)
            await turns(3)

    await asyncio.gather(*(visit() for _ in range(100)))
    assert most == 3
    assert (gate.inside, gate.waiting) == (0, 0)


async def test_it_serves_in_the_order_of_arrival_and_lets_nobody_slip_in() -> None:
    gate = Gate(1, 10.0, SystemClock())
    order: list[int] = []

    async def visit(number: int) -> None:
        async with gate.enter():
            order.append(number)
            await turns(2)

    first = [asyncio.create_task(visit(n)) for n in range(50)]
    while len(order) < 10:
        await asyncio.sleep(0)
    # Latecomers arrive while permits change hands; a fast path that looks only at the permits lets them in.
    late = [asyncio.create_task(visit(n)) for n in range(50, 100)]
    await asyncio.gather(*first, *late)
    assert order == list(range(100))


async def test_who_is_past_the_deadline_gets_503_and_a_time_to_come_back() -> None:
    clock = ManualClock()
    gate = Gate(1, 5.0, clock)
    await gate.take()
    early = asyncio.create_task(gate.take())
    await turns()
    clock.advance(3.0)
    later = asyncio.create_task(gate.take())
    await turns()
    clock.advance(2.0)
    gate.expire()
    with pytest.raises(Unavailable) as caught:
        await early
    assert caught.value.status == 503
    assert caught.value.retry_after_s == 1.0
    assert not later.done()
    assert gate.refused == 1
    gate.leave(1.0)
    await later
    assert gate.inside == 1


async def test_the_timer_turns_away_by_itself() -> None:
    gate = Gate(1, 0.01, SystemClock())
    await gate.take()
    waiting = [asyncio.create_task(gate.take()) for _ in range(3)]
    async with asyncio.timeout(10):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 3
    gate.leave(0.0)
    assert (gate.inside, gate.waiting) == (0, 0)


async def test_the_time_to_come_back_grows_with_the_line_and_the_stay() -> None:
    clock = ManualClock()
    gate = Gate(2, 100.0, clock)
    for _ in range(100):
        async with gate.enter():
            clock.advance(4.0)
    assert gate.retry_after_s() == pytest.approx(2.0, rel=0.01)
    await gate.take()
    await gate.take()
    line = [asyncio.create_task(gate.take()) for _ in range(5)]
    await turns()
    assert gate.retry_after_s() == pytest.approx(12.0, rel=0.01)
    for task in line:
        task.cancel()
    await asyncio.gather(*line, return_exceptions=True)


async def test_one_cancelled_in_the_turn_it_was_granted_passes_the_permit_on() -> None:
    gate = Gate(1, 10.0, SystemClock())
    await gate.take()
    granted = asyncio.create_task(gate.take())
    behind = asyncio.create_task(gate.take())
    await turns()
    gate.leave(0.0)  # the permit is now granted's, whose task has not run yet
    granted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await granted
    async with asyncio.timeout(10):
        await behind
    assert (gate.inside, gate.waiting) == (1, 0)


async def test_closing_turns_everyone_away_and_opening_lets_in_again() -> None:
    gate = Gate(1, 10.0, SystemClock())
    await gate.take()
    waiting = asyncio.create_task(gate.take())
    await turns()
    gate.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await gate.take()
    gate.leave(0.0)
    gate.open()
    async with gate.enter():
        assert gate.inside == 1


def test_a_gate_without_permits_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one permit"):
        Gate(0, 1.0, ManualClock())


async def storm(permits: int, tasks: int, seed: int, deadline_s: float) -> Gate:
    chance = random.Random(seed)
    gate = Gate(permits, deadline_s, SystemClock())

    async def visit(stay: int) -> None:
        async with gate.enter():
            assert gate.inside <= permits
            await turns(stay)

    living = [asyncio.create_task(visit(chance.randrange(4))) for _ in range(tasks)]
    for task in chance.sample(living, tasks):
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        if chance.random() < 0.8:
            task.cancel()
    results = await asyncio.gather(*living, return_exceptions=True)
    odd = [r for r in results if r is not None and not isinstance(r, asyncio.CancelledError | Unavailable)]
    assert odd == []
    return gate


@pytest.mark.parametrize("deadline_s", [30.0, 0.05])
async def test_ten_thousand_cancelled_at_random_points_leave_every_permit(deadline_s: float) -> None:
    gate = await storm(7, 10_000, seed=1, deadline_s=deadline_s)
    assert (gate.inside, gate.waiting) == (0, 0)
    for _ in range(7):
        async with asyncio.timeout(1):
            await gate.take()
    assert gate.inside == 7


@settings(max_examples=50, deadline=None)
@given(permits=st.integers(1, 9), tasks=st.integers(1, 60), seed=st.integers())
def test_no_permit_is_lost_or_made(permits: int, tasks: int, seed: int) -> None:
    gate = asyncio.run(storm(permits, tasks, seed, 30.0))
    assert (gate.inside, gate.waiting) == (0, 0)
