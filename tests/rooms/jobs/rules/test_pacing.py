import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import BadInput
from holdfast.rooms.jobs.rules.pacing import Rate, grant, parse_rate

rates = st.builds(
    lambda count, period_ms, share: Rate(count, float(period_ms), max(1, int(count * share))),
    st.integers(1, 60),
    st.integers(10, 60_000),
    st.floats(0, 1),
)


@given(rates, st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 40)), max_size=25))
def test_no_window_of_the_period_ever_sees_more(rate, asks):
    now_ms, tat_ms, starts = 1_000_000, 0.0, []
    for pause_ms, wanted in asks:
        now_ms += pause_ms
        found = grant(wanted, tat_ms, now_ms, rate)
        tat_ms = found.tat_ms
        assert 0 <= found.granted <= wanted
        assert (found.retry_at_ms is None) == (found.granted == wanted)
        starts += [now_ms] * found.granted
    for at in starts:
        assert sum(at <= one < at + rate.period_ms for one in starts) <= rate.count


@given(rates, st.integers(1, 1_000))
def test_whoever_comes_back_when_told_gets_something(rate, wanted):
    now_ms, tat_ms = 1_000_000, 0.0
    for _ in range(5):
        found = grant(wanted, tat_ms, now_ms, rate)
        tat_ms = found.tat_ms
        assert found.granted > 0
        if found.retry_at_ms is None:
            return
        wanted -= found.granted
        now_ms = found.retry_at_ms


def test_many_small_grants_are_one_large_one_and_a_minutes_worth_gets_through():
    rate = parse_rate("1000/60s")
    assert rate == Rate(1000, 60_000.0, 100)
    now_ms, tat_ms, through = 0, 0.0, 0
    while now_ms < 60_000:
        found = grant(50, tat_ms, now_ms, rate)
        tat_ms, through = found.tat_ms, through + found.granted
        now_ms = found.retry_at_ms or now_ms
    assert 950 <= through <= 1000


def test_a_clock_that_steps_back_holds_a_queue_up_for_a_period_at_most():
    rate = Rate(10, 1_000.0, 1)
    ahead = grant(1, 0.0, 10_000_000, rate).tat_ms
    found = grant(1, ahead, 5_000_000, rate)
    assert found.granted == 0
    assert found.retry_at_ms is not None
    assert found.retry_at_ms <= 5_001_000
    assert grant(1, found.tat_ms, found.retry_at_ms, rate).granted == 1


@pytest.mark.parametrize(
    ("text", "count", "period_ms"),
    [("1000/60s", 1000, 60_000), ("5/s", 5, 1_000), ("100 per 1m", 100, 60_000), ("3/250ms", 3, 250)],
)
def test_a_rate_is_read(text, count, period_ms):
    rate = parse_rate(text)
    assert rate is not None
    assert (rate.count, rate.period_ms) == (count, period_ms)


@pytest.mark.parametrize("text", ["fast", "0/s", "5", "5/0s", "-1/s", "5/week", "1e3/s"])
def test_what_is_no_rate_is_refused_with_an_example(text):
    with pytest.raises(BadInput) as raised:
        parse_rate(text)
    assert "1000/60s" in raised.value.hint


def test_no_words_are_no_limit():
    assert parse_rate(" ") is None
