"""Canary against baseline: exact means over every way errors can fall, and what moves the evidence."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.canary import relative
from holdfast.rooms.experiments.rules.canary.counts import Counts

SMALL = st.integers(0, 40)
LARGE = st.integers(1, 10**9)


@pytest.mark.parametrize(("treatment_n", "control_n"), [(5, 5), (5, 95), (60, 1140), (90, 10)])
@pytest.mark.parametrize("errors", [1, 2, 5, 12])
def test_the_mean_is_at_most_one_when_both_arms_are_alike(treatment_n, control_n, errors):
    """Given how many errors there were, every placing of them is equally likely: hypergeometric, exactly."""
    for index in range(len(relative.RATIOS)):
        mean = 0.0
        for bad in range(max(0, errors - control_n), min(errors, treatment_n) + 1):
            ways = math.comb(treatment_n, bad) * math.comb(control_n, errors - bad)
            chance = ways / math.comb(treatment_n + control_n, errors)
            step = relative.step(Counts(treatment_n, bad), Counts(control_n, errors - bad))
            mean += chance * math.exp(step[index])
        assert mean <= 1.0 + 1e-9


def test_weights_are_a_distribution():
    assert math.fsum(relative.WEIGHTS) == pytest.approx(1.0)
    assert len(relative.WEIGHTS) == len(relative.RATIOS)
    assert relative.log_mixture(relative.START) == pytest.approx(0.0)


@given(LARGE, LARGE, SMALL, SMALL)
def test_an_error_of_the_treatment_raises_it_and_one_of_control_lowers_it(n, control_n, bad, control_bad):
    now = relative.step(Counts(n, bad), Counts(control_n, control_bad))
    worse = relative.step(Counts(n, bad + 1), Counts(control_n, control_bad))
    milder = relative.step(Counts(n, bad), Counts(control_n, control_bad + 1))
    for one, up, down in zip(now, worse, milder, strict=True):
        assert down <= one <= up + 1e-9


def test_a_batch_cut_in_equal_parts_tells_the_same():
    whole = relative.step(Counts(60, 4), Counts(1140, 8))
    half = relative.step(Counts(30, 2), Counts(570, 4))
    assert [2 * part for part in half] == pytest.approx(list(whole))


def test_what_is_compared_depends_on_how_many_not_on_how_they_went():
    assert not relative.enough(Counts(0), Counts(500))
    assert not relative.enough(Counts(500), Counts(0))
    assert relative.enough(Counts(5, 5), Counts(5)) == relative.enough(Counts(5), Counts(5, 5))


def test_no_error_is_no_evidence():
    assert relative.step(Counts(1000), Counts(1000)) == relative.START


def test_it_is_finite_at_a_billion():
    for bad, control_bad in ((10**9, 0), (0, 10**9), (10**9, 10**9)):
        step = relative.step(Counts(10**9, bad), Counts(10**9, control_bad))
        assert all(map(math.isfinite, step))
        assert math.isfinite(relative.log_mixture(step))
