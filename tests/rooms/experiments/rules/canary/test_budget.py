"""The chance of a false rollback is split, and never more than there is."""

import math

import pytest

from holdfast.rooms.experiments.rules.canary import budget
from holdfast.rooms.experiments.rules.releases import Gate, Release, Stage


@pytest.mark.parametrize("gates", [1, 2, 7])
def test_what_all_gates_spend_is_alpha(gates):
    release = Release(name="r", gates=tuple(Gate(f"g{i}") for i in range(gates)), alpha=0.02)
    spent = 0.0
    for gate in release.gates:
        terms = budget.terms_of(release, gate)
        spent += math.exp(-terms.relative_at) + math.exp(-terms.absolute_at)
    assert spent == pytest.approx(0.02)


def test_a_gate_that_only_watches_costs_nothing():
    alone = Release(name="r", gates=(Gate("errors"),))
    beside = Release(name="r", gates=(Gate("errors"), Gate("slow", observe_only=True)))
    assert budget.terms_of(alone, alone.gates[0]) == budget.terms_of(beside, beside.gates[0])


def test_epochs_share_one():
    shares = [math.exp(budget.log_epoch_share(epoch)) for epoch in range(60)]
    assert shares == sorted(shares, reverse=True)
    assert math.fsum(shares) == pytest.approx(1.0)


def test_the_horizon_is_the_planned_time_and_an_hour_at_least():
    planned = Release(name="r", stages=(Stage(500, 7200.0), Stage(10_000, 3600.0)))
    hasty = Release(name="r", stages=(Stage(500, 0.0),))
    assert budget.terms_of(planned, planned.gates[0]).horizon_s == 10_800.0
    assert budget.terms_of(hasty, hasty.gates[0]).horizon_s == 3600.0
