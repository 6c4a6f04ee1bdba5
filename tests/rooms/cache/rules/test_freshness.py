"""How long a value lives."""

import math
import random

import pytest

from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.rules.freshness import State, early_from, is_early, lifetime, standby_s, state
from holdfast.rooms.cache.rules.kinds import Kind

KIND = Kind("k", ttl_s=100, jitter=0.1, stale_s=20, fail_safe_s=50, negative_ttl_s=5)


@pytest.mark.parametrize(
    ("ttl_s", "chance", "negative", "seconds"),
    [
        (None, 0.5, False, 100),
        (None, 0.0, False, 90),
        (None, 1.0, False, 110),
        (10, 0.5, False, 10),
        (0, 0.3, False, 0),
        (None, 0.5, True, 5),
        (2, 0.5, True, 2),
    ],
)
def test_a_lifetime_is_what_was_asked_for_or_the_kind_s_spread(ttl_s, chance, negative, seconds):
    assert lifetime(KIND, ttl_s, chance, negative=negative) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (0, State.FRESH),
        (99.9, State.FRESH),
        (100, State.STALE),
        (119.9, State.STALE),
        (120, State.STANDBY),
        (149.9, State.STANDBY),
        (150, State.ENDED),
    ],
)
def test_states_follow_each_other(now, expected):
    assert state(Entry("k", 1, "k", 1, 100.0, 150.0), KIND, now) is expected


def test_nothing_at_all_never_stands_in_when_no_new_answer_can_be_had():
    assert standby_s(KIND, negative=False) == 50
    assert standby_s(KIND, negative=True) == 20


def test_early_refreshes_come_as_xfetch_says():
    """The chance of a reader `before` seconds from the end is exp(-before / (load * beta))."""
    rng = random.Random(1)
    for before, beta in ((0.5, 1.0), (2.0, 1.0), (2.0, 3.0)):
        drawn = sum(is_early(100 - before, 100, 1.0, beta, rng.random()) for _ in range(50_000)) / 50_000
        assert drawn == pytest.approx(math.exp(-before / beta), abs=0.01)


def test_before_the_window_nobody_refreshes():
    rng = random.Random(2)
    start = early_from(100.0, 1.0, 1.0)
    assert 80 < start < 100
    assert sum(is_early(start, 100, 1.0, 1.0, rng.random()) for _ in range(100_000)) <= 3
    assert early_from(100.0, 1.0, 0.0) == 100.0
    assert not is_early(99.999, 100, 1.0, 0.0, 0.999999)
