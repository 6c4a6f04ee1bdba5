"""Against exact references, then the edges: ties, costs, refunds, when to come back."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.limits.rules.algorithms import ALGORITHMS, is_spent
from holdfast.rooms.limits.rules.charge import Limit
from tests.rooms.limits.references import REFERENCES

NAMES = sorted(ALGORITHMS)
START_US = 1_000_000_000


def decisions(limit, arrivals):
    """Our decision and the reference's for each `(microseconds, cost)`."""
    algorithm = ALGORITHMS[limit.algorithm]
    reference = REFERENCES[limit.algorithm](limit.quota, round(limit.window_s * 1e6), limit.capacity)
    state = None
    for now_us, cost in arrivals:
        now = now_us / 1e6
        allowed = algorithm.decide(limit, state, now, cost).allowed
        if allowed:
            state = algorithm.pay(limit, state, now, cost)
        yield allowed, reference.take(now_us, cost)


def traffic(seed, count, mean_us, costs=(1,)):
    """Random arrivals with lulls and bursts, many of them at the same or at round times."""
    rng = random.Random(seed)
    now_us = START_US
    for _ in range(count):
        kind = rng.random()
        if kind < 0.05:
            pass  # at the same microsecond
        elif kind < 0.1:
            now_us += rng.choice((100_000, 600_000, 3_000_000))  # ties with our own intervals
        elif kind < 0.102:
            now_us += rng.randrange(200_000_000)
        else:
            now_us += int(rng.expovariate(1 / mean_us))
        yield now_us, rng.choice(costs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mean_us", [300_000, 550_000, 3_000_000])
def test_a_hundred_thousand_random_arrivals_are_decided_as_the_exact_reference_does(name, mean_us):
    limit = Limit("api_call", 100, 60.0, 20, name)
    pairs = list(decisions(limit, traffic(1, 100_000, mean_us)))
    assert sum(ours for ours, _ in pairs) > 1000
    assert [index for index, (ours, exact) in enumerate(pairs) if ours != exact] == []


@pytest.mark.slow
def test_of_a_million_random_arrivals_none_is_decided_otherwise():
    limit = Limit("api_call", 100, 60.0, 20)
    pairs = list(decisions(limit, traffic(2, 1_000_000, 400_000)))
    assert any(ours for ours, _ in pairs)
    assert any(not ours for ours, _ in pairs)
    assert [index for index, (ours, exact) in enumerate(pairs) if ours != exact] == []


@pytest.mark.parametrize("name", NAMES)
def test_costs_are_decided_as_the_exact_reference_does(name):
    limit = Limit("tokens", 1000, 10.0, 200, name)
    pairs = list(decisions(limit, traffic(3, 30_000, 700_000, costs=(1, 7, 50, 400))))
    assert {ours for ours, _ in pairs} == {True, False}
    assert [index for index, (ours, exact) in enumerate(pairs) if ours != exact] == []


@given(
    st.sampled_from(NAMES),
    st.integers(1, 20),
    st.sampled_from([1.0, 7.0, 60.0]),
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(0, 20_000_000), st.integers(1, 4)), max_size=60),
)
def test_any_limit_and_traffic_is_decided_as_the_exact_reference_does(name, quota, window_s, burst, gaps):
    now_us, arrivals = START_US, []
    for gap_us, cost in gaps:
        now_us += gap_us
        arrivals.append((now_us, cost))
    interval_us = window_s * 1e6 / quota
    pairs = list(decisions(Limit("x", quota, window_s, burst, name), arrivals))
    if name == "gcra" and interval_us != int(interval_us):
        # A tie within a tenth of a microsecond of the exact time counts as in time.
        assert sum(ours != exact for ours, exact in pairs) <= 1
    else:
        assert all(ours == exact for ours, exact in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_the_capacity_comes_at_once_and_no_more(name):
    limit = Limit("submission", 10, 300.0, 3, name)
    algorithm, state = ALGORITHMS[name], None
    for left in range(12, -1, -1):
        verdict = algorithm.decide(limit, state, 1000.0, 1)
        assert (verdict.allowed, verdict.remaining) == (True, left)
        state = algorithm.pay(limit, state, 1000.0, 1)
    refused = algorithm.decide(limit, state, 1000.0, 1)
    assert (refused.allowed, refused.remaining) == (False, 0)


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.floats(0, 40), max_size=40), st.integers(1, 8))
def test_who_comes_back_when_told_passes_and_not_much_sooner(name, gaps, cost):
    limit = Limit("x", 10, 60.0, 2, name)
    algorithm, state, now = ALGORITHMS[name], None, 1000.0
    for gap in gaps:
        now += gap
        if algorithm.decide(limit, state, now, 1).allowed:
            state = algorithm.pay(limit, state, now, 1)
    verdict = algorithm.decide(limit, state, now, cost)
    if verdict.allowed:
        return
    assert 0 < verdict.retry_after_s <= 2 * limit.window_s
    early = now + verdict.retry_after_s - 0.001
    assert early < now or not algorithm.decide(limit, state, early, cost).allowed
    assert algorithm.decide(limit, state, now + verdict.retry_after_s + 1e-6, cost).allowed


@pytest.mark.parametrize("name", NAMES)
def test_what_costs_more_than_the_capacity_never_passes_and_says_so(name):
    verdict = ALGORITHMS[name].decide(Limit("x", 10, 60.0, 2, name), None, 1000.0, 13)
    assert (verdict.allowed, verdict.remaining, verdict.retry_after_s) == (False, 12, math.inf)


@pytest.mark.parametrize("name", NAMES)
def test_a_refund_restores_and_never_gives_credit(name):
    limit, algorithm = Limit("x", 10, 60.0, 0, name), ALGORITHMS[name]
    state = algorithm.pay(limit, None, 1000.0, 6)
    state = algorithm.pay(limit, state, 1001.0, -4)
    left = algorithm.decide(limit, state, 1001.0, 0).remaining
    assert left == 8
    state = algorithm.pay(limit, state, 1001.0, -50)
    assert algorithm.decide(limit, state, 1001.0, 10).allowed
    assert not algorithm.decide(limit, state, 1001.0, 11).allowed


@pytest.mark.parametrize("name", NAMES)
def test_a_debit_without_asking_goes_beyond_the_capacity_and_is_paid_off(name):
    limit, algorithm = Limit("x", 10, 60.0, 0, name), ALGORITHMS[name]
    state = algorithm.pay(limit, None, 1000.0, 15)
    verdict = algorithm.decide(limit, state, 1000.0, 1)
    assert (verdict.allowed, verdict.remaining) == (False, 0)
    assert algorithm.decide(limit, state, 1000.0 + 2 * 60.0, 1).allowed


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_spent_when_forgetting_it_changes_nothing(name):
    limit, algorithm = Limit("x", 10, 60.0, 0, name), ALGORITHMS[name]
    state = algorithm.pay(limit, None, 1000.0, 10)
    whole_s = algorithm.decide(limit, state, 1000.0, 0).reset_s
    assert 60.0 <= whole_s <= 120.0
    assert not is_spent(state, 1000.0 + whole_s - 0.01)
    assert is_spent(state, 1000.0 + whole_s + 0.01)
    assert algorithm.decide(limit, state, 1000.0 + whole_s + 0.01, 10).allowed


def test_gcra_keeps_the_share_that_is_used_when_the_quota_changes():
    whole, reduced = Limit("x", 100, 60.0, 20), Limit("x", 80, 60.0, 16)
    pay, decide = ALGORITHMS["gcra"].pay, ALGORITHMS["gcra"].decide
    state = pay(whole, None, 1000.0, 60)  # half of 120
    assert decide(reduced, state, 1000.0, 0).remaining == 48  # half of 96


def test_the_exact_window_counts_to_its_very_edge():
    limit, algorithm = Limit("x", 1, 60.0, 0, "sliding_window"), ALGORITHMS["sliding_window"]
    state = algorithm.pay(limit, None, 1000.0, 1)
    assert not algorithm.decide(limit, state, 1059.999, 1).allowed
    assert algorithm.decide(limit, state, 1060.0, 1).allowed


def test_the_counter_forgets_after_a_lull():
    limit, algorithm = Limit("x", 10, 60.0, 0, "sliding_counter"), ALGORITHMS["sliding_counter"]
    state = algorithm.pay(limit, None, 1000.0, 10)
    assert algorithm.decide(limit, state, 1180.0, 10).allowed
