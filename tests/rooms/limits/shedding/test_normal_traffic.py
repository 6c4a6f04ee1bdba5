"""What is no overload is never refused: all of it in simulated time."""

import pytest

from holdfast.rooms.limits.rules.concurrency import Config

from .simulated import World, computing, endless, p99, pause, pool, refused


def fixed(seconds):
    return lambda rng: seconds


def exponential(seconds):
    return lambda rng: rng.expovariate(1 / seconds)


def bimodal(rng):
    return 0.5 if rng.random() < 0.1 else 0.005


HANDLERS = {
    "a backend at 80 %": (lambda: pool(8, fixed(0.02), 0.0005), 320),
    "a random backend at 80 %": (lambda: pool(8, exponential(0.02), 0.0005), 320),
    "a handler that computes, at 75 %": (lambda: computing(0.005), 145),
    "a short one, at 80 %": (lambda: computing(0.001), 660),
    "a long one, at 70 %": (lambda: computing(0.05), 14),
    "two kinds of latency": (lambda: endless(bimodal), 400),
    "long calls, 300 at once": (lambda: endless(fixed(1.0)), 300),
}


@pytest.mark.parametrize("name", HANDLERS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_refused_below_capacity_from_a_cold_start_on(name, seed):
    make, rate = HANDLERS[name]
    world = World(make(), seed)
    (found,) = world.run((20, rate))
    assert len(found) > 100
    assert refused(found) == 0


@pytest.mark.parametrize("gap_s", [600, 8 * 3600])
def test_nothing_is_refused_after_an_idle_night(gap_s):
    world = World(pool(8, fixed(0.02), 0.0005))
    evening, _, morning = world.run((10, 250), (gap_s, 0), (10, 250))
    assert refused(evening) == refused(morning) == 0


def test_what_an_overload_taught_is_forgotten_after_a_quiet_night():
    world = World(pool(8, fixed(0.02), 0.0005))
    world.run((3, 200), (6, 2000))
    assert world.shedder.limits()["call"] < 30
    world.handler = endless(fixed(0.5))
    _, morning = world.run((3600, 0), (10, 200))
    assert refused(morning) == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_a_backend_that_becomes_ten_times_slower_but_takes_all_is_no_overload(seed):
    world = World(endless(fixed(0.02)), seed)
    quick, slow = world.run((10, 300), (1, 1))
    world.handler = endless(fixed(0.2))
    (slow,) = world.run((20, 300))
    assert refused(quick) == refused(slow) == 0
    assert p99(slow) <= 0.21


def test_a_limit_that_binds_gives_way_to_a_backend_that_takes_more():
    world = World(endless(fixed(1.0)), config=Config(initial_limit=64))
    _, later = world.run((25, 300), (10, 300))
    assert world.shedder.limits()["call"] > 300
    assert refused(later) == 0


def test_a_limit_learned_in_overload_gives_way_when_the_backend_grows():
    world = World(pool(8, fixed(0.02), 0.0005))
    world.run((3, 200), (8, 2000))
    world.handler = pool(64, fixed(0.02), 0.0005)
    _, found = world.run((10, 1000), (5, 1000))
    assert refused(found) <= 0.01 * len(found)


def test_traffic_below_the_limit_does_not_grow_it():
    world = World(endless(fixed(0.02)), config=Config(initial_limit=64))
    world.run((60, 300))
    assert world.shedder.limits()["call"] == 64


def test_one_handler_that_blocks_the_loop_now_and_then_is_no_overload():
    async def handler(world):
        world.compute(0.25 if world.rng.random() < 0.002 else 0.001)

    world = World(handler)
    (found,) = world.run((30, 150))
    assert max(one.latency_s for one in found) > 0.2
    assert refused(found) == 0


def test_streams_are_counted_and_never_limited():
    async def listening(world):
        await pause(30.0)

    world = World(listening, config=Config(initial_limit=4, queue_size=0), work="stream")
    (found,) = world.run((20, 40))
    assert refused(found) == 0
