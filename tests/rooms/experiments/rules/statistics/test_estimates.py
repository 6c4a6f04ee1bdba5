"""Estimates from sums, against tea-tasting on the units themselves."""

import numpy as np
import pyarrow as pa
import pytest
import tea_tasting

from holdfast.rooms.experiments.rules.experiments import Metric
from holdfast.rooms.experiments.rules.statistics import welch
from holdfast.rooms.experiments.rules.statistics.estimates import estimates
from holdfast.rooms.experiments.rules.statistics.results import Kept
from tests.rooms.experiments.rules.statistics.units import kept_of


@pytest.fixture(scope="module")
def users():
    random = np.random.default_rng(9)
    n = 4_000
    variant = random.integers(0, 2, n)
    past = random.gamma(2, 2, n)
    views = random.poisson(3 + past) + 1.0
    clicks = random.binomial(views.astype(int), 0.2 + 0.02 * variant).astype(float)
    spend = past + random.gamma(1, 3, n) + 0.2 * variant
    return {"variant": variant, "past": past, "views": views, "clicks": clicks, "spend": spend}


def _ours(users, metric, y, d=None, x=None):
    arms = {}
    for number, arm in enumerate(("control", "treatment")):
        mine = users["variant"] == number
        columns = [None if name is None else users[name][mine] for name in (y, d, x)]
        arms[arm] = kept_of(arm, *columns)
    [(arm, found)] = estimates(metric, arms, "control")
    assert arm == "treatment"
    return found


def _theirs(users, metric):
    experiment = tea_tasting.Experiment({"m": metric})
    return experiment.analyze(pa.table(users), control=0)["m"]


@pytest.mark.parametrize(
    ("metric", "columns", "theirs", "estimator"),
    [
        (Metric("m", "mean"), ("spend",), tea_tasting.Mean("spend"), "welch"),
        (Metric("m", "mean"), ("spend", None, "past"), tea_tasting.Mean("spend", "past"), "cuped"),
        (Metric("m", "ratio"), ("clicks", "views"), tea_tasting.RatioOfMeans("clicks", "views"), "ratio"),
        (
            Metric("m", "ratio"),
            ("clicks", "views", "past"),
            tea_tasting.RatioOfMeans("clicks", "views", "past"),
            "ratio-cuped",
        ),
    ],
)  # fmt: skip
def test_estimates_are_tea_tastings(users, metric, columns, theirs, estimator):
    found, other = _ours(users, metric, *columns), _theirs(users, theirs)
    assert found.estimator == estimator
    close = 1e-9 if estimator != "ratio-cuped" else 2e-3
    width = welch.reach(found.arms, 0.05) * found.arms.standard_error
    for ours, peer in (
        (found.arms.control, other.control),
        (found.arms.treatment, other.treatment),
        (found.arms.difference, other.effect_size),
        (found.arms.difference - width, other.effect_size_ci_lower),
        (found.arms.difference + width, other.effect_size_ci_upper),
        (welch.p_value(found.arms), other.pvalue),
        (found.lift(1.96).value, other.rel_effect_size),
    ):
        assert ours == pytest.approx(peer, rel=close * 50 if close > 1e-9 else close, abs=close)


def test_a_past_takes_noise_away_and_says_how_much(users):
    plain = _ours(users, Metric("m", "mean", cuped=False), "spend", None, "past")
    assert plain.estimator == "welch"
    found = _ours(users, Metric("m", "mean"), "spend", None, "past")
    assert found.noise_removed == pytest.approx(
        1 - found.arms.standard_error**2 / plain.arms.standard_error**2
    )
    assert 0.3 < found.noise_removed < 0.7
    assert found.control.value == plain.control.value, "figures are shown as they are"


def test_what_cannot_be_compared_is_left_out():
    both = {"control": kept_of("control", [1.0]), "treatment": kept_of("treatment", [1.0, 2.0])}
    assert list(estimates(Metric("m", "mean"), both, "control")) == []
    nothing_below = {arm: kept_of(arm, [1.0, 2.0], [0.0, 0.0]) for arm in ("control", "treatment")}
    assert list(estimates(Metric("m", "ratio"), nothing_below, "control")) == []
    no_bins = {arm: Kept(arm) for arm in ("control", "treatment")}
    assert list(estimates(Metric("m", "quantile"), no_bins, "control")) == []


def test_the_lift_with_cuped_covers_as_often_as_it_says():
    """The adjusted control figure still has the noise of everybody's past in it."""
    random = np.random.default_rng(10)
    covered, runs, n = 0, 1_500, 100
    for _ in range(runs):
        arms = {}
        for arm, lift in (("control", 1.0), ("treatment", 1.2)):
            x = random.normal(5, 2, n)
            arms[arm] = kept_of(arm, lift * (5 + (x - 5) * 0.9 + random.normal(0, 1, n)), x=x)
        [(_, found)] = estimates(Metric("m", "mean"), arms, "control")
        lift = found.lift(welch.reach(found.arms, 0.05))
        covered += lift.low <= 0.2 <= lift.high
    assert covered / runs == pytest.approx(0.95, abs=0.015)
