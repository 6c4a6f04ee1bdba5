"""The size of a lease: pure."""

import random

import pytest

from holdfast.rooms.limits.engine.leases import Track
from holdfast.rooms.limits.rules.charge import SLIDING_WINDOW, Limit
from holdfast.rooms.limits.rules.leasing import Sharing, lease_units, observed_rate
from holdfast.rooms.limits.store.scripts import Numbers

SHARING = Sharing()


@pytest.mark.parametrize(
    ("rate", "interval_us", "capacity", "nodes", "units"),
    [
        (0.0, 1_000, 1_000, 1, 0),  # cold
        (1.9, 1_000, 1_000, 1, 0),  # not hot yet
        (50.0, 1_000_000, 1_000, 1, 50),  # a second's use
        (5.0, 10_000, 1_000, 1, 100),  # slow use of a fast limit: what drains in a second
        (5_000.0, 10_000, 1_000, 1, 250),  # never more than a quarter
        (5_000.0, 10_000, 1_000, 5, 50),  # of which each node has its part
        (50.0, 60_000_000, 5, 4, 0),  # too small to part
    ],
)
def test_the_size_of_a_lease(rate, interval_us, capacity, nodes, units):
    assert lease_units(rate, interval_us, capacity, nodes, SHARING) == units


def test_no_share_no_lease():
    assert lease_units(1e6, 10, 10_000, 1, Sharing(lease_share=0.0)) == 0


def test_the_rate_follows_what_is_asked():
    rate = 0.0
    for _ in range(50):
        rate = observed_rate(rate, 20, 0.1, 1.0)
    assert rate == pytest.approx(200.0, rel=0.01)
    for _ in range(50):
        rate = observed_rate(rate, 0, 0.1, 1.0)
    assert rate < 2.0
    assert observed_rate(3.0, 2, 0.0, 1.0) == 5.0


def test_a_lease_is_paid_from_its_earliest_slot_and_lapses_with_time():
    track = Track("user:1", Limit("a", 60, 60.0), 0)
    track.lease_us, track.lease_end_us = 10_000_000, 15_000_000
    assert [track.take(1, 0) for _ in range(6)] == [True] * 5 + [False]
    track.lease_us = 10_000_000
    assert track.take(1, 12_500_000)
    assert track.take(1, 12_500_000)
    assert not track.take(1, 12_500_000)
    assert not track.take(1, 60_000_000)


def test_no_schedule_of_takes_comes_over_the_exact_bound():
    """Segments of one time line, used in any order at any time: capacity + rate x span, never more."""
    rng = random.Random(2)
    limit = Limit("a", 50, 5.0, 10)
    interval_us, whole_us = 100_000, 6_000_000
    for _ in range(20):
        now, at, used = 0, 0, []
        tracks = [Track(str(n), limit, 0) for n in range(4)]
        for _ in range(600):
            now += rng.choice([0, 0, 10_000, 300_000, rng.randrange(2_000_000)])
            track = rng.choice(tracks)
            if track.take(1, now):
                used.append(now)
                continue
            at = max(at, now)
            units = rng.randrange(1, 20)
            if at + units * interval_us - now <= whole_us and track.lease_end_us <= now:
                track.lease_us, track.lease_end_us = at, at + units * interval_us
                at = track.lease_end_us
        for first in range(len(used)):
            for last in range(first, len(used)):
                assert last - first + 1 <= 60 + (used[last] - used[first]) / interval_us + 1e-6


@pytest.mark.parametrize("quota", [1, 3, 5, 7, 60, 999, 1_000, 66_666, 9_000_000])
def test_rounding_is_never_in_favour_of_more(quota):
    numbers = Numbers(Limit("a", quota, 60.0, 5))
    exact = 60_000_000 / quota
    for cost in (1, 2, 7):
        assert numbers.paid(cost) >= cost * exact - 1e-3
    assert numbers.whole <= (quota + 5) * numbers.unit
    if exact >= 1_000:
        assert numbers.whole == numbers.paid(quota + 5)
        assert numbers.unit <= exact * 1.001


def test_a_window_counts_units():
    numbers = Numbers(Limit("a", 10, 60.0, 3, SLIDING_WINDOW))
    assert (numbers.whole, numbers.paid(3), numbers.window_us) == (13, 3, 60_000_000)
