import itertools

import pytest

from holdfast.rooms.jobs.rules import states
from holdfast.rooms.jobs.rules.failures import Failure
from holdfast.rooms.jobs.rules.kinds import Kinds, Policy
from holdfast.rooms.jobs.rules.outcomes import (
    Facts,
    Failed,
    GivenBack,
    Lost,
    Outcome,
    Stopped,
    Succeeded,
    outcome,
    overdue,
    rolled_back,
)

NOW_MS = 1_000_000
DUE_MS = NOW_MS - 60_000
FIRST = Facts(left=4, declared=5, run_at_ms=DUE_MS)
LAST = Facts(left=0, declared=5, run_at_ms=DUE_MS)
BROKEN = Failed(Failure("network", "cut"))
EVERY_END = [Succeeded(), BROKEN, Failed(Failure("validation")), Stopped(), GivenBack(), Lost()]


def decided(ended, facts=FIRST, **more) -> Outcome:
    return outcome(ended, facts, Kinds(), now_ms=NOW_MS, draw=0.0, **more)


CASES = [
    (Succeeded(), FIRST, "succeeded", "succeeded", None),
    (Succeeded(), Facts(left=4, declared=5, cancel_requested=True), "succeeded", "succeeded", None),
    (BROKEN, FIRST, "retrying", "retrying", NOW_MS + 1_000),
    (BROKEN, Facts(left=1, declared=5), "retrying", "retrying", NOW_MS + 125_000),
    (BROKEN, LAST, "failed", "failed", None),
    (BROKEN, Facts(left=4, declared=5, cancel_requested=True), "cancelled", "cancelled", None),
    (BROKEN, Facts(left=4, declared=5, deadline_ms=NOW_MS + 999), "failed", "failed", None),
    (Failed(Failure("validation", "no")), FIRST, "failed", "failed", None),
    (Failed(Failure("nobody knows")), FIRST, "retrying", "retrying", NOW_MS + 1_000),
    (Stopped(), FIRST, "cancelled", "cancelled", None),
    (GivenBack(), LAST, "available", "returned", DUE_MS),
    (GivenBack(), Facts(left=4, declared=5, cancel_requested=True), "cancelled", "cancelled", None),
    (Lost(), Facts(left=4, declared=5, crashes=1, run_at_ms=DUE_MS), "available", "lost", DUE_MS),
    (Lost(), Facts(left=3, declared=5, crashes=2, run_at_ms=DUE_MS), "available", "lost", DUE_MS),
    (Lost(), Facts(left=2, declared=5, crashes=3), "failed", "failed", None),
    (Lost(), Facts(left=0, declared=1, crashes=1), "failed", "failed", None),
    (Lost(), Facts(left=4, declared=5, crashes=1, deadline_ms=NOW_MS - 1), "failed", "failed", None),
    (Lost(), Facts(left=4, declared=5, crashes=1, cancel_requested=True), "cancelled", "cancelled", None),
]


@pytest.mark.parametrize(("ended", "facts", "state", "word", "run_at_ms"), CASES)
def test_an_end_and_what_the_job_is_decide_what_becomes_of_it(ended, facts, state, word, run_at_ms):
    found = decided(ended, facts)
    assert (found.state, found.outcome, found.run_at_ms) == (state, word, run_at_ms)


def test_every_outcome_is_a_legal_transition_and_a_known_end_of_an_attempt():
    flags = itertools.product((0, 4), (False, True), (False, True), (1, 3), (None, NOW_MS - 1))
    for left, asked, undo, crashes, deadline_ms in flags:
        facts = Facts(
            left=left,
            declared=5,
            cancel_requested=asked,
            undo=undo,
            crashes=crashes,
            deadline_ms=deadline_ms,
        )
        for ended in EVERY_END:
            found = decided(ended, facts)
            assert states.may_become(states.RUNNING, found.state)
            kind = states.ATTEMPT_ENDS[found.outcome]
            assert (kind in states.ENDED) == (found.state in states.ENDED)
            assert (found.run_at_ms is None) == (found.state in states.ENDED)
            assert found.ending == "" or (undo and found.state == states.AVAILABLE)


def test_a_third_death_of_a_worker_is_a_dead_letter_that_says_so():
    found = decided(Lost(), Facts(left=2, declared=5, crashes=3))
    assert (found.error_kind, found.error) == ("unknown", "its worker died 3 times")
    assert found.crashed
    once = decided(Lost(), Facts(left=4, declared=5, crashes=1), max_crashes=1)
    assert once.error == "its worker died once"


def test_a_stop_is_not_charged_and_a_crash_is():
    assert not decided(GivenBack()).counts
    assert decided(Lost(), Facts(left=4, declared=5, crashes=1)).counts


def test_after_a_replay_the_retries_begin_anew():
    """Its row says eleven attempts of fifteen by then; only what is left counts."""
    assert decided(BROKEN, Facts(left=4, declared=5)).run_at_ms == NOW_MS + 1_000
    assert decided(BROKEN, Facts(left=3, declared=5)).run_at_ms == NOW_MS + 5_000


def test_a_jobs_own_policies_and_a_retry_after_reach_the_decision():
    found = decided(BROKEN, own={"network": Policy((9.0,))})
    assert found.run_at_ms == NOW_MS + 9_000
    asked = decided(Failed(Failure("rate_limited", "slow down", 60.0)))
    assert asked.run_at_ms == NOW_MS + 60_000


@pytest.mark.parametrize(
    ("ended", "facts", "ending"),
    [
        (Stopped(), Facts(left=4, declared=5, undo=True), "cancelled"),
        (BROKEN, Facts(left=0, declared=5, undo=True), "failed"),
        (Lost(), Facts(left=0, declared=5, undo=True, crashes=3), "failed"),
    ],
)
def test_what_is_to_be_undone_is_undone_before_the_end(ended, facts, ending):
    found = decided(ended, facts)
    assert (found.state, found.outcome, found.ending) == ("available", "undoing", ending)
    done = rolled_back(Succeeded(), found.ending, found.error_kind, found.error, crashes=0, now_ms=NOW_MS)
    assert (done.state, done.outcome, done.error_kind) == (ending, ending, found.error_kind)


def test_an_interrupted_rollback_goes_on_but_not_for_ever():
    def after(ended, crashes):
        return rolled_back(ended, "failed", "network", "cut", crashes=crashes, now_ms=NOW_MS)

    assert (after(GivenBack(), 0).state, after(GivenBack(), 0).counts) == ("available", False)
    assert (after(Lost(), 5).state, after(Lost(), 5).ending) == ("available", "failed")
    assert after(Lost(), 6).state == "failed"


def test_a_job_is_not_begun_after_its_deadline():
    assert overdue(NOW_MS, None) is None
    assert overdue(NOW_MS, NOW_MS) is None
    found = overdue(NOW_MS + 1, NOW_MS)
    assert found is not None
    assert (found.state, found.error_kind) == ("failed", "deadline")
