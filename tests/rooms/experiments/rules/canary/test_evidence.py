"""Evidence as it moves: valid while both arms are alike, whatever the cut in turns, and kept in JSON."""

import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.canary import detector
from holdfast.rooms.experiments.rules.canary.budget import terms_of
from holdfast.rooms.experiments.rules.canary.counts import NO_COUNTS, Counts, Delta
from holdfast.rooms.experiments.rules.canary.evidence import (
    Evidence,
    advance,
    log_control_over,
    log_relative,
    log_treatment_over,
    next_stage,
    resumed,
)
from holdfast.rooms.experiments.rules.releases import Release

RELEASE = Release(name="r")
RUNS = 150
TERMS = terms_of(RELEASE, RELEASE.gates[0])


def arm(most):
    return st.integers(0, most).flatmap(lambda n: st.builds(Counts, st.just(n), st.integers(0, n)))


def deltas(most):
    return st.lists(st.builds(Delta, arm(most), arm(most), st.floats(0.0, 1e6)), max_size=6)


def after(turns, evidence=None):
    evidence = evidence or Evidence()
    for delta in turns:
        evidence = advance(evidence, delta, TERMS)
    return evidence


def poisson(rng, mean):
    """Small means only."""
    found, product, least = -1, 1.0, math.exp(-mean)
    while product > least:
        found, product = found + 1, product * rng.random()
    return found


def test_alike_arms_cross_no_oftener_than_they_may():
    """With a shared incident in it, and looked at every minute. Within two standard errors."""
    rng, alpha, crossed = random.Random(11), 0.1, 0
    for _ in range(RUNS):
        evidence = Evidence()
        for minute in range(80):
            p = 0.04 if 40 <= minute < 50 else 0.004
            delta = Delta(Counts(60, poisson(rng, 60 * p)), Counts(540, poisson(rng, 540 * p)), 60.0)
            evidence = advance(evidence, delta, TERMS)
            if log_relative(evidence) >= -math.log(alpha):
                crossed += 1
                break
    assert crossed / RUNS <= alpha + 2 * math.sqrt(alpha * (1 - alpha) / RUNS)


def test_an_arm_at_the_limit_crosses_no_oftener_than_it_may():
    rng, alpha, crossed = random.Random(12), 0.1, 0
    for _ in range(RUNS):
        evidence = Evidence()
        for _ in range(80):
            evidence = advance(evidence, Delta(Counts(60, poisson(rng, 0.59)), NO_COUNTS, 60.0), TERMS)
            if log_treatment_over(evidence) >= -math.log(alpha):
                crossed += 1
                break
    assert crossed / RUNS <= alpha + 2 * math.sqrt(alpha * (1 - alpha) / RUNS)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_how_it_is_cut_in_turns_changes_nothing_while_shares_are_the_same(parts):
    """Seconds are left out: when evidence may begin is a matter of turns, and only delays."""
    turns = [
        Delta(Counts(10 * size, min(bad, 10 * size)), Counts(190 * size, other)) for size, bad, other in parts
    ]
    whole = Delta(
        sum((turn.treatment for turn in turns), NO_COUNTS), sum((turn.control for turn in turns), NO_COUNTS)
    )
    cut, once = after(turns), after([whole])
    assert cut.treatment == once.treatment
    assert cut.control == once.control
    assert cut.relative == pytest.approx(once.relative)
    assert log_relative(cut) == pytest.approx(log_relative(once))


def test_turns_too_small_to_compare_are_put_together():
    small = [Delta(Counts(1, k % 2), Counts(0, 0)) for k in range(10)] + [Delta(Counts(0, 0), Counts(190, 3))]
    assert log_relative(after(small)) == pytest.approx(
        log_relative(after([Delta(Counts(10, 5), Counts(190, 3))]))
    )
    assert after(small[:10]).relative == Evidence().relative
    assert after(small[:10]).pending_treatment == Counts(10, 5)


@settings(max_examples=30)
@given(deltas(1000), arm(1000))
def test_one_more_error_never_speaks_for_the_treatment(turns, last):
    before = after(turns)
    if last.bad == last.n:
        last = Counts(last.n + 1, last.bad)
    control, worse = Counts(1000, 3), Counts(last.n, last.bad + 1)
    one = advance(before, Delta(last, control, 1.0), TERMS)
    other = advance(before, Delta(worse, control, 1.0), TERMS)
    assert log_relative(other) >= log_relative(one) - 1e-9
    assert log_treatment_over(other) >= log_treatment_over(one) - 1e-9
    assert log_control_over(other) == log_control_over(one)


@settings(max_examples=30)
@given(deltas(10**9))
def test_it_is_finite_at_a_billion_and_comes_back_from_json_as_it_was(turns):
    evidence = after(turns)
    for step in (evidence, next_stage(evidence), resumed(evidence)):
        assert msgspec.json.decode(msgspec.json.encode(step), type=Evidence) == step
        logs = (*step.relative, *step.late, *step.treatment_over, *step.control_over)
        assert all(map(math.isfinite, logs))
        assert all(map(math.isfinite, (log_relative(step), log_treatment_over(step), log_control_over(step))))


def test_a_stage_begins_anew_and_the_late_detector_carries_on():
    first = after([Delta(Counts(600, 6), Counts(11_400, 30), 600.0)] * 3)
    second = next_stage(first)
    assert second.epoch == 1
    assert second.treatment == second.control == NO_COUNTS
    assert second.relative == Evidence().relative
    assert second.late == first.late
    assert second.age_s == first.age_s
    assert second.last_control == first.control
    assert next_stage(second).last_control == first.control


def test_what_an_outage_showed_is_forgotten_with_it():
    ill = after([Delta(Counts(600, 30), Counts(11_400, 570), 600.0)] * 3)
    well = resumed(ill)
    assert well.late == detector.START
    assert log_control_over(well) < 0.0 < log_control_over(ill)


def test_nothing_counted_moves_nothing():
    before = after([Delta(Counts(600, 6), Counts(11_400, 30), 600.0)])
    later = advance(before, Delta(), TERMS)
    assert later == before
