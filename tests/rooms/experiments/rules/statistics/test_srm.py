import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.rooms.experiments.rules.statistics.srm import sample_ratio


@given(st.lists(st.integers(100, 10_000), min_size=2, max_size=4))
def test_p_is_scipys(counts):
    arms = [f"a{number}" for number in range(len(counts))]
    shares = {arm: number + 1.0 for number, arm in enumerate(arms)}
    found = sample_ratio(dict(zip(arms, counts, strict=True)), shares)
    whole = sum(shares.values())
    theirs = stats.chisquare(counts, [sum(counts) * share / whole for share in shares.values()])
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9, abs=1e-300)
    assert found.chi_square == pytest.approx(theirs.statistic, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "holds"),
    [
        (5000, 5000, True),
        (5000, 5200, True),
        (5000, 5400, False),
        (0, 10_000, False),
        (0, 50, True),
        (0, 0, True),
    ],
)
def test_a_ratio_holds_unless_chance_hardly_makes_it(a, b, holds):
    assert sample_ratio({"a": a, "b": b}, {"a": 5000.0, "b": 5000.0}).holds is holds


def test_an_arm_without_a_share_takes_no_part():
    found = sample_ratio({"a": 500, "b": 500, "off": 3}, {"a": 1.0, "b": 1.0, "off": 0.0})
    assert found.observed == {"a": 500, "b": 500}
    assert found.p == 1.0
