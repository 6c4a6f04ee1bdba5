"""Exposure counts people, and its cap gives way only where it cannot be kept."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.recommend.rules.exposure import Exposure


@given(st.lists(st.tuples(st.integers(0, 8), st.lists(st.integers(0, 30), max_size=5)), max_size=60))
def test_shares_are_those_of_the_newest_answer_of_each_recent_user(
    answers: list[tuple[int, list[int]]],
) -> None:
    exposure = Exposure(window=5, cap=0.5)
    newest: dict[int, list[int]] = {}
    for user, items in answers:
        exposure.note(str(user), items)
        newest.pop(user, None)
        newest[user] = items
    recent = list(newest.values())[-5:]
    counts = Counter(item for items in recent for item in set(items))
    for item in range(31):
        assert exposure.share(item) == (counts[item] / len(recent) if recent else 0.0)


def test_one_person_reloading_wears_nothing_out() -> None:
    exposure = Exposure(window=100, cap=0.1)
    for _ in range(500):
        exposure.note("me", [1, 2, 3])
    assert not exposure.worn("me", np.array([1, 2, 3]), 3, 100).any()


def test_an_item_at_the_cap_is_worn_for_the_next_user_but_not_for_who_has_it() -> None:
    exposure = Exposure(window=1000, cap=0.25)
    for user in range(100):
        exposure.note(f"u{user}", [7] if user < 24 else [8 + user])
    assert exposure.worn("newcomer", np.array([7, 9]), 1, 500).tolist() == [False, False]
    exposure.note("u99", [7])
    assert exposure.worn("newcomer", np.array([7, 9]), 1, 500).tolist() == [True, False]
    assert exposure.worn("u3", np.array([7]), 1, 500).tolist() == [False]


def test_a_cap_that_a_small_choice_cannot_keep_gives_way() -> None:
    exposure = Exposure(window=1000, cap=0.1)
    for user in range(50):
        exposure.note(f"u{user}", [0, 1, 2, 3, 4])
    assert not exposure.worn("next", np.arange(6), 5, 6).any()
    assert exposure.worn("next", np.arange(6), 5, 600)[:5].all()
