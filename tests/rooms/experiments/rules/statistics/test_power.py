from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower

from holdfast.rooms.experiments.rules.problems import BadDefinition
from holdfast.rooms.experiments.rules.statistics import looks, power, sequential
from holdfast.rooms.experiments.rules.statistics.power import INFLATION, Sizing
from tests.rooms.experiments.rules.statistics.units import sums_of


@given(st.floats(0.01, 1), st.integers(10, 100_000), st.floats(0.001, 0.2))
def test_power_is_statsmodels(d, n, alpha):
    ours = power.power(Sizing(1.0, 1.0, alpha=alpha, looks=False), d, n, n)
    assert ours == pytest.approx(NormalIndPower().power(d, n, alpha), abs=1e-9)


@pytest.mark.parametrize(("d", "alpha", "wanted"), [(0.05, 0.05, 0.8), (0.2, 0.01, 0.9), (0.02, 0.05, 0.95)])
def test_the_size_is_statsmodels(d, alpha, wanted):
    ours = power.units_per_arm(Sizing(1.0, 1.0, alpha=alpha, power=wanted, looks=False), d)
    theirs = NormalIndPower().solve_power(d, None, alpha, wanted)
    assert ours == pytest.approx(theirs, abs=1)


def test_a_known_size():
    """10 % against 11 %: 14,751 users an arm (Evan Miller's and R's power.prop.test agree to a few)."""
    assert power.units_per_arm(Sizing(0.1, kind="conversion", looks=False), 0.1) == pytest.approx(
        14_751, abs=5
    )


def test_looking_on_the_way_asks_for_more():
    once = power.units_per_arm(Sizing(1.0, 1.0, looks=False), 0.05)
    assert power.units_per_arm(Sizing(1.0, 1.0), 0.05) == pytest.approx(once * INFLATION, abs=1)


@pytest.mark.parametrize("wanted", [0.8, 0.95])
def test_so_many_more_have_the_power_however_often_one_looks(wanted):
    """By integration, at the 100 looks that there can be."""
    walk = sequential.path(tuple(at / 100 for at in range(1, 101)), 0.05 * (1 - looks.RESERVE))
    alone = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(wanted)
    found = sequential._in_favour(walk, walk.boundaries[-1], alone * INFLATION**0.5)
    assert wanted <= found <= wanted + 0.005


@given(st.floats(0.01, 0.5), st.floats(0.02, 0.5), st.integers(1, 6))
def test_the_size_has_the_power_and_one_less_has_not(rate, effect, comparisons):
    sizing = Sizing(rate, kind="conversion", comparisons=comparisons)
    n = power.units_per_arm(sizing, effect)
    assert power.power(sizing, effect, n, n) >= 0.8 - 1e-6
    assert power.power(sizing, effect, n - 2, n - 2) <= 0.8 + 1e-3


@given(st.integers(200, 1_000_000))
def test_the_smallest_effect_is_the_inverse_of_the_size(per_arm):
    sizing = Sizing(10.0, 4.0)
    effect = power.smallest_effect(sizing, per_arm)
    assert power.units_per_arm(sizing, effect) <= per_arm
    assert power.units_per_arm(sizing, effect * 0.99) > per_arm * 0.99


@pytest.mark.parametrize(("rate", "too_few", "enough"), [(0.99, 834, 840), (0.9, 70, 80), (0.5, 8, 9)])
def test_no_effect_is_promised_that_would_take_a_conversion_beyond_one(rate, too_few, enough):
    """Of 99 % who convert, 100 units were said to find one per cent more: that takes eight times as many."""
    sizing = Sizing(rate, kind="conversion")
    with pytest.raises(BadDefinition, match="find no rise"):
        power.plan(sizing, (0.5, 0.5), 2.0 * too_few, days=1)
    found = power.plan(sizing, (0.5, 0.5), 2.0 * enough, days=1)
    assert power.units_per_arm(sizing, found.effect) <= enough


def test_a_plan_from_an_effect_lasts_whole_weeks():
    found = power.plan(Sizing(0.1, kind="conversion"), (0.5, 0.5), 1_000.0, effect=0.2)
    assert found.days_at_least == pytest.approx(found.units_per_arm / 500)
    assert found.days == 14
    assert found.units == 2 * found.units_per_arm


def test_the_smallest_arm_decides():
    even = power.plan(Sizing(10.0, 4.0), (0.5, 0.5), 100.0, effect=0.05)
    uneven = power.plan(Sizing(10.0, 4.0), (0.9, 0.1), 100.0, effect=0.05)
    assert uneven.days_at_least == pytest.approx(5 * even.days_at_least)
    assert uneven.units == pytest.approx(10 * uneven.units_per_arm)


def test_a_plan_from_days_says_what_it_can_find():
    found = power.plan(Sizing(10.0, 4.0), (0.5, 0.5), 1_000.0, days=14.0)
    assert found.units_per_arm == 7_000
    assert power.units_per_arm(Sizing(10.0, 4.0), found.effect) <= 7_000


def test_where_nobody_comes_no_duration_is_made_up():
    assert power.plan(Sizing(10.0, 4.0), (0.5, 0.5), 0.0, effect=0.05).days is None


@pytest.mark.parametrize(
    ("sizing", "wanted"),
    [
        (Sizing(0.9, kind="conversion"), {"effect": 0.2}),
        (Sizing(0.0, kind="conversion"), {"effect": 0.2}),
        (Sizing(10.0), {"effect": 0.2}),
        (Sizing(10.0, 0.0), {"effect": 0.2}),
        (Sizing(10.0, 1.0), {"effect": 0.0}),
        (Sizing(10.0, 1.0), {}),
        (Sizing(10.0, 1.0), {"effect": 0.1, "days": 3.0}),
        (Sizing(10.0, 1.0), {"days": 0.001}),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_what_to_do(sizing, wanted):
    with pytest.raises(BadDefinition) as refused:
        power.plan(sizing, (0.5, 0.5), 100.0, **wanted)
    assert refused.value.hint


def test_baseline_and_spread_of_what_was_seen():
    assert power.from_sums(sums_of([1.0, 2.0, 3.0]), "mean") == (2.0, 1.0)
    rate, spread = power.from_sums(sums_of([1.0, 2.0, 3.0, 2.0], [4.0, 4.0, 4.0, 4.0]), "ratio")
    assert (rate, spread) == pytest.approx((0.5, (2 / 3) ** 0.5 / 4))
    assert power.from_sums(sums_of([1.0]), "mean") is None
