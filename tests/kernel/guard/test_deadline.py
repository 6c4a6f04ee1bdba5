import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.kernel.guard.deadline import LONGEST_S, format_timeout_ms, parse_timeout_ms, request_remaining_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1500", 1.5),
        (b"0", 0.0),
        (" 7 ", 0.007),
        ("999999999999", LONGEST_S),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("²", None),
        (b"\xff", None),
        ("1" * 5000, None),
        ("지금", None),
    ],
)
def test_only_whole_milliseconds_are_a_deadline(value, seconds):
    assert parse_timeout_ms(value) == seconds


@given(st.floats(-10, 1e9))
def test_the_next_service_never_believes_it_has_more(remaining_s):
    told = parse_timeout_ms(format_timeout_ms(remaining_s))
    assert told is not None
    assert told <= max(0.0, remaining_s)
    assert told >= min(remaining_s, LONGEST_S) - 0.0011


def test_the_request_s_own_deadline():
    assert request_remaining_s() is None
    clock = ManualClock()
    ctx = detached(Event(), clock)
    token = enter(ctx)
    try:
        assert request_remaining_s() is None
        ctx.deadline = clock.monotonic() + 3
        clock.advance(1)
        clock.step_wall(-5000)
        assert request_remaining_s() == pytest.approx(2)
        clock.advance(9)
        assert request_remaining_s() == 0
    finally:
        leave(token)
