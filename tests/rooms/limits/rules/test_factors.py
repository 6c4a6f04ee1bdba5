"""Tier, hour and load."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.limits.rules.factors import (
    BANDS,
    STEPS,
    Band,
    hour_factor,
    load_factor,
    load_step,
    local_hour,
    same_until,
    tier_of,
    until_next_quarter_s,
)
from holdfast.rooms.limits.rules.policy import TIERS


@pytest.mark.parametrize(
    ("hour", "factor"),
    [(0, 1.5), (5, 1.5), (6, 1.0), (8, 1.0), (9, 0.8), (17, 0.8), (18, 1.0), (22, 1.0), (23, 1.5)],
)
def test_the_bands_are_half_open(hour, factor):
    assert hour_factor(BANDS, hour) == factor


def test_a_band_up_to_midnight_is_written_with_24():
    assert [Band(22, 24, 2.0).covers(hour) for hour in (21, 22, 23, 0)] == [False, True, True, False]


def test_the_hour_is_the_teams():
    at = datetime(2026, 11, 21, 23, 30, tzinfo=UTC).timestamp()
    assert local_hour(at, UTC) == 23
    assert local_hour(at, ZoneInfo("Asia/Seoul")) == 8
    assert local_hour(at, ZoneInfo("Asia/Kathmandu")) == 5  # 05:15 there


def test_an_hour_that_comes_twice_or_not_at_all_is_no_trouble():
    berlin = ZoneInfo("Europe/Berlin")
    before = datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC).timestamp()
    assert (local_hour(before, berlin), local_hour(before + 1, berlin)) == (1, 3)


@given(st.floats(0, 4e9))
def test_no_hour_changes_before_the_next_quarter(wall_s):
    for zone in (UTC, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/St_Johns")):
        left = until_next_quarter_s(wall_s)
        assert 0 < left <= 900
        if wall_s > 6e8:  # since 1990 every zone keeps to quarters of an hour
            assert local_hour(wall_s, zone) == local_hour(wall_s + left - 0.01, zone)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", "FREE"),
        ("free", "FREE"),
        ("Premium", "PREMIUM"),
        ("ADMIN", "ADMIN"),
        ("gold", "FREE"),
        ("관리자", "FREE"),
    ],
)
def test_an_unknown_tier_is_free(given, found):
    assert tier_of(TIERS, given) == found


@pytest.mark.parametrize(
    ("load", "step"),
    [
        (-1, 0),
        (0, 0),
        (0.049, 0),
        (0.05, 1),
        (0.7, 14),
        (0.999, 19),
        (1, 20),
        (7, 20),
        (math.nan, 0),
        (math.inf, 20),
    ],
)
def test_the_load_comes_in_steps(load, step):
    assert load_step(load) == step


def test_load_lowers_what_matters_less_first_and_critical_never():
    first = [next((s for s in range(STEPS + 1) if load_factor(p, s) < 1), None) for p in range(4)]
    assert first == [None, 19, 17, 15]
    assert [load_factor(priority, STEPS) for priority in range(4)] == [1.0, 0.5, 0.25, 0.1]
    for priority in range(4):
        curve = [load_factor(priority, step) for step in range(STEPS + 1)]
        assert curve == sorted(curve, reverse=True)
        assert all(load_factor(p, s) >= load_factor(priority, s) for p in range(priority) for s in range(21))


@given(st.floats(0, 2), st.floats(0, 2))
def test_between_two_bounds_no_limit_differs(load, other):
    low, high = same_until(load_step(load))
    assert low - 1e-9 <= load < high
    if low <= other < high:
        factors = [[load_factor(p, load_step(x)) for p in range(4)] for x in (load, other)]
        assert factors[0] == factors[1]
