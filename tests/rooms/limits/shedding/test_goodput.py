"""Overload in simulated time: goodput stays, what matters stays quick, and afterwards all is as before."""

import pytest

from holdfast.rooms.limits.rules.policy import CRITICAL

from .simulated import World, computing, goodput, p99, pool, refused

SLOTS, CALL_S = 8, 0.02
POOL_RATE = SLOTS / CALL_S
WITHIN_S = 0.3


def fixed(rng):
    return CALL_S


def exponential(rng):
    return rng.expovariate(1 / CALL_S)


def pareto(rng, alpha=1.8):
    """Heavy tails of the same mean; the longest call is two hundred times it."""
    return min(CALL_S * (alpha - 1) / alpha * rng.paretovariate(alpha), CALL_S * 200)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("service", [fixed, exponential, pareto])
def test_a_backend_with_a_queue_is_kept_just_busy_at_five_times_its_load(service, seed):
    world = World(pool(SLOTS, service, cpu_s=0.0005), seed)
    before, _, storm, after = world.run((6, 200), (4, 2000), (8, 2000), (6, 200))
    unloaded = p99(before, CRITICAL)
    assert refused(before) == 0
    assert goodput(storm, WITHIN_S, 8) >= 0.9 * POOL_RATE
    assert p99(storm, CRITICAL) <= max(3 * unloaded, 8 * CALL_S)
    assert refused(after) <= 0.01 * len(after)
    assert p99(after) <= 2 * max(unloaded, p99(before))


def test_without_shedding_the_same_backend_answers_nobody_in_time():
    world = World(pool(SLOTS, fixed, cpu_s=0.0005), guarded=False)
    _, storm, after = world.run((6, 200), (4, 2000), (3, 200))
    assert goodput(storm, WITHIN_S, 4) < 0.1 * POOL_RATE
    assert p99(after) > 5


@pytest.mark.parametrize("factor", [1.05, 1.2, 2.0, 5.0])
def test_goodput_of_a_computing_handler_is_flat_as_load_grows(factor):
    world = World(computing(0.005))
    _, _, storm = world.run((5, 100), (3, 192 * factor), (8, 192 * factor))
    assert goodput(storm, WITHIN_S, 8) >= 0.93 * 192


@pytest.mark.parametrize("factor", [1.1, 1.5, 3.0])
def test_goodput_of_a_backend_is_flat_as_load_grows(factor):
    world = World(pool(SLOTS, exponential, cpu_s=0.0005))
    _, _, storm = world.run((5, 100), (6, POOL_RATE * factor), (10, POOL_RATE * factor))
    assert goodput(storm, WITHIN_S, 10) >= 0.85 * POOL_RATE


@pytest.mark.parametrize("seed", [1, 2])
def test_critical_requests_pass_a_computing_handler_in_overload(seed):
    world = World(computing(0.005), seed)
    before, _, storm, after = world.run((8, 100), (2, 950), (8, 950), (5, 100))
    critical = [one for one in storm if one.priority == CRITICAL]
    ordinary = [one for one in storm if one.priority != CRITICAL]
    assert refused(critical) <= 0.01 * len(critical)
    assert refused(ordinary) >= 0.8 * len(ordinary)
    assert p99(storm, CRITICAL) <= 3 * p99(before)
    assert refused(after) <= 0.02 * len(after)


def test_the_first_seconds_of_overload_are_short():
    world = World(computing(0.005))
    _, first, second = world.run((5, 100), (1, 950), (2, 950))
    assert max(one.latency_s for one in first if one.ok) < 1.0
    assert p99(second) < 0.2


def test_a_cold_start_into_overload_finds_the_limit():
    world = World(pool(SLOTS, fixed, cpu_s=0.0005))
    _, storm = world.run((12, 2000), (8, 2000))
    assert goodput(storm, WITHIN_S, 8) >= 0.9 * POOL_RATE
    assert p99(storm, CRITICAL) <= 0.1


def test_the_limit_does_not_creep_up_however_long_overload_lasts():
    world = World(pool(SLOTS, fixed, cpu_s=0.0005))
    world.run((5, 200), (10, 1000))
    early = world.shedder.limits()["call"]
    world.run((90, 1000))
    assert world.shedder.limits()["call"] <= 1.5 * early
    assert SLOTS <= world.shedder.limits()["call"] <= 3 * SLOTS


def test_load_exceeds_one_under_overload_and_falls_to_nothing_after_it():
    world = World(computing(0.005))
    world.run((3, 50))
    assert max(world.loads) < 0.7
    world.loads.clear()
    world.run((4, 950))
    assert max(world.loads) >= 0.99
    world.loads.clear()
    world.run((5, 20), (1, 0))
    assert world.loads[-1] < 0.2
