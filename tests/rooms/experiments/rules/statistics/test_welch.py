from decimal import Decimal
from fractions import Fraction
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.rooms.experiments.rules.statistics import welch
from holdfast.rooms.experiments.rules.statistics.welch import Arms

sizes = st.integers(2, 10_000)
spreads = st.floats(0.01, 100)
means = st.floats(-100, 100)


@given(means, means, spreads, spreads, sizes, sizes, st.floats(0.001, 0.5))
def test_p_and_interval_are_scipys(control, treatment, spread, other, n, m, alpha):
    arms = Arms(control, treatment, spread**2, other**2, n, m)
    theirs = stats.ttest_ind_from_stats(treatment, other, m, control, spread, n, equal_var=False)
    assert welch.p_value(arms) == pytest.approx(theirs.pvalue, rel=1e-9, abs=1e-300)
    assert welch.reach(arms, alpha) == pytest.approx(stats.t.isf(alpha / 2, arms.freedom), rel=1e-9)


def test_interval_of_raw_data_is_scipys():
    random = np.random.default_rng(3)
    a, b = random.normal(5, 2, 300), random.normal(5.2, 3, 200)
    arms = Arms(a.mean(), b.mean(), a.var(ddof=1), b.var(ddof=1), len(a), len(b))
    theirs = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    width = welch.reach(arms, 0.05) * arms.standard_error
    assert arms.difference - width == pytest.approx(theirs.low, abs=1e-9)
    assert arms.difference + width == pytest.approx(theirs.high, abs=1e-9)


def test_cohens_d_by_hand():
    """Pooled spread 2, difference 1."""
    assert welch.cohens_d(Arms(1, 2, 4, 4, 10, 90)) == 0.5
    assert welch.cohens_d(Arms(1, 2, 0, 0, 10, 10)) is None


def test_without_any_spread_a_difference_is_infinitely_far():
    assert Arms(1, 2, 0, 0, 10, 10).z == inf
    assert Arms(2, 1, 0, 0, 10, 10).z == -inf
    assert Arms(2, 2, 0, 0, 10, 10).z == 0


@pytest.mark.parametrize("control", [10.0, -10.0])
def test_the_lifts_interval_excludes_zero_exactly_when_the_difference_does(control):
    for difference in np.linspace(-3, 3, 61).tolist():
        found = welch.relative(difference, control, 1.0, 0.5, -0.5, 1.96)
        assert (found.low > 0 or found.high < 0) == (abs(difference) > 1.96)
        assert found.low <= found.value <= found.high
        assert found.value == pytest.approx(difference / 10)


@pytest.mark.parametrize("treatment", [84.6, 1e-3, 0.0, 2e9, 1e9 + 1e-3])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_lifts_interval_is_as_wide_as_exact_arithmetic_has_it(treatment, sign):
    """Of an arm that lost almost everything the interval had no width, and the lift lay outside of it."""
    control, own, variance = sign * 1e9, 900.0, 902.0
    found = welch.relative(treatment - control, control, variance, own, -own, 4.0)
    c, d, square = Fraction(control), Fraction(treatment - control), 16
    a, b = c * c - square * Fraction(own), d * c + square * Fraction(own)
    root = Decimal(int(b * b - a * (d * d - square * Fraction(variance)))).sqrt()
    assert found.high - found.low == pytest.approx(float(2 * root / Decimal(int(a))), rel=1e-3, abs=1e-15)
    assert found.low <= found.value <= found.high


def test_no_lift_over_what_may_be_nothing():
    assert welch.relative(1.0, 0.5, 1.0, 0.5, -0.5, 1.96) is None
    assert welch.relative(1.0, 10.0, 1.0, 0.5, -0.5, inf) is None


def test_the_lifts_interval_covers_the_truth_as_often_as_it_says():
    """Control is noisy: a method without control's own noise covers far less."""
    random = np.random.default_rng(4)
    runs, n = 4_000, 800
    control, treatment = random.normal(1, 4 / n**0.5, runs), random.normal(1.3, 4 / n**0.5, runs)
    own = 16 / n  # control is seven standard errors from zero
    covered = sum(
        found.low <= 0.3 <= found.high
        for found in (
            welch.relative(t - c, c, 2 * own, own, -own, 1.959964)
            for c, t in zip(control.tolist(), treatment.tolist(), strict=True)
        )
    )
    assert covered / runs == pytest.approx(0.95, abs=0.012)
