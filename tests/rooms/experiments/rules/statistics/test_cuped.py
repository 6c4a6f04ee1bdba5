import numpy as np
import pytest

from holdfast.rooms.experiments.rules.statistics import cuped
from holdfast.rooms.experiments.rules.statistics.sums import moments
from tests.rooms.experiments.rules.statistics.units import sums_of


def _arms(seed, lift=0.0, n=500):
    random = np.random.default_rng(seed)
    for more in (0.0, lift, lift):
        x = random.gamma(2, 3, n)
        yield 3 + 2 * x + more + random.normal(size=n), x


def test_the_slope_is_that_of_all_units_together():
    arms = list(_arms(7, lift=1.0))
    by = cuped.adjustment([moments(sums_of(y, x=x)) for y, x in arms])
    y, x = (np.concatenate(parts) for parts in zip(*arms, strict=True))
    assert by.theta == pytest.approx(np.cov(y, x)[0, 1] / x.var(ddof=1), rel=1e-9)
    assert by.mean == pytest.approx(x.mean(), rel=1e-12)
    assert by.variance == pytest.approx(x.var(ddof=1) / len(x), rel=1e-9)


def test_an_adjusted_arm_is_that_of_adjusted_units_on_the_metrics_own_scale():
    arms = list(_arms(8))
    kept = [moments(sums_of(y, x=x)) for y, x in arms]
    by = cuped.adjustment(kept)
    y, x = arms[0]
    units = y - by.theta * (x - by.mean)
    found = cuped.adjusted(kept[0], by)
    assert found.y == pytest.approx(units.mean(), rel=1e-9)
    assert found.yy == pytest.approx(units.var(ddof=1), rel=1e-9)
    assert cuped.noise_removed(kept[0].yy, found.yy) == pytest.approx(1 - found.yy / kept[0].yy)
    assert found.y == pytest.approx(15, abs=0.3)


def test_a_past_of_which_only_rounding_spreads_adjusts_nothing():
    """Totals of 1e9 with a spread of 1: of two equal arms, one in four was found to be better or worse."""
    random = np.random.default_rng(11)
    for _ in range(20):
        totals = [random.normal(1e9, 1, 3_000) for _ in range(2)]
        arms = [moments(sums_of(y, x=y - random.normal(0, 0.1, len(y)))) for y in totals]
        assert cuped.adjustment(arms) is None


def test_a_past_that_only_differs_between_the_arms_adjusts_nothing():
    """It would take the effect away, and leave the noise."""
    arms = [sums_of([1.0, 2.0, 4.0], x=[past] * 3) for past in (0.7, 0.9)]
    assert cuped.adjustment([moments(each) for each in arms]) is None


def test_without_a_past_nothing_is_adjusted():
    assert cuped.adjustment([moments(sums_of([1.0, 2.0], x=[5.0, 5.0]))]) is None
    assert cuped.adjustment([]) is None
    assert cuped.noise_removed(0.0, 0.0) == 0.0
