from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.guard.window import SLOTS, Window


def test_counts_are_forgotten_slot_by_slot():
    window = Window(10.0)
    assert window.totals(0.0) == (0, 0)
    window.calls += 2
    window.marked += 1
    assert window.totals(9.5) == (2, 1)
    window.calls += 1
    assert window.totals(10.5) == (1, 0)
    assert window.totals(1e12) == (0, 0)


@given(st.lists(st.tuples(st.floats(0, 8), st.booleans()), max_size=60))
def test_the_window_holds_what_is_younger_and_drops_what_is_older_than_its_span(steps):
    window = Window(10.0)
    now, log = 1000.0, []
    for gap, marked in steps:
        now += gap
        if now >= window.turns_at:
            window.turn(now)
        window.calls += 1
        window.marked += marked
        log.append((now, marked))
        calls, failures = window.totals(now)
        slot = 10.0 / SLOTS
        surely = [mark for at, mark in log if at > now - 10.0 + slot + 1e-6]
        possibly = [mark for at, mark in log if at >= now - 10.0 - slot - 1e-6]
        assert len(surely) <= calls <= len(possibly)
        assert sum(surely) <= failures <= sum(possibly)
        assert failures <= calls
