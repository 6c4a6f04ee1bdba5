import numpy as np
import pytest

from holdfast.rooms.experiments.rules.statistics import novelty
from holdfast.rooms.experiments.rules.statistics.sums import Sums, moments
from tests.rooms.experiments.rules.statistics.units import sums_of


def _arm(random, first, later, n=1_000):
    """Units that differ from each other, and are themselves early and late."""
    keen = random.gamma(3, 1, n)
    return moments(sums_of(random.poisson(keen * 5 * later), random.poisson(keen * first)))


def test_an_effect_that_wears_off_is_seen():
    random = np.random.default_rng(16)
    found = novelty.change(_arm(random, 1.0, 1.0, 20_000), _arm(random, 1.4, 1.05, 20_000), 1.96)
    assert found.first == pytest.approx(0.4, abs=0.05)
    assert found.later == pytest.approx(0.05, abs=0.05)
    assert found.high < 0
    assert found.z < -5


def test_an_effect_that_stays_is_seldom_called_changed():
    random = np.random.default_rng(17)
    runs = 600
    found = [novelty.change(_arm(random, 1.0, 1.0), _arm(random, 1.3, 1.3), 1.96) for _ in range(runs)]
    assert sum(abs(one.z) > 1.96 for one in found) / runs == pytest.approx(0.05, abs=0.025)
    assert sum(one.low <= 0 <= one.high for one in found) / runs == pytest.approx(0.95, abs=0.025)


def test_where_an_arm_did_nothing_there_is_nothing_to_compare():
    nothing, some = moments(sums_of([0.0, 0.0], [1.0, 1.0])), moments(sums_of([1.0, 2.0], [1.0, 1.0]))
    assert novelty.change(nothing, some, 1.96) is None
    same = moments(sums_of([1.0, 1.0], [1.0, 1.0]))
    assert novelty.change(same, same, 1.96).z == 0, "totals that never vary have not changed"


def test_totals_that_are_all_noise_say_nothing():
    """Refunds and purchases that cancel: the logarithm of their mean is known to no power of ten."""
    noise = Sums(n=1e4, y=1e-2, yy=1e8, d=1e-2, dd=1e8)
    assert novelty.change(moments(noise), moments(noise), 1.96) is None
