"""Late defects: the budget adds up, and twelve healthy hours cost nothing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.canary import detector, relative
from holdfast.rooms.experiments.rules.canary.counts import Counts

TIMES = st.lists(st.floats(0.001, 1e7), min_size=1, max_size=50)


@given(TIMES, st.floats(1.0, 1e7))
def test_all_that_is_ever_spent_is_at_most_one(steps, horizon_s):
    at_s, spent = 0.0, 0.0
    for step in steps:
        mass = detector.mass(at_s, at_s + step, horizon_s)
        assert mass >= -1e-12
        at_s, spent = at_s + step, spent + mass
    assert spent <= 1.0 + 1e-9
    assert spent == pytest.approx(detector.mass(0.0, at_s, horizon_s), abs=1e-9)


def test_most_is_spent_in_the_planned_time_and_some_for_ever_after():
    assert detector.mass(0.0, 100.0, 100.0) == pytest.approx(detector.WITHIN_HORIZON)
    assert detector.mass(1e6, 2e6, 100.0) > 0.0


def test_healthy_hours_leave_it_where_it_was():
    """A cumulative e-value sinks by hundreds of nats, which a late defect would have to climb back."""
    logs, cumulative = detector.START, relative.START
    batch = relative.step(Counts(600, 2), Counts(11_400, 34))
    for _ in range(72):
        logs = detector.moved(logs, batch, 0.9 / 144)
        cumulative = tuple(map(sum, zip(cumulative, batch, strict=True)))
    six = relative.RATIOS.index(6.0)
    assert cumulative[six] < -200.0
    assert logs[six] > -20.0


def test_it_stays_finite_without_any_budget_and_with_all_evidence_against_it():
    logs = detector.START
    for _ in range(5):
        logs = detector.moved(logs, relative.step(Counts(10**9, 0), Counts(10**9, 10**9)), 0.0)
        logs = detector.moved(logs, relative.step(Counts(10**9, 10**9), Counts(10**9, 0)), 0.1)
    assert all(map(math.isfinite, logs))
