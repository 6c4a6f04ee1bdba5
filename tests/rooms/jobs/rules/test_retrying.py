from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.jobs.rules.kinds import DELAYS_S, Kinds, Policy
from holdfast.rooms.jobs.rules.retrying import JITTER, LONGEST_WAIT_S, Dead, Retry, decide, pause_s

draws = st.floats(0, 1, exclude_max=True)
NOW_MS = 1_000_000


def waits(policy: Policy, attempts: int = 5, draw: float = 0.0, **more) -> list[float]:
    """Pauses in seconds until it is dead."""
    found = []
    for used in range(1, 20):
        decided = decide(policy, used=used, attempts=attempts, now_ms=NOW_MS, draw=draw, **more)
        if isinstance(decided, Dead):
            return found
        found.append((decided.run_at_ms - NOW_MS) / 1000)
    return found


def test_one_try_and_at_most_four_retries_after_1_5_25_and_125_seconds():
    assert DELAYS_S == (1.0, 5.0, 25.0, 125.0)
    assert waits(Kinds().policy("temporary")) == [1.0, 5.0, 25.0, 125.0]
    assert waits(Kinds().policy("temporary"), attempts=50) == [1.0, 5.0, 25.0, 125.0]
    assert waits(Kinds().policy("temporary"), attempts=3) == [1.0, 5.0]
    assert waits(Kinds().policy("temporary"), attempts=1) == []
    assert waits(Kinds().policy("validation")) == []


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), draws)
def test_jitter_never_reaches_the_next_retry(delays, draw):
    delays_s = tuple(sorted(delays))
    for at, delay_s in enumerate(delays_s[:-1]):
        wait_s = pause_s(delays_s, at, draw)
        assert wait_s <= delays_s[at + 1]
        assert abs(wait_s - delay_s) <= JITTER * delay_s * 1.000001
    assert (
        delays_s[-1] <= pause_s(delays_s, len(delays_s) - 1, draw) <= delays_s[-1] * (1 + JITTER) * 1.000001
    )


@given(draws, draws)
def test_the_default_pauses_keep_their_order_whatever_is_drawn(one, other):
    for at in range(3):
        assert pause_s(DELAYS_S, at, one) < DELAYS_S[at + 1] <= pause_s(DELAYS_S, at + 1, other)


@given(st.floats(0, LONGEST_WAIT_S), draws, st.integers(1, 4))
def test_a_retry_after_wins_when_it_is_later_and_is_never_cut_short(asked_s, draw, used):
    policy = Policy(DELAYS_S, heeds_retry_after=True)
    decided = decide(policy, used=used, attempts=5, now_ms=NOW_MS, draw=draw, retry_after_s=asked_s)
    assert isinstance(decided, Retry)
    assert decided.run_at_ms >= NOW_MS + max(int(asked_s * 1000), int(DELAYS_S[used - 1] * 1000))
    assert decided.run_at_ms <= NOW_MS + max(asked_s + 10, DELAYS_S[used - 1] * 1.2) * 1000 + 1


def test_a_retry_after_is_heeded_where_the_policy_says_so_and_when_it_is_one():
    assert waits(Policy((1.0,)), retry_after_s=60.0) == [1.0]
    heeding = Policy((1.0,), heeds_retry_after=True)
    assert waits(heeding, retry_after_s=60.0) == [60.0]
    assert waits(heeding, retry_after_s=1e12) == [LONGEST_WAIT_S]
    for odd in (-5.0, float("nan"), float("inf")):
        assert waits(heeding, retry_after_s=odd) == [1.0]


def test_nothing_is_tried_after_its_deadline():
    assert waits(Policy(DELAYS_S), deadline_ms=NOW_MS + 5_000) == [1.0, 5.0]
    dead = decide(Policy((9.0,)), used=1, attempts=5, now_ms=NOW_MS, draw=0, deadline_ms=NOW_MS + 8_999)
    assert dead == Dead("the next attempt would begin after its deadline")
