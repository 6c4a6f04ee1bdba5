"""The gate that every path ends at."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.recommend.rules.eligibility import NEVER_MS, UNLIMITED, Gate, available, why_not

numbers = st.lists(st.integers(0, 25), max_size=30)


@given(st.lists(st.booleans(), max_size=20), numbers, numbers, numbers)
def test_nothing_excluded_unavailable_or_unknown_passes(
    there: list[bool], seen: list[int], excluded: list[int], picks: list[int]
) -> None:
    gate = Gate(np.asarray(there, np.bool_), np.asarray(seen, np.int64), excluded)
    through = [item for item, _ in gate.let_through((pick, None) for pick in picks)]
    expected = [p for p in picks if p < len(there) and there[p] and p not in seen and p not in excluded]
    assert through == list(dict.fromkeys(expected))


def test_the_gate_leaves_the_shared_mask_alone() -> None:
    there = np.ones(3, np.bool_)
    Gate(there, [0, 1])
    assert there.all()


def test_what_is_available_agrees_with_the_reasons() -> None:
    hidden = np.array([False, True, False, False, False])
    stock = np.array([UNLIMITED, UNLIMITED, 0, 3, UNLIMITED])
    expires = np.array([NEVER_MS, NEVER_MS, NEVER_MS, NEVER_MS, 1_000])
    for now_ms in (999, 1_000, 1_001):
        found = available(hidden, stock, expires, now_ms).tolist()
        reasons = [
            why_not(bool(h), int(s), int(e), now_ms) for h, s, e in zip(hidden, stock, expires, strict=True)
        ]
        assert found == [not reason for reason in reasons]
    assert why_not(True, 0, 5, 5) == ["hidden", "out of stock", "expired"]
