import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.guard.breaker import (
    CLOSED,
    COOLING,
    HALF_OPEN,
    OPEN,
    REFUSED,
    Breaker,
    BreakerRules,
    fixed_s,
    open_for_s,
    opens_at,
)

RULES = BreakerRules(failures=3, ratio=0.5, minimum_calls=10, open_s=5, lease_s=30)


def broken(rules=RULES, now=0.0):
    breaker = Breaker(rules)
    for _ in range(rules.failures):
        breaker.failed(breaker.admit(now), now)
    assert breaker.state == OPEN
    return breaker


@pytest.mark.parametrize(
    ("in_a_row", "calls", "failures", "opens"),
    [(2, 9, 9, False), (3, 3, 3, True), (0, 10, 4, False), (0, 10, 5, True), (1, 9, 8, False)],
)
def test_when_failures_open_it(in_a_row, calls, failures, opens):
    assert opens_at(RULES, in_a_row, calls, failures) is opens


def test_either_rule_may_be_off():
    assert not opens_at(BreakerRules(failures=0), 99, 19, 19)
    assert not opens_at(BreakerRules(ratio=0), 4, 1000, 1000)


@pytest.mark.parametrize(("opens", "seconds"), [(1, 5), (2, 10), (3, 20), (6, 160), (7, 300), (4000, 300)])
def test_the_open_time_doubles_up_to_the_longest(opens, seconds):
    assert open_for_s(BreakerRules(), opens) == seconds
    assert open_for_s(BreakerRules(recovery="fixed:300"), opens) == 300


@pytest.mark.parametrize(
    "wrong", ["fixed", "fixed:", "fixed:0", "fixed:-1", "fixed:inf", "fixed:nan", "slow", ""]
)
def test_an_unknown_recovery_is_refused(wrong):
    with pytest.raises(ValueError, match="recovery"):
        fixed_s(wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"failures": -1}, {"ratio": 1.1}, {"minimum_calls": 0}, {"open_s": 0}, {"lease_s": 0}, {"window_s": 0}],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"ratio|positive"):
        BreakerRules(**wrong)


def test_failures_in_a_row_open_it_and_a_success_between_does_not():
    breaker = Breaker(RULES)
    for failed in (True, True, False, True, True):
        (breaker.failed if failed else breaker.succeeded)(breaker.admit(0), 0)
    assert breaker.state == CLOSED
    breaker.failed(breaker.admit(0), 0)
    assert breaker.state == OPEN
    assert breaker.admit(4.9) == REFUSED
    assert breaker.next_s(4.0) == pytest.approx(1.0)


def test_half_of_enough_calls_open_it_and_what_is_older_than_the_window_counts_no_more():
    breaker = Breaker(BreakerRules(failures=0, minimum_calls=10, window_s=30))
    for at in range(5):
        breaker.failed(breaker.admit(at), at)
    for at in range(4):
        breaker.succeeded(breaker.admit(60 + at), 60 + at)
    breaker.failed(breaker.admit(64), 64)
    assert breaker.state == CLOSED
    for failed in (True, True, True, False, True):
        (breaker.failed if failed else breaker.succeeded)(breaker.admit(65), 65)
    assert breaker.state == OPEN


def test_half_open_lets_exactly_one_through():
    breaker = broken()
    tickets = [breaker.admit(5.0) for _ in range(20)]
    assert [ticket for ticket in tickets if ticket != REFUSED] == tickets[:1]
    breaker.succeeded(tickets[0], 6.0)
    assert breaker.state == CLOSED
    assert breaker.opens == 0


def test_a_probe_that_fails_doubles_the_open_time_and_one_that_succeeds_forgets_it():
    breaker, now = broken(), 0.0
    for seconds in (10, 20, 40):
        now = breaker.until
        breaker.failed(breaker.admit(now), now)
        assert breaker.until - now == seconds
    breaker.succeeded(breaker.admit(breaker.until), breaker.until)
    for _ in range(3):
        breaker.failed(breaker.admit(900), 900)
    assert breaker.until == 905


def test_a_probe_that_says_nothing_gives_its_lease_back():
    breaker = broken()
    ticket = breaker.admit(5)
    breaker.dropped(ticket, 6)
    assert breaker.state == OPEN
    assert breaker.opens == 1
    assert breaker.admit(6) != REFUSED


def test_a_lease_expires_and_its_late_holder_is_not_heard():
    breaker = broken()
    lost = breaker.admit(5)
    assert breaker.admit(34.9) == REFUSED
    other = breaker.admit(35)
    assert other not in (REFUSED, lost)
    breaker.failed(lost, 36)
    breaker.succeeded(lost, 36)
    breaker.dropped(lost, 36)
    assert breaker.state == HALF_OPEN
    breaker.succeeded(other, 37)
    assert breaker.state == CLOSED


def test_what_lands_after_opening_neither_lengthens_nor_closes():
    breaker = Breaker(RULES)
    tickets = [breaker.admit(0) for _ in range(9)]
    for ticket in tickets[:3]:
        breaker.failed(ticket, 1)
    assert (breaker.state, breaker.until) == (OPEN, 6)
    for ticket in tickets[3:6]:
        breaker.failed(ticket, 2)
    for ticket in tickets[6:]:
        breaker.succeeded(ticket, 2)
    assert (breaker.state, breaker.until, breaker.opens) == (OPEN, 6, 1)


def test_a_no_is_neutral_while_closed_and_closes_as_a_probe():
    breaker = Breaker(RULES)
    for _ in range(2):
        breaker.failed(breaker.admit(0), 0)
    breaker.answered(breaker.admit(0), 0)
    breaker.failed(breaker.admit(0), 0)
    assert breaker.state == OPEN
    breaker.answered(breaker.admit(5), 5)
    assert breaker.state == CLOSED


def test_an_early_probe_that_fails_lengthens_nothing():
    breaker = broken()
    breaker.failed(breaker.lease(1), 1)
    assert (breaker.state, breaker.until, breaker.opens) == (OPEN, 5, 1)
    assert breaker.lease(1) != REFUSED
    assert breaker.lease(1) == REFUSED
    assert Breaker(RULES).lease(0) == REFUSED, "nothing is to be probed while closed"


def test_cooling_holds_back_and_a_longer_wish_extends_it():
    breaker = Breaker(BreakerRules(cool_down=True))
    breaker.cool(10, 0)
    assert (breaker.state, breaker.next_s(0)) == (COOLING, 10)
    breaker.cool(3, 1)
    assert breaker.next_s(1) == 9
    breaker.cool(30, 1)
    assert breaker.admit(30.9) == REFUSED
    assert breaker.admit(31) != REFUSED
    assert breaker.state == CLOSED
    breaker.cool(9999, 40)
    assert breaker.next_s(40) == 120
    calm = Breaker(RULES)
    calm.cool(10, 0)
    assert calm.state == CLOSED, "off unless asked for"


def test_without_rules_it_never_opens():
    breaker = Breaker(None)
    for _ in range(1000):
        breaker.failed(breaker.admit(0), 0)
    assert breaker.state == CLOSED


def test_changes_are_told_with_the_state_before():
    told = []
    breaker = Breaker(RULES)
    breaker.changed = lambda it, before: told.append((before, it.state))
    for _ in range(3):
        breaker.failed(breaker.admit(0), 0)
    breaker.succeeded(breaker.admit(5), 5)
    assert told == [(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]


def test_another_process_may_hold_the_lease():
    breaker = broken()
    ticket = breaker.admit(5)
    breaker.withhold(ticket, 5, 2.0)
    assert breaker.admit(6.9) == REFUSED
    assert breaker.admit(7) != REFUSED


def test_what_others_saw_is_taken_over():
    breaker = Breaker(RULES)
    before = breaker.admit(0)
    breaker.trip(0, 40, opens=3)
    breaker.failed(before, 1)
    assert (breaker.state, breaker.next_s(10)) == (OPEN, 30)
    breaker.failed(breaker.admit(40), 40)
    assert breaker.until == 40 + 40, "the doubling goes on where the other was"
    breaker.reset(41)
    assert (breaker.state, breaker.opens) == (CLOSED, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["admit", "succeeded", "failed", "dropped", "answered", "late", "lease"]),
            st.integers(0, 5),
            st.floats(0, 12),
        ),
        max_size=120,
    )
)
def test_whatever_happens_one_probe_at_a_time_and_only_its_word_counts(steps):
    breaker, now, held = Breaker(RULES), 0.0, []
    for action, pick, gap in steps:
        now += gap
        before = breaker.state, breaker.generation
        if action in ("admit", "lease"):
            may = action == "lease" or breaker.next_s(now) == 0
            ticket = breaker.admit(now) if action == "admit" else breaker.lease(now)
            if ticket != REFUSED:
                assert may
                held.append(ticket)
                if breaker.state == HALF_OPEN:
                    assert before != (HALF_OPEN, ticket), "a second probe under the same lease"
            continue
        if not held:
            continue
        ticket = held.pop(pick % len(held))
        stale = ticket != breaker.generation
        (breaker.failed if action == "late" else getattr(breaker, action))(ticket, now)
        if stale:
            assert (breaker.state, breaker.generation) == before
        assert breaker.generation >= before[1]
        if breaker.state == OPEN:
            assert breaker.until - now <= RULES.longest_open_s
