"""A hundred callers, one load: whoever leaves, whatever the factory does."""

import asyncio
import contextvars
import gc
import traceback

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.context import current_ctx, detached, enter
from holdfast.kernel.event import Event
from holdfast.rooms.cache.engine.flights import Flights
from holdfast.rooms.cache.rules.kinds import KindSettings
from holdfast.rooms.cache.rules.problems import LoadCancelled, LoadTimeout, Recursion
from tests.waiting import until

from .making import Factory, make_engine, refused, settle

USER = contextvars.ContextVar("user", default="nobody")


def hundred(engine, factory, **rest):
    return [asyncio.create_task(engine.get_or_set("k", factory, **rest)) for _ in range(100)]


@pytest.mark.parametrize("leaver", [0, 50, 99])
async def test_who_leaves_takes_nobody_along(leaver):
    engine, factory = make_engine(), Factory(is_open=False)
    waiters = hundred(engine, factory)
    await factory.begun.wait()
    waiters[leaver].cancel()
    await asyncio.sleep(0)
    factory.gate.set()
    found = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(found.pop(leaver), asyncio.CancelledError)
    assert found == [1] * 99
    assert factory.calls == 1
    assert engine.tallies()[0].joined == 99


async def test_when_all_leave_the_load_still_ends_and_is_kept():
    engine, factory = make_engine(), Factory(is_open=False)
    waiters = hundred(engine, factory)
    await factory.begun.wait()
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    gc.collect()
    factory.gate.set()
    await settle(engine)
    assert await engine.get("k") == 1
    assert factory.cancelled == 0


async def test_an_error_goes_to_all_who_wait_once_and_is_not_kept():
    engine, factory = make_engine(), Factory(is_open=False)
    factory.raises = ValueError("no such farm")
    waiters = hundred(engine, factory)
    await factory.begun.wait()
    factory.gate.set()
    found = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(error is factory.raises for error in found)
    assert factory.calls == 1
    frames = traceback.extract_tb(found[0].__traceback__)
    assert len(frames) < 15, "the traceback must not grow with the number of those who wait"
    assert any(frame.name == "__call__" for frame in frames)
    factory.raises = None
    assert await engine.get_or_set("k", factory) == 2


@pytest.mark.parametrize("error", [StopIteration("x"), StopAsyncIteration(), TimeoutError(), GeneratorExit()])
async def test_errors_that_python_treats_apart_reach_the_caller(error):
    engine, factory = make_engine(), Factory()
    factory.raises = error
    with pytest.raises((type(error), RuntimeError, LoadCancelled)):
        await engine.get_or_set("k", factory)
    factory.raises = None
    assert await engine.get_or_set("k", factory) == 2


async def test_a_factory_that_cancels_itself_cancels_nobody():
    engine, factory = make_engine(), Factory(is_open=False)
    factory.raises = asyncio.CancelledError()
    waiters = hundred(engine, factory)
    await factory.begun.wait()
    factory.gate.set()
    found = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(isinstance(error, LoadCancelled) for error in found)
    assert len(engine.flights) == 0


async def test_nothing_of_the_first_caller_s_request_reaches_the_load():
    engine = make_engine()
    seen = []

    async def load():
        seen.append((USER.get(), current_ctx()))
        return 1

    USER.set("minji")
    enter(detached(Event(user_id="minji")))
    await engine.get_or_set("k", load)
    assert seen == [("nobody", None)]
    assert USER.get() == "minji"


async def test_a_load_that_asks_for_itself_is_told_so():
    engine = make_engine()

    async def itself():
        return await engine.get_or_set("k", itself)

    with refused(Recursion):
        await engine.get_or_set("k", itself)
    assert len(engine.flights) == 0


async def test_two_loads_that_wait_for_each_other_are_told_so():
    engine = make_engine()
    both = asyncio.Event()

    async def one():
        await both.wait()
        return await engine.get_or_set("two", two)

    async def two():
        both.set()
        return await engine.get_or_set("one", one)

    found = await asyncio.gather(
        engine.get_or_set("one", one), engine.get_or_set("two", two), return_exceptions=True
    )
    assert any(isinstance(error, Recursion) for error in found)
    assert len(engine.flights) == 0


async def test_a_load_may_ask_for_other_keys_even_through_tasks():
    engine = make_engine()

    async def part():
        return 1

    async def whole():
        return sum(await asyncio.gather(*(engine.get_or_set(f"part:{n}", part) for n in range(3))))

    assert await engine.get_or_set("whole", whole) == 3


async def test_a_load_of_many_that_asks_for_one_of_its_own_is_told_so():
    engine = make_engine()

    async def many(keys):
        return {key: await engine.get_or_set("b", lambda: many(["b"])) for key in keys}

    with refused(Recursion):
        await engine.get_or_set_many(["a", "b"], many)


async def test_a_load_that_hangs_is_given_up_at_the_hard_deadline():
    engine = make_engine(kinds={"short": KindSettings(hard_s=0.01)})
    factory = Factory(is_open=False)
    waiters = hundred(engine, factory, kind="short")
    found = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(isinstance(error, LoadTimeout) and error.status == 504 for error in found)
    await until(lambda: factory.cancelled)
    factory.gate.set()
    assert await engine.get_or_set("k", factory, kind="short") == 2


async def test_a_load_that_ignores_its_end_holds_nobody_up_and_its_late_value_is_kept():
    engine = make_engine(kinds={"short": KindSettings(hard_s=0.01)})
    gate = asyncio.Event()

    async def deaf():
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    with refused(LoadTimeout):
        await engine.get_or_set("k", deaf, kind="short")
    gate.set()
    await until(lambda: engine.peek("k") is not None)
    assert await engine.get("k") == "late"


async def test_the_soft_deadline_gives_the_last_good_value_while_the_load_goes_on():
    clock = ManualClock()
    engine = make_engine(clock, kinds={"soft": KindSettings(soft_s=0.01, ttl_s=10, jitter=0, early_beta=0)})
    factory = Factory()
    await engine.get_or_set("k", factory, kind="soft")
    clock.advance(11)
    factory.gate.clear()
    assert await engine.get_or_set("k", factory, kind="soft") == 1
    assert factory.calls == 2
    factory.gate.set()
    await settle(engine)
    assert await engine.get_or_set("k", factory, kind="soft") == 2


async def test_a_flight_is_gone_from_the_table_when_it_has_ended():
    flights = Flights()
    assert len(flights) == 0
    engine = make_engine()
    for number in range(50):
        await engine.get_or_set(f"k{number}", Factory())
    assert len(engine.flights) == 0
    assert not engine.flights._by_loop
    await asyncio.sleep(0)
    assert not engine.flights._tasks


async def test_stop_ends_the_loads():
    engine, factory = make_engine(), Factory(is_open=False)
    waiter = asyncio.create_task(engine.get_or_set("k", factory))
    await factory.begun.wait()
    await engine.stop()
    with refused(LoadCancelled):
        await waiter
    assert factory.cancelled == 1
