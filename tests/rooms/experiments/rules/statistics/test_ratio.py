import numpy as np
import pytest

from holdfast.rooms.experiments.rules.statistics import ratio
from holdfast.rooms.experiments.rules.statistics.sums import moments
from tests.rooms.experiments.rules.statistics.units import sums_of


def test_nothing_below_the_line_has_no_ratio():
    assert ratio.ratio(moments(sums_of([1.0, 2.0], [0.0, 0.0]))) is None


def test_the_linear_parts_are_those_of_each_unit():
    random = np.random.default_rng(5)
    d = random.poisson(5, 400) + 1.0
    y = random.binomial(d.astype(int), 0.3).astype(float)
    x = random.normal(size=400) + y
    found = ratio.linear(moments(sums_of(y, d, x)), y.sum() / d.sum())
    parts = (y - y.sum() / d.sum() * d) / d.mean()
    assert found.yy == pytest.approx(parts.var(ddof=1), rel=1e-9)
    assert found.yx == pytest.approx(np.cov(parts, x)[0, 1], rel=1e-9)
    assert found.y == y.sum() / d.sum()


def test_the_spread_is_that_of_ratios_of_many_samples():
    """Users view differently often: to count views as draws would make the spread too small."""
    random = np.random.default_rng(6)

    def sample():
        rate = random.beta(2, 5, 500)
        d = random.poisson(8, 500) + 1
        return random.binomial(d, rate), d

    seen = [y.sum() / d.sum() for y, d in (sample() for _ in range(1_500))]
    found = moments(sums_of(*sample()))
    assert (ratio.linear(found, ratio.ratio(found)).yy / 500) ** 0.5 == pytest.approx(np.std(seen), rel=0.1)
