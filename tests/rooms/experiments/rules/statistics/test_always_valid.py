from math import inf, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.statistics import always_valid

alphas = st.floats(0.001, 0.2)
units = st.floats(10, 1e6)


@given(units, alphas)
def test_p_is_alpha_where_the_interval_touches_zero(n, alpha):
    assert always_valid.p_value(always_valid.reach(n, alpha), n, alpha) == pytest.approx(alpha, rel=1e-9)


@given(units, alphas, st.floats(0, 10), st.floats(0, 10))
def test_p_falls_as_z_grows(n, alpha, one, other):
    low, high = sorted((one, other))
    assert always_valid.p_value(high, n, alpha) <= always_valid.p_value(low, n, alpha) <= 1


def test_the_width_is_equation_9():
    """Written as in the paper, with the estimate's variance 1 and t = 5,000."""
    t, alpha = 5_000, 0.05
    rho = sqrt((-2 * log(alpha) + log(-2 * log(alpha) + 1)) / t)
    paper = sqrt(2 * (t * rho**2 + 1) / (t**2 * rho**2) * log(sqrt(t * rho**2 + 1) / alpha))
    assert always_valid.reach(t, alpha) / sqrt(t) == pytest.approx(paper, rel=1e-12)


def test_it_is_narrowest_near_where_it_is_tuned():
    at = [always_valid.reach(20_000, 0.05, tuned) for tuned in (1_000, 5_000, 20_000, 80_000, 400_000)]
    assert min(at) == at[2]


@pytest.mark.parametrize("alpha", [1e-300, 1e-160, 0.4999])
@pytest.mark.parametrize("n", [1.0, 1e12])
def test_any_alpha_has_its_interval_and_its_p(alpha, n):
    """The square of an alpha of 1e-163 is zero, and was divided by: such an experiment had no look."""
    reach = always_valid.reach(n, alpha)
    assert 0 < reach < inf
    assert 0 < always_valid.one_sided(n, alpha) < inf
    assert always_valid.p_value(reach, n, alpha) == pytest.approx(alpha, rel=1e-6)


def test_one_side_is_nearer_than_two():
    assert always_valid.one_sided(5_000, 0.05) < always_valid.reach(5_000, 0.05)


def test_before_anyone_came_nothing_is_excluded():
    assert always_valid.reach(0, 0.05) == always_valid.one_sided(0, 0.05) == inf
    assert always_valid.p_value(99, 0, 0.05) == 1


def test_looked_at_after_every_unit_it_is_wrong_no_more_often_than_it_says():
    random = np.random.default_rng(14)
    runs, n = 1_000, 4_000
    t = np.arange(50, n)
    two = np.array([always_valid.reach(float(at), 0.05, 2_000) for at in t])
    one = np.array([always_valid.one_sided(float(at), 0.05, 2_000) for at in t])
    z = [np.cumsum(random.normal(size=n))[50:] / np.sqrt(t) for _ in range(runs)]
    assert sum((abs(path) > two).any() for path in z) / runs <= 0.05
    assert sum((path > one).any() for path in z) / runs <= 0.05
