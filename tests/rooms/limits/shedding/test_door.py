"""The door as admission uses it: places, waits, refusals, and whoever leaves in between."""

import asyncio
import random

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.ports.services import NoMeter
from holdfast.rooms.limits.engine.shedder import Overloaded, Place, Shedder
from holdfast.rooms.limits.rules.concurrency import Config
from holdfast.rooms.limits.rules.policy import CRITICAL, HIGH, LOW

from .simulated import SimulatedLoop, World, pause, pool


class Door:
    """A shedder with `size` places that never changes its limit, in simulated time."""

    def __init__(self, size, **settings):
        self.clock = ManualClock()
        self.loop = SimulatedLoop(self.clock)
        config = Config(initial_limit=size, least_limit=size, most_limit=size, **{"reserve": 0.0, **settings})
        self.shedder = Shedder(config, clock=self.clock, meter=NoMeter(), rng=random.Random(1))

    def run(self, work):
        return self.loop.run_until_complete(work)

    async def ask(self, priority=HIGH, deadline=None):
        found = self.shedder.enter("call", priority, deadline)
        return await found if asyncio.iscoroutine(found) else found

    def queue(self, priority=HIGH, deadline=None):
        return asyncio.ensure_future(self.ask(priority, deadline))


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_place_that_comes_back_goes_to_who_waits():
    door = Door(1)

    async def scene():
        first = await door.ask()
        waiting = door.queue()
        await turns()
        assert not waiting.done()
        door.shedder.leave(first)
        return await waiting

    assert isinstance(door.run(scene()), Place)


def test_waiters_are_served_in_order_and_the_critical_before_them():
    door, served = Door(1), []

    async def scene():
        held = await door.ask()
        waiting = {}
        for name, priority in (("low", LOW), ("one", HIGH), ("two", HIGH), ("critical", CRITICAL)):
            waiting[name] = door.queue(priority)
            waiting[name].add_done_callback(lambda done, name=name: served.append(name))
            await turns()
        for _ in range(4):
            door.shedder.leave(held)
            await turns()
            held = waiting[served[-1]].result()

    door.run(scene())
    assert served == ["critical", "one", "two", "low"]


def test_under_overload_the_newest_is_served_first():
    door, served = Door(1), []

    async def scene():
        held = await door.ask()
        door.shedder._lanes["call"].standing.declare(door.clock.monotonic())
        waiting = {}
        for name in ("old", "new"):
            waiting[name] = door.queue()
            waiting[name].add_done_callback(lambda done, name=name: served.append(name))
            await turns()
        door.shedder.leave(held)
        await turns()
        door.shedder.stop()
        await turns()

    door.run(scene())
    assert served == ["new", "old"]


def test_a_waiter_that_is_cancelled_leaves_nothing_behind():
    door = Door(1, queue_size=1)

    async def scene():
        held = await door.ask()
        gone = door.queue()
        await turns()
        gone.cancel()
        await turns()
        assert gone.cancelled()
        after = door.queue()
        await turns()
        assert not after.done()
        door.shedder.leave(held)
        assert isinstance(await after, Place)

    door.run(scene())


def test_a_place_given_in_the_turn_of_the_cancellation_comes_back():
    door = Door(1)

    async def scene():
        held = await door.ask()
        unlucky, next_one = door.queue(), door.queue()
        await turns()
        door.shedder.leave(held)
        unlucky.cancel()
        await turns(6)
        assert unlucky.cancelled()
        assert isinstance(next_one.result(), Place)

    door.run(scene())


@pytest.mark.parametrize(("patience_s", "deadline_s", "waited_s"), [(0.08, None, 0.08), (0.5, 0.1, 0.1)])
def test_nobody_waits_longer_than_patience_or_the_deadline(patience_s, deadline_s, waited_s):
    door = Door(1, patience_s=patience_s)

    async def scene():
        await door.ask()
        began = door.clock.monotonic()
        deadline = None if deadline_s is None else began + deadline_s
        found = await door.queue(deadline=deadline)
        return found, door.clock.monotonic() - began

    found, took_s = door.run(scene())
    assert isinstance(found, Overloaded)
    assert waited_s <= took_s <= waited_s + 0.05


def test_a_deadline_that_is_over_is_refused_at_once():
    door = Door(1)

    async def scene():
        await door.ask()
        return door.shedder.enter("call", HIGH, deadline=door.clock.monotonic() - 1)

    assert isinstance(door.run(scene()), Overloaded)


def test_a_full_line_refuses_the_newcomer_unless_it_matters_more():
    door = Door(1, queue_size=1)

    async def scene():
        await door.ask()
        low = door.queue(LOW)
        await turns()
        assert isinstance(await door.ask(LOW), Overloaded)
        critical = door.queue(CRITICAL)
        await turns()
        assert isinstance(low.result(), Overloaded)
        assert not critical.done()
        door.shedder.stop()
        await critical

    door.run(scene())


def test_the_reserve_is_there_for_what_is_critical():
    door = Door(10, reserve=0.4, queue_size=0)

    async def scene():
        inside = 0
        for priority, fits in ((LOW, 6), (HIGH, 8), (CRITICAL, 10)):
            while isinstance(await door.ask(priority), Place):
                inside += 1
            assert inside == fits

    door.run(scene())


def test_classes_of_work_do_not_share_places():
    door = Door(1, queue_size=0)

    async def scene():
        assert isinstance(door.shedder.enter("ai_generation", HIGH), Place)
        assert isinstance(door.shedder.enter("ai_generation", HIGH), Overloaded)
        assert isinstance(door.shedder.enter("api_call", HIGH), Place)

    door.run(scene())


def test_a_place_comes_back_once():
    door = Door(2, queue_size=0)

    async def scene():
        first, _ = await door.ask(), await door.ask()
        door.shedder.leave(first)
        door.shedder.leave(first)
        door.shedder.forget(first)
        assert isinstance(await door.ask(), Place)
        assert isinstance(await door.ask(), Overloaded)

    door.run(scene())


@pytest.mark.parametrize("how", ["failed", "stream", "forgotten"])
def test_what_failed_streamed_or_never_ran_is_no_sample(how):
    """Quick failures beside slow answers: were they samples, the limit would follow them."""
    world = World(pool(8, lambda rng: 0.02))

    async def scene():
        shedder = world.shedder
        for _ in range(400):
            places = [shedder.enter("call", HIGH) for _ in range(4)]
            await pause(0.001)
            for place in places:
                if how == "forgotten":
                    shedder.forget(place)
                else:
                    shedder.leave(place, failed=how == "failed", sample=how != "stream")

    world.loop.run_until_complete(scene())
    assert world.shedder._lanes["call"].law.quiet is None
    assert world.shedder._lanes["call"].inside == 0


def test_without_traffic_nothing_ticks():
    door = Door(4)

    async def scene():
        door.shedder.leave(await door.ask())
        await pause(5.0)
        assert not door.shedder._pulse.is_running
        assert door.shedder.load == 0.0
        assert isinstance(await door.ask(), Place)
        assert door.shedder._pulse.is_running

    door.run(scene())


def test_a_stop_answers_those_who_wait_and_another_loop_may_follow():
    door = Door(1)

    async def scene():
        held = await door.ask()
        waiting = door.queue()
        await turns()
        door.shedder.stop()
        assert isinstance(await waiting, Overloaded)
        door.shedder.leave(held)

    door.run(scene())
    door.loop = SimulatedLoop(door.clock)
    assert isinstance(door.run(door.ask()), Place)
    assert door.shedder._pulse.is_running


def test_clients_that_give_up_do_not_hide_how_long_it_takes():
    """Whoever leaves after a long wait is a sample: its latency is at least that."""
    world = World(pool(8, lambda rng: 0.02))

    async def scene():
        shedder = world.shedder
        for _ in range(40):
            place = shedder.enter("call", HIGH)
            await pause(0.02)
            shedder.leave(place)
        law = shedder._lanes["call"].law
        for length_s, counted in ((0.01, 0), (0.3, 1)):
            before = law._count
            place = shedder.enter("call", HIGH)
            await pause(length_s)
            shedder.forget(place)
            assert law._count - before == counted

    world.loop.run_until_complete(scene())
