import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.experiments.rules.statistics import distributions


@given(st.floats(-30, 30))
def test_normal_tails_are_scipys(z):
    assert distributions.normal_above(z) == pytest.approx(stats.norm.sf(z), rel=1e-9)
    assert distributions.two_sided(z) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


@given(st.floats(1e-12, 1 - 1e-12))
def test_normal_points_are_scipys(share):
    assert distributions.normal_at(share) == pytest.approx(stats.norm.ppf(share), abs=1e-9)


@given(st.floats(-30, 30), st.floats(1, 1e6))
def test_students_tails_are_scipys(t, freedom):
    assert distributions.t_two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-9)


def test_chi_squares_tail_is_scipys():
    assert distributions.chi_square_above(7.3, 2) == pytest.approx(stats.chi2.sf(7.3, 2), rel=1e-12)


@pytest.mark.parametrize("missing", ["scipy", "numpy"])
def test_without_them_the_problem_says_what_to_install(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    asked = distributions.special if missing == "scipy" else distributions.numeric
    asked.cache_clear()
    with pytest.raises(Misconfigured) as refused:
        asked()
    assert refused.value.hint == "pip install 'holdfast[experiments]'"
