import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.experiments import Metric
from holdfast.rooms.experiments.rules.statistics import comparing
from holdfast.rooms.experiments.rules.statistics.distributions import t_two_sided, two_sided
from holdfast.rooms.experiments.rules.statistics.estimates import Estimate
from holdfast.rooms.experiments.rules.statistics.results import Figure, Measured
from holdfast.rooms.experiments.rules.statistics.welch import Arms


def estimate(control=10.0, treatment=10.0, variance=4.0, n=1_000):
    arms = Arms(control, treatment, variance, variance, n, n)
    return Estimate(arms, Figure(control, n), Figure(treatment, n), "welch", 0.0, 0.0, None)


def measured(kind="mean", better="up", margin=0.02):
    return Measured(Metric("m", kind, better=better), (), "guardrail", margin)


@given(st.floats(-30, 30), st.integers(10, 10_000))
def test_z_is_as_rare_as_t(difference, n):
    arms = Arms(0.0, difference, 4.0, 9.0, n, n)
    z = comparing.normal_z(arms)
    if abs(z) < 30:
        assert two_sided(z) == pytest.approx(t_two_sided(arms.z, arms.freedom), rel=1e-6)
    assert z * difference >= 0


@given(st.floats(0.1, 8), st.integers(20, 10_000))
def test_a_z_reaches_its_boundary_exactly_where_the_interval_touches_zero(boundary, n):
    arms = Arms(0.0, 1.0, 4.0, 4.0, n, n)
    reach = comparing.student_reach(boundary, arms.freedom)
    touching = Arms(0.0, reach * arms.standard_error, 4.0, 4.0, n, n)
    assert comparing.normal_z(touching) == pytest.approx(boundary, rel=1e-6)


@pytest.mark.parametrize(
    ("rate", "other", "n", "enough"),
    [
        (0.1, 0.1, 1_000, True),
        (0.004, 0.004, 1_000, False),
        (0.997, 0.997, 1_000, False),
        (0.5, 0.5, 99, False),
    ],
)
def test_conversions_need_enough_of_both_kinds(rate, other, n, enough):
    assert comparing.enough(measured("conversion"), estimate(rate, other, 0.1, n)) is enough


@pytest.mark.parametrize(
    ("rate", "treated", "enough"), [(0.0, 900, False), (0.02, 900, False), (0.0, 1_200, True)]
)
def test_it_is_the_smaller_arm_that_needs_enough_were_both_alike(rate, treated, enough):
    """Whatever it has itself: of control's 9,000 one in a hundred converts."""
    arms = Arms(0.01, rate, 0.0099, rate * (1 - rate), 9_000, treated)
    found = Estimate(arms, Figure(0.01, 9_000), Figure(rate, treated), "welch", 0.0, 0.0, None)
    assert comparing.enough(measured("conversion"), found) is enough


@pytest.mark.parametrize(
    ("better", "treatment", "ahead"),
    [("up", 10.0, True), ("up", 9.5, False), ("down", 10.0, True), ("down", 10.5, False), ("up", 10.5, True)],
)
def test_a_guardrail_is_held_against_its_margin(better, treatment, ahead):
    found = comparing.guarded(measured(better=better), estimate(treatment=treatment))
    assert found.margin == 0.2
    assert (found.z > 0) is ahead


@pytest.mark.parametrize(("better", "edge"), [("up", 9.8), ("down", 10.2)])
def test_at_its_margin_a_guardrail_is_nowhere(better, edge):
    found = comparing.guarded(measured(better=better), estimate(treatment=edge))
    assert found.z == pytest.approx(0, abs=1e-9)


def test_direction():
    assert [comparing.direction(measured(better="down"), d) for d in (-1.0, 0.0, 1.0)] == [
        "better",
        "unclear",
        "worse",
    ]
