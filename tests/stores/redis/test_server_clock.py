"""The reference clock: error bounds, and steps of ours and of the server's."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.clock import ManualClock
from holdfast.stores.redis.server_clock import ServerClock

AHEAD_S = 3_600.0
"""How far the server's clock is before ours in these tests."""


def look(clock: ManualClock, server: ServerClock, there_s: float, back_s: float, step_s: float = 0.0) -> None:
    asked_at = clock.monotonic()
    clock.advance(there_s)
    said_us = int((clock.wall() + AHEAD_S + step_s) * 1e6)
    clock.advance(back_s)
    server.heard(said_us, asked_at)


def error_s(clock: ManualClock, server: ServerClock, step_s: float = 0.0) -> float:
    return abs(server.now_us() / 1e6 - clock.wall() - AHEAD_S - step_s)


def test_before_the_first_look_it_is_our_wall_clock() -> None:
    clock = ManualClock()
    server = ServerClock(clock)
    assert server.round_trip_ms is None
    assert server.now_us() == int(clock.wall() * 1e6)


@given(st.lists(st.tuples(st.floats(0.0001, 0.5), st.floats(0.0001, 0.5)), min_size=1, max_size=30))
def test_the_error_is_within_half_the_shortest_of_the_last_round_trips(
    trips: list[tuple[float, float]],
) -> None:
    clock = ManualClock()
    server = ServerClock(clock)
    for there_s, back_s in trips:
        look(clock, server, there_s, back_s)
        clock.advance(1.0)
    shortest_s = min(sum(trip) for trip in trips[-8:])
    assert error_s(clock, server) <= shortest_s / 2 + 1e-5
    true_us = (clock.wall() + AHEAD_S) * 1e6
    assert server.now_us(-1) - 10 <= true_us <= server.now_us(1) + 10


def test_steps_of_our_wall_clock_do_not_show() -> None:
    clock = ManualClock()
    server = ServerClock(clock)
    look(clock, server, 0.001, 0.001)
    before = server.now_us()
    clock.step_wall(-500.0)
    clock.advance(1.0)
    assert abs(server.now_us() - before - 1_000_000) <= 1


def test_a_step_of_the_servers_clock_is_followed_at_once() -> None:
    clock = ManualClock()
    server = ServerClock(clock)
    look(clock, server, 0.0005, 0.0005)
    look(clock, server, 0.004, 0.002, step_s=-30.0)
    assert error_s(clock, server, step_s=-30.0) <= 0.003 + 1e-5


def test_another_reference_replaces_the_former_at_its_first_look() -> None:
    clock = ManualClock()
    server = ServerClock(clock)
    look(clock, server, 0.0, 0.0)
    now = server.now_us()
    server.forget()
    assert server.now_us() == now
    look(clock, server, 0.004, 0.004, step_s=0.002)
    assert error_s(clock, server, step_s=0.002) <= 0.004 + 1e-5
