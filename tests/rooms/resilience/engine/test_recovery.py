import asyncio

import pytest

from holdfast.kernel.guard import CircuitOpen
from holdfast.rooms.resilience.store.sql import SqlStates
from tests.rooms.resilience.world import World, fine, gone
from tests.waiting import until


class Dependency:
    def __init__(self):
        self.well = False
        self.probes = 0

    async def probe(self):
        self.probes += 1
        if not self.well:
            raise OSError("still gone")


@pytest.fixture
def dependency():
    return Dependency()


async def test_a_probe_brings_it_back_long_before_the_open_time_is_over(dependency):
    world = World(pay={"failures": 2, "recovery": "fixed:300"})
    world.guards.guard("pay", probe=dependency.probe)
    await world.recovery.turn()
    assert dependency.probes == 0, "what is closed is not probed"
    await world.fail(2)
    for _ in range(3):
        world.clock.advance(5)
        await world.recovery.turn()
    assert world.state() == "open"
    assert world.guards.report("pay").next_call_in_s == 285, "early probes that fail lengthen nothing"
    dependency.well = True
    world.clock.advance(5)
    await world.recovery.turn()
    assert world.state() == "closed"
    assert await world.guard().call(fine) == "fine"
    assert world.log.messages == [
        "dependency pay is held back for 300 s: OSError: gone",
        "dependency pay is well again after 20 s",
    ]
    assert world.meter.counts["probes_total", "pay", "failed"] == 3
    assert world.meter.counts["probes_total", "pay", "ok"] == 1


async def test_a_probe_that_is_told_no_has_found_it_well():
    class Answered(Exception):
        status = 400

    async def probe():
        raise Answered("not like that")

    world = World(pay={"failures": 2, "recovery": "fixed:300"})
    world.guards.guard("pay", probe=probe)
    await world.fail(2)
    world.clock.advance(5)
    await world.recovery.turn()
    assert world.state() == "closed"
    assert world.meter.counts["probes_total", "pay", "ok"] == 1


async def test_a_due_probe_that_fails_doubles_the_open_time(dependency):
    world = World(pay={"failures": 2})
    world.guards.guard("pay", probe=dependency.probe)
    await world.fail(2)
    world.clock.advance(5)
    await world.recovery.turn()
    assert world.guards.report("pay").next_call_in_s == 10
    assert world.guards.report("pay").last_error == "OSError: still gone"


async def test_the_probe_is_the_only_one_and_callers_wait_for_its_word():
    world = World(pay={"failures": 2})
    answer = asyncio.get_running_loop().create_future()
    world.guards.guard("pay", probe=lambda: answer)
    await world.fail(2)
    world.clock.advance(5)
    turn = asyncio.create_task(world.recovery.turn())
    await until(lambda: world.state() == "half_open")
    with pytest.raises(CircuitOpen):
        await world.guard().call(fine)
    await world.recovery.turn()
    assert world.meter.counts["probes_total", "pay", "busy"] == 1
    answer.set_result(None)
    await turn
    assert world.state() == "closed"


async def test_a_probe_that_hangs_is_ended_before_its_lease_is_over():
    world = World(pay={"failures": 2, "attempt_s": 0.01})
    world.guards.guard("pay", probe=asyncio.Event().wait)
    await world.fail(2)
    world.clock.advance(5)
    await world.recovery.turn()
    assert world.state() == "open"
    assert world.guards.report("pay").last_error.startswith("TimeoutError")


async def test_a_stop_in_the_middle_frees_the_lease():
    world = World(pay={"failures": 2})
    world.guards.guard("pay", probe=asyncio.Event().wait)
    await world.fail(2)
    world.clock.advance(5)
    turn = asyncio.create_task(world.recovery.turn())
    await until(lambda: world.state() == "half_open")
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert (world.state(), world.guard().breaker.opens) == ("open", 1)
    assert await world.guard().call(fine) == "fine"


async def test_one_that_fails_does_not_keep_the_others_from_being_probed(dependency):
    world = World(pay={"failures": 2}, mail={"failures": 2})
    dependency.well = True
    world.guards.guard("pay", probe=gone)
    world.guards.guard("mail", probe=dependency.probe)
    await world.fail(2, "pay")
    await world.fail(2, "mail")
    await world.recovery.turn()
    assert (world.state("pay"), world.state("mail")) == ("open", "closed")


async def test_of_two_processes_one_probes_and_both_are_well_again(sql, clock, dependency):
    shared = {"failures": 2, "shared": True, "open_s": 100}
    one, other = (World(SqlStates(sql, clock.monotonic), clock, seed, pay=shared) for seed in (1, 2))
    gate = asyncio.get_running_loop().create_future()
    probes = []

    async def probe():
        probes.append(1)
        await gate

    for world in (one, other):
        world.guards.guard("pay", probe=probe)
    await one.fail(2)
    await one.told()
    await other.look()
    turns = [asyncio.create_task(world.recovery.turn()) for world in (one, other)]
    await until(lambda: probes and any(turn.done() for turn in turns))
    assert probes == [1]
    gate.set_result(None)
    await asyncio.gather(*turns)
    for world in (one, other):
        await world.told()
    for world in (one, other):
        await world.look()
    assert (one.state(), other.state()) == ("closed", "closed")
