import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.rooms.experiments.rules.statistics.srm import CONCENTRATION, LIMIT, sample_ratio

EVEN = {"a": 5000.0, "b": 5000.0}
SPLITS = st.lists(st.integers(100, 10_000), min_size=2, max_size=4)  # each expects ten units at least


def shares_of(counts):
    return {f"a{number}": number + 1.0 for number in range(len(counts))}


@given(SPLITS)
def test_the_last_p_is_scipys(counts):
    shares = shares_of(counts)
    found = sample_ratio(dict(zip(shares, counts, strict=True)), shares, final=True)
    whole = sum(shares.values())
    theirs = stats.chisquare(counts, [sum(counts) * share / whole for share in shares.values()])
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9, abs=1e-300)
    assert found.chi_square == pytest.approx(theirs.statistic, rel=1e-9, abs=1e-9)
    assert not found.always_valid


@given(SPLITS)
def test_an_earlier_p_is_scipys_bayes_factor(counts):
    shares = shares_of(counts)
    found = sample_ratio(dict(zip(shares, counts, strict=True)), shares, final=False)
    planned = np.array(list(shares.values())) / sum(shares.values())
    under_plan = stats.multinomial.logpmf(counts, sum(counts), planned)
    under_any = stats.dirichlet_multinomial.logpmf(counts, CONCENTRATION * planned, sum(counts))
    assert found.p == pytest.approx(min(1.0, np.exp(under_plan - under_any)), rel=1e-6, abs=1e-300)
    assert found.always_valid


@pytest.mark.parametrize(
    ("a", "b", "at_the_end", "before"),
    [
        (5000, 5000, True, True),
        (5000, 5200, True, True),
        (5000, 5400, False, True),
        (5000, 5600, False, False),
        (0, 10_000, False, False),
        (0, 50, True, True),
        (0, 0, True, True),
    ],
)
def test_a_ratio_holds_unless_chance_hardly_makes_it(a, b, at_the_end, before):
    assert sample_ratio({"a": a, "b": b}, EVEN, final=True).holds is at_the_end
    assert sample_ratio({"a": a, "b": b}, EVEN, final=False).holds is before


@pytest.mark.parametrize(
    ("planned", "units"), [((9900, 100), 200), ((5000, 1), 1000), ((5000, 4000, 900, 90, 10), 500)]
)
def test_at_the_end_too_a_small_arm_that_was_filled_as_planned_is_hardly_ever_taken_for_broken(
    planned, units
):
    """Chi-square of an arm that expects less than one unit took two good ratios in a hundred for broken."""
    random, runs = np.random.default_rng(1), 4_000
    shares = {f"a{at}": float(share) for at, share in enumerate(planned)}
    drawn = random.multinomial(units, np.array(planned) / sum(planned), size=runs).tolist()
    found = [sample_ratio(dict(zip(shares, each, strict=True)), shares, final=True) for each in drawn]
    assert sum(not each.holds for each in found) <= 2 * LIMIT * runs
    assert all(each.always_valid for each in found)


def test_a_small_arm_that_is_broken_is_found_at_the_end():
    shares = {"a": 9900.0, "b": 100.0}
    assert not sample_ratio({"a": 200, "b": 30}, shares, final=True).holds


@pytest.mark.parametrize("final", [True, False])
def test_an_arm_without_a_share_takes_no_part(final):
    found = sample_ratio({"a": 500, "b": 500, "off": 3}, {"a": 1.0, "b": 1.0, "off": 0.0}, final=final)
    assert found.observed == {"a": 500, "b": 500}
    assert found.p == 1.0


def alarmed(share, *, final, runs=1_000, looks=50, units=400):
    """The share of experiments that alarm at any of their looks, when `a` really gets `share`."""
    drawn = np.random.default_rng(7).binomial(units, share, (runs, looks)).cumsum(axis=1)
    return np.mean(
        [
            any(
                not sample_ratio({"a": n, "b": units * look - n}, EVEN, final=final).holds
                for look, n in enumerate(run.tolist(), 1)
            )
            for run in drawn
        ]
    )


def test_looking_fifty_times_alarms_no_more_often_than_once():
    assert alarmed(0.5, final=False) <= LIMIT
    assert alarmed(0.5, final=True) > 4 * LIMIT  # what a chi-square at each look would do


def test_shares_that_are_off_by_three_points_are_found():
    assert alarmed(0.53, final=False, runs=100) == 1.0
