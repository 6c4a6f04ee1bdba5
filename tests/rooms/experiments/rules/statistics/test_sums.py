from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.statistics.ratio import linear
from holdfast.rooms.experiments.rules.statistics.sums import (
    FIELDS,
    NONE,
    Sums,
    Totals,
    moments,
    moved,
)
from holdfast.rooms.experiments.rules.statistics.welch import Arms

whole = st.integers(-1000, 1000).map(float)
totals = st.builds(Totals, whole, whole, whole)


def total(several):
    return sum(several, NONE)


def summed(units):
    return total(moved(None, unit) for unit in units)


def test_of_no_unit_nothing_moves():
    assert moved(None, None) == NONE


@given(st.lists(st.tuples(totals, totals), min_size=1, max_size=20))
def test_moving_every_unit_gives_the_sums_of_where_they_are_now(pairs):
    before = summed([old for old, _ in pairs])
    after = total([before, *(moved(old, new) for old, new in pairs)])
    assert after == summed([new for _, new in pairs])


@given(st.lists(totals, max_size=20), st.lists(totals, max_size=20))
def test_merging_is_addition(left, right):
    assert summed(left) + summed(right) == summed(left + right)


@given(totals, totals)
def test_what_leaves_takes_all_it_brought(one, other):
    assert total([summed([one, other]), moved(one, None)]) == summed([other])


def test_squares_are_of_units_totals_not_of_events():
    """Three events of 1 in one unit count 9, not 3."""
    sums, before = moved(None, Totals()), Totals()
    for so_far in (1.0, 2.0, 3.0):
        sums, before = sums + moved(before, Totals(so_far)), Totals(so_far)
    assert (sums.n, sums.y, sums.yy) == (1.0, 3.0, 9.0)


def test_fields_are_the_columns_in_order():
    assert FIELDS == ("n", "y", "yy", "d", "dd", "yd", "x", "xx", "yx", "dx")
    assert Sums(*range(10)).dx == 9


@pytest.mark.parametrize("few", [[], [Totals(1.0)]])
def test_fewer_than_two_units_have_no_variance(few):
    assert moments(summed(few)) is None


def _exact(values):
    """(mean, variance) in rational arithmetic."""
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    return mean, sum((value - mean) ** 2 for value in exact) / (len(exact) - 1)


def test_a_mean_of_1e4_beside_a_spread_of_1_keeps_its_spread():
    values = np.random.default_rng(1).normal(1e4, 1, 5_000).tolist()
    found = moments(summed(Totals(value, value, value) for value in values))
    mean, variance = _exact(values)
    assert found.y == pytest.approx(float(mean), rel=1e-12)
    for spread in (found.yy, found.dd, found.xx, found.yd, found.yx, found.dx):
        assert spread == pytest.approx(float(variance), rel=1e-6)


def test_units_that_move_far_from_zero_keep_their_variance():
    """Ten events of 1e8 each bring every unit to 1e9."""
    random = np.random.default_rng(2)
    sums, ends = NONE, []
    for _ in range(500):
        at = 0.0
        sums += moved(None, Totals(at))
        for step in random.normal(1e8, 3e4, 10).tolist():
            sums += moved(Totals(at), Totals(at + step))
            at += step
        ends.append(at)
    assert moments(sums).yy == pytest.approx(float(_exact(ends)[1]), rel=1e-3)


def test_a_spread_that_rounding_took_is_taken_for_too_large_and_never_for_too_small():
    values = np.random.default_rng(1).normal(1e9, 1, 5_000).tolist()
    assert moments(summed(Totals(value) for value in values)).yy > 1e5


@pytest.mark.parametrize("total", [0.1, 0.7, 19.9, 1e9 + 0.3])
def test_totals_that_are_all_the_same_do_not_differ_by_their_rounding(total):
    few, many = (moments(summed([Totals(total, total)] * n)) for n in (1000, 1300))
    for one, other in ((few, many), (linear(few, few.y / few.d), linear(many, many.y / many.d))):
        assert abs(Arms(one.y, other.y, one.yy, other.yy, one.n, other.n).z) < 1e-3
