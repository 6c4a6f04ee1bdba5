"""The order of deployments, and what comes after each kind of failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.guard import Retry
from holdfast.rooms.llm.rules.failures import POLICIES, Kind, ProviderFailed
from holdfast.rooms.llm.rules.routing import (
    NOTHING,
    Candidate,
    Standing,
    Step,
    first_step,
    in_order,
    next_step,
    soonest_hint,
)

RETRY = Retry(on=ProviderFailed, attempts=1_000)


def candidate(index: int, **more) -> Candidate:
    settings = {"model": f"m{index}", "rank": 0, "priority": 0, "weight": 1.0, "attempts": 2, **more}
    return Candidate(index, **settings)


def failed(kind: Kind, **more) -> ProviderFailed:
    return ProviderFailed(kind, "it failed", **more)


def standing(index: int, kind: Kind | None = None, *, held_s: float = 0.0, **more) -> Standing:
    retry_after_s = more.pop("retry_after_s", None)
    tried = more.pop("tried", 1 if kind else 0)
    last = failed(kind, retry_after_s=retry_after_s) if kind else None
    return Standing(candidate(index, **more), held_s, tried, last)


def test_rank_comes_before_priority_and_priority_before_weight():
    them = [candidate(0, rank=1), candidate(1, priority=1), candidate(2, weight=1e9), candidate(3)]
    assert [each.index for each in in_order(them, [0.9, 0.9, 0.5, 0.5])] == [2, 3, 1, 0]


def test_weights_are_shares_of_the_calls():
    them = [candidate(0, weight=3), candidate(1)]
    draws = [(i / 40 + 0.0125, j / 40 + 0.0125) for i in range(40) for j in range(40)]
    first = sum(in_order(them, draw)[0].index == 0 for draw in draws)
    assert first / len(draws) == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize(
    ("held", "left_s", "step"),
    [
        ((0, 0), 10, Step(0)),
        ((4, 0), 10, Step(1)),
        ((4, 3), 10, Step(1, 3)),
        ((40, 30), 10, NOTHING),
        ((), 10, NOTHING),
    ],
)
def test_a_call_begins_where_it_is_let_in_soonest(held, left_s, step):
    them = [standing(at, held_s=seconds) for at, seconds in enumerate(held)]
    assert first_step(them, left_s) == step


def after(*them: Standing, left_s: float = 1_000.0, chance: float = 0.5) -> Step:
    last = next(each.last for each in them if each.last is not None)
    return next_step(them, last, RETRY, chance, left_s)


@pytest.mark.parametrize("kind", [kind for kind, policy in POLICIES.items() if policy.elsewhere])
def test_another_deployment_is_asked_at_once(kind):
    assert after(standing(0, kind), standing(1)) == Step(1)


@pytest.mark.parametrize("kind", [Kind.CONTENT_FILTER, Kind.BAD_REQUEST])
def test_what_the_caller_has_to_change_goes_nowhere_else(kind):
    assert after(standing(0, kind), standing(1)) == NOTHING


@pytest.mark.parametrize("kind", list(Kind))
def test_only_what_may_pass_is_tried_again_after_a_wait(kind):
    step = after(standing(0, kind))
    if POLICIES[kind].again and POLICIES[kind].elsewhere:
        assert step == Step(0, 0.5, retry=True)
    else:
        assert step == NOTHING


def test_waits_grow_and_tries_end():
    assert after(standing(0, Kind.SERVER, tried=2, attempts=3)) == Step(0, 1.0, retry=True)
    assert after(standing(0, Kind.SERVER, tried=3, attempts=3)) == NOTHING


@pytest.mark.parametrize("asked_s", [0, 7, 60, 120])
def test_a_wait_is_never_shorter_than_asked(asked_s):
    step = after(standing(0, Kind.RATE_LIMITED, retry_after_s=asked_s), chance=0.0)
    assert step == Step(0, asked_s, retry=True)


def test_a_wait_beyond_the_deadline_fails_now():
    assert after(standing(0, Kind.RATE_LIMITED, retry_after_s=10), left_s=10.0) == NOTHING
    assert after(standing(0, Kind.RATE_LIMITED, retry_after_s=121)) == NOTHING


def test_what_is_too_long_is_asked_of_another_model_only():
    them = (
        standing(0, Kind.CONTEXT_LENGTH, model="small"),
        standing(1, model="small"),
        standing(2, model="big"),
    )
    assert after(*them) == Step(2)
    assert after(*them[:2]) == NOTHING


def test_one_that_is_held_back_is_waited_for_when_nobody_else_is_left():
    assert after(standing(0, Kind.SILENT), standing(1, held_s=4)) == Step(1, 4)
    assert after(standing(0, Kind.SERVER, tried=1), standing(1, held_s=4)) == Step(0, 0.5, retry=True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Kind)), st.integers(0, 3), st.floats(0, 100), st.none() | st.floats(0, 200)
        ),
        min_size=1,
        max_size=5,
    ),
    st.floats(0, 1, exclude_max=True),
    st.floats(0.001, 200),
)
def test_no_step_breaks_its_promises(them, chance, left_s):
    standings = [
        standing(at, kind, held_s=held_s, tried=tried or 1, retry_after_s=hint)
        for at, (kind, tried, held_s, hint) in enumerate(them)
    ]
    last = standings[0].last
    step = next_step(standings, last, RETRY, chance, left_s)
    if step is NOTHING or step == NOTHING:
        return
    chosen = standings[step.index]
    assert last.policy.elsewhere
    assert chosen.last.policy.again
    assert chosen.tried < chosen.candidate.attempts
    assert step.wait_s < left_s
    assert step.wait_s >= max(chosen.held_s, chosen.last.retry_after_s or 0.0)


def test_the_hint_is_when_it_is_first_worth_coming_back():
    assert soonest_hint([standing(0), standing(1)]) is None
    assert soonest_hint([standing(0, held_s=9), standing(1, Kind.RATE_LIMITED, retry_after_s=4)]) == 4
