"""Many who ask the same thing at once: one call, whoever leaves, whenever they join."""

import asyncio
import contextvars
import gc
import traceback
import weakref

import pytest

from holdfast.kernel.errors import Problem, Unavailable
from holdfast.rooms.llm.engine.flights import Flights

WHO = contextvars.ContextVar("who", default="nobody")


class Source:
    """A producer that does what it is told."""

    def __init__(self) -> None:
        self.calls = 0
        self.stopped = 0
        self.who = ""
        self.told: asyncio.Queue = asyncio.Queue()

    async def __call__(self, flight):
        self.calls += 1
        self.who = WHO.get()
        try:
            while True:
                part = await self.told.get()
                if isinstance(part, Exception):
                    raise part
                if part == "end":
                    return list(flight.parts)
                flight.emit(part)
        except asyncio.CancelledError:
            self.stopped += 1
            raise


async def turns():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_all_who_ask_at_once_get_one_answer():
    flights, source = Flights(), Source()
    asked = [flights.join("k", source) for _ in range(5)]
    assert [joined for _, joined in asked] == [False, True, True, True, True]
    waiting = [asyncio.create_task(flight.answer()) for flight, _ in asked]
    source.told.put_nowait("end")
    assert await asyncio.gather(*waiting) == [[]] * 5
    assert (source.calls, flights.joined, len(flights)) == (1, 4, 0)
    flight, joined = flights.join("k", source)
    assert not joined
    source.told.put_nowait("end")
    await flight.answer()


async def test_one_who_leaves_stops_nobody_and_the_last_one_stops_it():
    flights, source = Flights(), Source()
    waiting = [asyncio.create_task(flights.join("k", source)[0].answer()) for _ in range(3)]
    await turns()
    waiting[0].cancel()
    await turns()
    assert source.stopped == 0
    waiting[1].cancel()
    waiting[2].cancel()
    await turns()
    assert (source.stopped, len(flights)) == (1, 0)


async def test_one_who_comes_after_the_last_has_left_begins_anew():
    flights, source = Flights(), Source()
    first = asyncio.create_task(flights.join("k", source)[0].answer())
    await turns()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    flight, joined = flights.join("k", source)
    assert not joined
    source.told.put_nowait("end")
    assert await flight.answer() == []


async def test_the_context_of_who_began_it_does_not_leak_into_it():
    flights, source = Flights(), Source()
    token = WHO.set("지민")
    flight, _ = flights.join("k", source)
    WHO.reset(token)
    source.told.put_nowait("end")
    await flight.answer()
    assert source.who == "nobody"


async def test_a_stream_is_heard_from_its_first_part_on_by_whoever_joins_when():
    flights, source = Flights(), Source()
    early = await begin(flights, source, "가")
    late, joined = flights.join("k", source)
    assert joined
    listening = await late.begun()
    for part in ("나", "end"):
        source.told.put_nowait(part)
    assert [part async for part in early] == ["가", "나"]
    assert [part async for part in listening] == ["가", "나"]
    assert source.calls == 1


async def begin(flights, source, part):
    flight, _ = flights.join("k", source)
    source.told.put_nowait(part)
    return await flight.begun()


async def test_a_stream_that_is_closed_unheard_is_stopped():
    flights, source = Flights(), Source()
    listening = await begin(flights, source, "가")
    await listening.aclose()
    await listening.aclose()
    await turns()
    assert source.stopped == 1
    assert [part async for part in listening] == []


async def test_an_error_before_the_first_part_is_raised_at_once_after_it_in_its_place():
    flights, source = Flights(), Source()
    source.told.put_nowait(Unavailable("no"))
    flight, _ = flights.join("k", source)
    with pytest.raises(Unavailable):
        await flight.begun()
    listening = await begin(flights, source, "가")
    source.told.put_nowait(Unavailable("cut"))
    assert await anext(listening) == "가"
    with pytest.raises(Unavailable, match="cut"):
        await anext(listening)


async def test_what_is_pinned_goes_on_without_listeners():
    flights, source = Flights(), Source()
    flight, _ = flights.join("k", source)
    flight.pin()
    waiting = asyncio.create_task(flight.answer())
    await turns()
    waiting.cancel()
    await turns()
    assert (source.stopped, len(flights)) == (0, 1)
    source.told.put_nowait("end")
    await turns()
    assert len(flights) == 0


async def test_a_producer_that_is_cancelled_from_outside_tells_its_listeners():
    flights, source = Flights(), Source()
    flight, _ = flights.join("k", source)
    waiting = asyncio.create_task(flight.answer())
    await turns()
    flight.task.cancel()
    with pytest.raises(Problem, match="stopped"):
        await waiting


async def test_closing_ends_every_producer_also_one_that_is_already_being_left():
    flights, source = Flights(), Source()
    left, _ = flights.join("a", source)
    leaving = asyncio.create_task(left.answer())
    staying = asyncio.create_task(flights.join("b", source)[0].answer())
    await turns()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await flights.close()
    assert (source.stopped, len(flights)) == (2, 0)
    with pytest.raises(Unavailable):
        await staying
    await flights.close()


async def test_one_that_is_stopped_before_its_first_step_ends_for_whoever_waits_and_none_begins_after():
    flights, source = Flights(), Source()
    flight, _ = flights.join("k", source)
    waiting = asyncio.create_task(flight.answer())
    await flights.close()
    with pytest.raises(Unavailable, match="stopped"):
        await waiting
    assert (source.calls, len(flights)) == (0, 0)
    with pytest.raises(Unavailable, match="stopped"):
        flights.join("k", source)


class Carried:
    """Something whose end can be seen."""


async def test_what_a_flight_has_carried_goes_with_it_and_needs_no_collector():
    flights, gone = Flights(), []

    async def produce(flight):
        carried = Carried()
        gone.append(weakref.ref(carried))
        return carried

    gc.disable()
    try:
        await flights.join("k", produce)[0].answer()
        await turns()
        assert gone[0]() is None
    finally:
        gc.enable()


async def test_an_error_says_to_each_listener_where_it_arose_and_not_who_else_has_heard_it():
    flights, source = Flights(), Source()

    async def hear():
        try:
            await flights.join("k", source)[0].answer()
        except Unavailable as error:
            return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    hearing = [asyncio.create_task(hear()) for _ in range(3)]
    source.told.put_nowait(Unavailable("away", retry_after_s=1.0))
    first, *others = await asyncio.gather(*hearing)
    assert "__call__" in first
    assert others == [first, first]
