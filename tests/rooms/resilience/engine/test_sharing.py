"""Two processes (two worlds) on one place for states: Redis, SQLite, PostgreSQL alike."""

import asyncio

import pytest

from holdfast.kernel.guard import CircuitOpen
from holdfast.ports.shared import SharedDown
from holdfast.rooms.resilience.rules.standing import LOOK, Move
from holdfast.rooms.resilience.store.redis import RedisStates
from tests.rooms.resilience.world import World, fine
from tests.waiting import until

SHARED = {"shared": True, "failures": 2, "open_s": 1000, "lease_s": 2000, "longest_open_s": 100_000}
"""Times that a test does not outlive on a real server: what is due is due because the test says so."""


class Held:
    def __init__(self):
        self.gates = []

    async def __call__(self):
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        return await gate


@pytest.fixture
def pair(make_states, clock):
    return [World(make_states(), clock, seed, pay=SHARED) for seed in (1, 2)]


async def make_due(world, states):
    """End the open time everywhere, as if it had passed."""
    if hasattr(states, "_shared"):
        await states._shared.call("HSET", "holdfast:resilience:{pay}", "until", 1)
    world.clock.advance(1001)


async def opened(pair):
    one, other = pair
    await other.look()  # as each process does at its start
    await one.fail(2)
    await one.told()
    await other.look()
    assert (one.state(), other.state()) == ("open", "open")


async def agree(pair):
    """First all have said what they did, then all look."""
    for world in pair:
        await world.told()
    for world in pair:
        await world.look()


async def test_what_one_saw_fail_the_other_does_not_call(pair):
    await opened(pair)
    with pytest.raises(CircuitOpen) as caught:
        await pair[1].guard().call(fine)
    assert 0 < caught.value.retry_after_s <= 1000
    assert pair[1].log.messages == ["dependency pay is held back for 1e+03 s: another process saw it fail"]


async def test_twenty_callers_in_two_processes_at_a_half_open_breaker_and_one_passes(pair):
    await opened(pair)
    await make_due(pair[0], pair[0].guards._states)
    held = Held()
    tasks = [asyncio.create_task(world.guard().call(held)) for world in pair for _ in range(10)]
    await until(lambda: held.gates and sum(task.done() for task in tasks) == 19)
    assert len(held.gates) == 1
    held.gates[0].set_result("well again")
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert ended.count("well again") == 1
    assert sum(isinstance(error, CircuitOpen) for error in ended) == 19
    await agree(pair)
    assert [world.state() for world in pair] == ["closed", "closed"]
    assert await pair[0].guard().call(fine) == await pair[1].guard().call(fine) == "fine"


async def test_a_failed_probe_lengthens_the_open_time_of_all(pair):
    await opened(pair)
    await make_due(pair[0], pair[0].guards._states)
    await pair[1].fail(1)
    await pair[1].told()
    await pair[0].look()
    for world in pair:
        assert world.guard().breaker.opens == 2
        assert world.guards.report("pay").next_call_in_s == pytest.approx(2000, abs=60)


async def test_a_cancelled_probe_frees_the_lease_of_all(pair):
    await opened(pair)
    await make_due(pair[0], pair[0].guards._states)
    held = Held()
    probe = asyncio.create_task(pair[0].guard().call(held))
    await until(lambda: held.gates)
    with pytest.raises(CircuitOpen):
        await pair[1].guard().call(fine)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    await pair[0].told()
    pair[1].clock.advance(2)
    assert await pair[1].guard().call(fine) == "fine"


async def test_a_reset_by_hand_reaches_all(pair):
    await opened(pair)
    await pair[1].guards.reset("pay")
    await pair[0].look()
    assert [world.state() for world in pair] == ["closed", "closed"]
    await opened(pair)


async def test_who_finds_it_closed_by_another_goes_on_as_an_ordinary_call(pair):
    await opened(pair)
    await make_due(pair[0], pair[0].guards._states)
    await pair[0].guard().call(fine)
    await pair[0].told()
    assert pair[1].state() == "open", "it has not heard of it yet"
    held = Held()
    tasks = [asyncio.create_task(pair[1].guard().call(held)) for _ in range(2)]
    await until(lambda: held.gates)
    tasks.append(asyncio.create_task(pair[1].guard().call(held)))
    await until(lambda: len(held.gates) >= 2)
    assert pair[1].state() == "closed"
    for gate in held.gates:
        gate.set_result(1)
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_only_one_of_many_openings_counts(pair):
    for world in pair:
        await world.fail(2)
    await agree(pair)
    assert [world.guard().breaker.opens for world in pair] == [1, 1]
    standing = await pair[0].guards._states.move("pay", Move(LOOK))
    assert (standing.generation, standing.opens) == (1, 1)


# -- the store is away --------------------------------------------------------------------------------


class Away:
    """States that can be cut off, in front of real ones."""

    pushes = False

    def __init__(self, states):
        self.states = states
        self.cut = False

    async def look(self, names):
        if self.cut:
            raise SharedDown("cut off")
        return await self.states.look(names)

    async def move(self, name, move):
        if self.cut:
            raise SharedDown("cut off")
        return await self.states.move(name, move)


@pytest.fixture
def cut_pair(make_states, clock):
    places = [Away(make_states()) for _ in range(2)]
    return places, [World(place, clock, seed, pay=SHARED) for seed, place in enumerate(places)]


async def test_while_the_store_is_away_each_process_stands_alone(cut_pair):
    (one, other), (first, second) = cut_pair
    one.cut = other.cut = True
    await first.fail(2)
    await first.told()
    assert (first.state(), second.state()) == ("open", "closed")
    assert first.guards.report("pay").shared == "away"
    first.clock.advance(1000)
    held = Held()
    tasks = [asyncio.create_task(first.guard().call(held)) for _ in range(5)]
    await until(lambda: sum(task.done() for task in tasks) == 4)
    assert len(held.gates) == 1
    held.gates[0].set_result("fine")
    assert (await asyncio.gather(*tasks, return_exceptions=True)).count("fine") == 1
    assert first.state() == "closed"


async def test_what_the_store_missed_is_made_good_when_it_is_back(cut_pair):
    (one, _), (first, second) = cut_pair
    await second.look()
    one.cut = True
    await first.fail(2)
    await first.told()
    one.cut = False
    await first.look()
    await first.told()
    await second.look()
    assert second.state() == "open"
    assert first.guards.report("pay").shared == "shared"
    one.cut = True
    first.clock.advance(1001)
    await first.guard().call(fine)
    await first.told()
    one.cut = False
    await first.look()
    await first.told()
    await second.look()
    assert (first.state(), second.state()) == ("closed", "closed")


async def test_news_of_the_others_wins_over_what_one_did_alone(cut_pair):
    (one, _), (first, second) = cut_pair
    await first.fail(2)
    await first.told()
    await second.look()
    one.cut = True
    await second.guards.reset("pay")
    one.cut = False
    await first.look()
    assert first.state() == "closed"


async def test_a_store_that_lost_its_memory_is_told_again(shared, clock):
    first, second = (World(RedisStates(shared), clock, seed, pay=SHARED) for seed in (1, 2))
    await opened([first, second])
    await shared.call("FLUSHDB")
    await first.look()
    await first.told()
    await second.look()
    assert (first.state(), second.state()) == ("open", "open")
    assert (await first.guards._states.look(["pay"]))["pay"].is_open


async def test_a_key_of_another_type_is_as_good_as_no_store(shared, clock):
    await shared.call("SET", "holdfast:resilience:{pay}", "not ours")
    world = World(RedisStates(shared), clock, pay=SHARED)
    await world.look()
    await world.fail(2)
    await world.told()
    assert (world.state(), world.guards.report("pay").shared) == ("open", "away")
    clock.advance(1001)
    assert await world.guard().call(fine) == "fine"


async def test_a_store_that_hangs_holds_a_call_up_no_longer_than_its_budget(clock):
    class Hangs:
        pushes = False

        async def look(self, names):
            return {}

        async def move(self, name, move):
            await asyncio.Event().wait()

    world = World(Hangs(), clock, pay=SHARED)
    world.guards.known("pay").sharing._budget_s = 0.01
    await world.fail(2)
    clock.advance(1001)
    assert await world.guard().call(fine) == "fine"
    assert world.guards.report("pay").shared == "away"
    await world.told()


async def test_a_breaker_that_is_not_shared_asks_nobody(clock):
    class Refuses:
        pushes = False

        async def look(self, names):
            raise AssertionError("nobody asks")

        move = look

    world = World(Refuses(), clock, pay={"failures": 2})
    await world.fail(2)
    clock.advance(5)
    assert await world.guard().call(fine) == "fine"
    assert world.guards.report("pay").shared == "alone"
