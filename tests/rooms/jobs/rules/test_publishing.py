"""What a broker is told again, and what not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.jobs.rules.publishing import (
    AHEAD_S,
    LEAST,
    LONGEST_MS,
    SETTLE_MS,
    WINDOW,
    Told,
    again_ms,
    resized,
    room,
    to_repeat,
)

NOW = 1_750_000_000_000


def told(ago_s, times=1, job_id=""):
    return Told(job_id or f"{ago_s:09.3f}", "count", "bulk", 1, NOW - int(ago_s * 1000), times)


@pytest.mark.parametrize(
    ("times", "pause_s"),
    [(0, 5), (1, 5), (2, 10), (3, 20), (4, 40), (7, 320), (8, 600), (9, 600), (10_000, 600)],
)
def test_the_pause_doubles_and_has_an_end(times, pause_s):
    assert again_ms(NOW, times) == NOW + pause_s * 1000


@pytest.mark.parametrize(
    ("why", "jobs", "depth", "again"),
    [
        ("nothing was told", [], 0, []),
        ("the broker does not say", [told(60)], None, []),
        ("all are there", [told(60), told(30)], 2, []),
        ("more are there: some have ended", [told(60), told(30)], 90, []),
        ("it was emptied", [told(60), told(30)], 0, [60, 30]),
        ("it was emptied; what is fresh may be on its way", [told(60), told(4.9)], 0, [60]),
        ("what is fresh is due", [told(5)], 0, [5]),
        ("the oldest is missing, for they leave in order", [told(30), told(60), told(45)], 2, [60]),
        ("with a busy worker: told again already, so not yet", [told(9.9, times=2)], 0, []),
        ("and then once more", [told(10, times=2)], 0, [10]),
        ("long with a busy worker", [told(599, times=30)], 0, []),
        ("but not for ever", [told(600, times=30)], 0, [600]),
        ("the clock stepped back by an hour", [told(-3600)], 0, [-3600]),
    ],
)
def test_what_is_told_again(why, jobs, depth, again):
    assert [each.id for each in to_repeat(jobs, depth, NOW)] == [f"{ago_s:09.3f}" for ago_s in again], why


@pytest.mark.parametrize(("outstanding", "fits"), [(0, 1_000), (1, 999), (1_000, 0), (250_000, 0)])
def test_the_room_in_a_window(outstanding, fits):
    assert room(outstanding, 1_000) == fits


@pytest.mark.parametrize(
    ("why", "window", "outstanding", "taken", "becomes"),
    [
        ("nothing happens", 800, 0, 0, LEAST),
        ("a trickle says nothing", 64, 0, 3, 64),
        ("a full one is nearly empty: they waited", 64, 10, 54, 128),
        ("and there is an end to it", 800, 0, 800, WINDOW),
        ("half a second of work", 400, 300, 100, 500),
        ("they have become slow", 400, 398, 2, LEAST),
        ("slower than anything", 1_000, 1_000, 0, LEAST),
        ("fast", 1_000, 600, 400, WINDOW),
    ],
)
def test_the_window_follows_the_workers(why, window, outstanding, taken, becomes):
    assert resized(window, outstanding, taken, 0.1) == becomes, why


@given(st.floats(1.0, 1_500.0))
def test_workers_that_keep_their_speed_soon_have_what_they_take_in_half_a_second(jobs_a_second):
    """Looked at every 50 ms, filled up at each look."""
    window = LEAST
    for _ in range(60):
        left = max(0, window - round(0.05 * jobs_a_second))
        window = resized(window, left, window - left, 0.05)
    assert window <= max(LEAST, 1.5 * AHEAD_S * jobs_a_second + 20)
    assert window >= min(WINDOW, 0.05 * jobs_a_second), "they never wait for the next look"


ages = st.lists(st.tuples(st.floats(0, 5_000), st.integers(0, 40)), max_size=60)


@given(ages, st.integers(0, 80))
def test_never_more_than_are_missing_and_each_once(found, depth):
    jobs = [told(age_s, times, f"job-{n}") for n, (age_s, times) in enumerate(found)]
    again = to_repeat(jobs, depth, NOW)
    assert len(again) <= max(0, len(jobs) - depth)
    assert len({each.id for each in again}) == len(again)
    assert all(NOW - each.told_ms >= SETTLE_MS for each in again)


@given(ages)
def test_what_was_lost_is_told_again_within_the_longest_pause(found):
    jobs = [told(age_s, times, f"job-{n}") for n, (age_s, times) in enumerate(found)]
    assert len(to_repeat(jobs, 0, NOW + LONGEST_MS)) == len(jobs)


def test_a_queue_of_a_hundred_thousand_is_not_told_again_because_it_is_long():
    """Of it a window was told; while its messages are there, nothing is repeated, however old they are."""
    jobs = [told(3_600 + n, job_id=f"job-{n}") for n in range(1_000)]
    assert to_repeat(jobs, 1_000, NOW) == []
    with_workers = to_repeat(jobs, 1_000 - 16, NOW)
    assert len(with_workers) == 16
