import asyncio

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.telemetry.engine.slices import SLICE_S, Slices


async def test_a_slice_ends_by_the_clock_and_a_rest_lets_others_run() -> None:
    clock = ManualClock()
    slices = Slices(clock)
    assert not slices.over()
    clock.advance(SLICE_S)
    assert slices.over()
    ran: list[int] = []
    asyncio.get_running_loop().call_soon(ran.append, 1)
    await slices.rest()
    assert ran == [1]
    assert not slices.over()
