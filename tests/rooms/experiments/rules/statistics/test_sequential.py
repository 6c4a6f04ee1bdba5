from math import inf
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from holdfast.rooms.experiments.rules.statistics import sequential

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


class Stopped(NamedTuple):
    """What the rules say of an effect at the look where looking ended, with its whole interval."""

    p: float
    low: float
    middle: float
    high: float


def stopped(walk, z, alpha):
    low, middle, high = (sequential.effect_at(walk, z, share) for share in (alpha / 2, 0.5, 1 - alpha / 2))
    return Stopped(sequential.p_value(walk, z), low, middle, high)


@pytest.mark.parametrize(
    ("times", "boundaries"),
    [
        (FIVE, (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
        ((0.5, 1.0), (2.9626, 1.9686)),
        ((1 / 3, 2 / 3, 1.0), (3.7103, 2.5114, 1.9930)),
        ((1.0,), (1.95996,)),
    ],
)
def test_boundaries_are_those_of_the_tables(times, boundaries):
    """O'Brien-Fleming spending, two-sided .05 (Lan & DeMets; as in ldbounds and gsDesign)."""
    assert sequential.path(times, 0.05).boundaries == pytest.approx(boundaries, abs=2e-4)


def test_the_second_boundary_is_that_of_direct_integration():
    (first, second) = sequential.path((0.4, 1.0), 0.05).boundaries
    correlation = 0.4**0.5

    def missed(z):
        spread = (1 - correlation**2) ** 0.5
        inside = stats.norm.cdf((second - correlation * z) / spread) - stats.norm.cdf(
            (-second - correlation * z) / spread
        )
        return stats.norm.pdf(z) * inside

    assert integrate.quad(missed, -first, first, epsabs=1e-12)[0] == pytest.approx(0.95, abs=1e-8)


@settings(max_examples=15)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=12, unique=True), st.sampled_from([0.05, 0.01]))
def test_whenever_the_looks_are_no_more_than_alpha_is_spent(hundredths, alpha):
    times = tuple(at / 100 for at in sorted(hundredths))
    walk = sequential.path(times, alpha)
    assert walk.spent[-1] == pytest.approx(sequential.spent(times[-1], alpha))
    assert list(walk.spent) == sorted(walk.spent)
    assert sequential.p_value(walk, min(walk.boundaries[-1], 30.0)) <= alpha * (1 + 1e-6)
    last = sequential.path(times, alpha, last=True)
    assert last.spent[-1] == alpha
    assert last.boundaries[-1] <= walk.boundaries[-1] + 1e-9


def test_a_finer_grid_changes_nothing_that_matters(monkeypatch):
    times = tuple(at / 50 for at in range(1, 51))
    found = sequential.path(times, 0.05).boundaries
    sequential._walked.cache_clear()
    monkeypatch.setattr(sequential, "POINTS", 769)
    finer = sequential.path(times, 0.05).boundaries
    sequential._walked.cache_clear()
    seen = [(a, b) for a, b in zip(found, finer, strict=True) if a < inf]
    assert max(abs(a - b) for a, b in seen) < 1e-6
    assert len(seen) > 40


def test_looks_go_forward():
    with pytest.raises(ValueError, match="must rise"):
        sequential.path((0.5, 0.5), 0.05)


def test_one_look_alone_is_the_plain_test():
    found = stopped(sequential.path((1.0,), 0.05), 1.5, 0.05)
    assert found.p == pytest.approx(2 * stats.norm.sf(1.5), rel=1e-9)
    assert (found.low, found.middle, found.high) == pytest.approx(
        (1.5 - 1.959964, 1.5, 1.5 + 1.959964), abs=1e-5
    )


@pytest.mark.parametrize("looks", [1, 3, 5])
def test_at_its_boundary_p_is_what_is_spent_and_the_interval_touches_zero_at_alpha(looks):
    walk = sequential.path(FIVE[:looks], 0.05)
    found = stopped(walk, walk.boundaries[-1], 0.05)
    assert found.p == pytest.approx(walk.spent[-1], rel=1e-6)
    assert -1e-9 <= found.low <= found.middle <= found.high
    assert found.middle <= walk.boundaries[-1] + 1e-6
    if looks == 5:
        assert found.low == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("z", [-99.0, -20.0, 20.0, 99.0])
@pytest.mark.parametrize("times", [(0.5, 1.0), FIVE, tuple(at / 50 for at in range(1, 51))])
def test_an_end_far_beyond_what_earlier_looks_allow_has_a_bounded_effect(times, z):
    """A drift that ends there would have crossed before: the effect is that of crossing in half of runs."""
    walk = sequential.path(times, 0.05)
    found = sequential.effect_at(walk, z, 0.5)
    random = np.random.default_rng(3)
    steps = np.diff((0.0, *times))
    scores = (random.normal(0, 1, (20_000, len(times))) * np.sqrt(steps) + abs(found) * steps).cumsum(axis=1)
    crossed = (scores / np.sqrt(times) >= walk.boundaries)[:, :-1].any(axis=1)
    assert np.mean(crossed) == pytest.approx(0.5, abs=0.015)
    assert np.sign(found) == np.sign(z)


@pytest.mark.parametrize("z", [-99.0, -3.0, 0.0, 40.0])
def test_looks_whose_line_is_out_of_reach_leave_the_plain_estimate(z):
    walk = sequential.path((0.01, 0.02, 0.03), 0.05, last=True)
    assert walk.boundaries[:2] == (inf, inf)
    assert sequential.effect_at(walk, z, 0.5) == pytest.approx(z, abs=1e-9)


def test_the_interval_at_a_stop_covers_as_often_as_it_says():
    """Runs with a drift of 2 standard errors at the planned end, stopped where they cross."""
    random = np.random.default_rng(13)
    walk = sequential.path(FIVE, 0.05)
    covered = 0
    runs = 150
    for _ in range(runs):
        score = np.cumsum(random.normal(2 * 0.2, 0.2**0.5, 5))
        z = (score / np.sqrt(FIVE)).tolist()
        at = next((i for i in range(5) if abs(z[i]) >= walk.boundaries[i]), 4)
        found = stopped(sequential.path(FIVE[: at + 1], 0.05), z[at], 0.05)
        covered += found.low <= 2 * FIVE[at] ** 0.5 <= found.high
    assert covered / runs >= 0.95 - 3 * (0.05 * 0.95 / runs) ** 0.5
