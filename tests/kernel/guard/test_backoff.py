import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.guard.backoff import Retry, ceiling_s, wait_s

PLAIN = Retry(on=OSError)


@pytest.mark.parametrize(
    ("failed", "expected"), [(1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (1025, 60.0), (10**9, 60.0)]
)
def test_the_ceiling_doubles_up_to_the_longest_and_never_overflows(failed, expected):
    assert ceiling_s(PLAIN, failed) == expected


def test_jitter_is_full_from_nothing_to_the_ceiling():
    assert wait_s(PLAIN, 3, 0.0) == 0.0
    assert wait_s(PLAIN, 3, 0.5) == 2.0
    assert wait_s(PLAIN, 3, 0.999) == pytest.approx(3.996)


@given(
    st.integers(1, 5000),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 120),
    st.floats(0, 10),
    st.floats(1, 10),
)
def test_a_wait_is_never_below_what_was_asked_nor_above_it_and_the_longest(
    failed, chance, asked, first, factor
):
    retry = Retry(on=OSError, first_s=first, factor=factor)
    found = wait_s(retry, failed, chance, asked)
    assert (asked or 0) <= found <= (asked or 0) + retry.longest_s


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"first_s": -1}, {"factor": 0.5}, {"longest_s": -1}, {"longest_hint_s": -1}]
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"at least|negative"):
        Retry(on=OSError, **wrong)


def test_what_to_retry_on_must_be_said():
    with pytest.raises(TypeError, match="on"):
        Retry()
