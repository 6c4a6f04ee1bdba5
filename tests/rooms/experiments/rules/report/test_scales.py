"""Scales and ticks."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.report.scales import (
    Span,
    decimals_of,
    domain,
    shortened,
    spread,
    ticks,
    time_domain,
    time_ticks,
    width_of,
)

FINITE = st.floats(-1e12, 1e12, allow_nan=False)


@pytest.mark.parametrize(
    ("low", "high", "count", "wanted"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10]),
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.03, 0.09, 5, [-0.025, 0, 0.025, 0.05, 0.075]),
        (0, 7e9, 4, [0, 2e9, 4e9, 6e9]),
        (3, 3, 5, [3]),
        (0.1, 0.3, 2, [0.1, 0.2, 0.3]),
    ],
)
def test_ticks_are_those_that_a_person_would_choose(low, high, count, wanted):
    assert list(ticks(low, high, count)) == pytest.approx(wanted)


@given(FINITE, st.floats(1e-6, 1e12), st.integers(1, 10))
def test_ticks_stand_within_and_are_few(low, width, count):
    high = low + width
    assume(width > abs(low) * 1e-9)
    found = ticks(low, high, count)
    slack = (high - low) * 1e-6
    assert len(found) <= count + 1
    assert all(low - slack <= value <= high + slack for value in found)


@pytest.mark.parametrize(
    ("marks", "wanted"),
    [([0, 2.5], 1), ([0, 5, 10], 0), ([0, 0.25], 2), ([0, 1e-5], 5), ([1], 2), ([0, 0.1 + 0.2], 1)],
)
def test_marks_have_digits_enough_to_be_true(marks, wanted):
    assert decimals_of(marks) == wanted


@pytest.mark.parametrize(
    ("low", "high", "offset", "wanted"),
    [
        (0, 600, 0, [0, 120, 240, 360, 480, 600]),
        (30, 400, 0, [60, 120, 180, 240, 300, 360]),
        (0, 14 * 86_400, 9 * 3600, [15 * 3600 + 86_400 + 172_800 * day for day in range(7)]),
        (5, 5, 0, [5]),
    ],
)
def test_times_are_full_by_the_clock_of_the_page(low, high, offset, wanted):
    assert list(time_ticks(low, high, offset)) == wanted


@given(st.floats(0, 4e9), st.floats(0, 1e10), st.integers(-43_200, 50_400))
def test_times_are_few_and_within(low, width, offset):
    found = time_ticks(low, low + width, offset)
    assert 1 <= len(found) <= 10
    assert all(low - 1e-3 <= at_s <= low + width + 1e-3 for at_s in found)


@pytest.mark.parametrize(
    ("values", "include", "wanted"),
    [
        ([], [], (0, 1)),
        ([None, math.nan, math.inf], [], (0, 1)),
        ([3], [], (1.5, 4.5)),
        ([0], [], (-1, 1)),
        ([2, 8], [0], (0, 8)),
    ],
)
def test_a_domain_is_never_without_width(values, include, wanted):
    assert domain(values, include) == wanted


def test_a_single_moment_lies_in_its_hour():
    assert time_domain([7200.0, 7200.0, None]) == (5400.0, 9000.0)
    assert time_domain([0.0, 60.0]) == (0.0, 60.0)


@given(FINITE, FINITE, FINITE)
def test_a_place_is_exact_within_and_on_the_border_outside(low, high, value):
    assume(high - low > 1e-6)
    span = Span(low, high, 50, 650)
    assert 50 <= span.at(value) <= 650
    assert span.at(low) == 50
    assert span.at(high) == pytest.approx(650)
    assert span.at((low + high) / 2) == pytest.approx(350, abs=1e-2)


@given(st.lists(st.floats(0, 200), max_size=12), st.floats(1, 30))
def test_labels_keep_apart_in_their_order_and_within(places, gap):
    moved = spread(places, gap, 0, 200)
    assert all(-1e-6 <= place <= 200 + 1e-6 for place in moved)
    kept = min(gap, 200 / (len(places) - 1)) if len(places) > 1 else gap
    ordered = [moved[at] for at in sorted(range(len(places)), key=lambda at: (places[at], at))]
    assert all(after - before >= kept - 1e-6 for before, after in pairwise(ordered))


def test_labels_that_have_room_stay_where_they_are():
    assert spread([10.0, 50.0, 90.0], 20, 0, 100) == (10.0, 50.0, 90.0)


@given(st.text(max_size=40), st.floats(10, 200))
def test_a_shortened_text_fits(text, width):
    short = shortened(text, 12, width)
    assert width_of(short, 12) <= max(width, width_of("…", 12))
    assert short == text or short.endswith("…")


def test_hangul_is_wider_than_latin():
    assert width_of("가", 12) == 12
    assert width_of("a", 12) < 8
