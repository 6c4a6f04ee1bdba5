import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.guard.budget import Budget, allowed


@pytest.mark.parametrize(
    ("calls", "extras"), [(0, 3), (1, 3), (15, 3), (19, 3), (20, 4), (100, 20), (99, 19)]
)
def test_a_fifth_of_the_calls_but_three_at_least(calls, extras):
    assert allowed(calls, 0.2, 3) == extras


def test_the_floor_holds_without_traffic_and_then_it_is_spent():
    budget = Budget()
    assert [budget.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert budget.refused == 1
    assert budget.take(31.0), "a new window has a new floor"


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 2)), max_size=200))
def test_extras_never_exceed_the_share_of_the_window(steps):
    budget, now = Budget(), 0.0
    for is_call, gap in steps:
        now += gap
        if is_call:
            budget.count(now)
        elif budget.take(now):
            calls, extras = budget.window.totals(now)
            assert extras <= max(3, 0.2 * calls)
        assert budget.left(now) >= 0


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"share": -0.1}, {"floor": -1}, {"window_s": 0}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="share"):
        Budget(**wrong)
