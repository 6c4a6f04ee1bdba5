"""What an event is worth, when it was, and when two are one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.recommend.rules.events import check_id, clamp_ms, event_id, weight_of
from holdfast.rooms.recommend.rules.problems import BadEvent


@pytest.mark.parametrize(
    ("kind", "value", "worth"),
    [
        ("view", None, 1.0),
        ("purchase", None, 5.0),
        ("view", 2.5, 2.5),
        ("hide", None, 0.0),
        ("hide", 50.0, 0.0),
        ("rating", 5.0, 5.0),
        ("rating", 3.0, 1.0),
        ("rating", 2.0, 0.0),
        ("rating", 9.0, 5.0),
    ],
)
def test_worth(kind: str, value: float | None, worth: float) -> None:
    assert weight_of(kind, value) == pytest.approx(worth)


def test_a_least_rating_makes_ratings_all_or_nothing() -> None:
    assert [weight_of("rating", value, min_rating=4.0) for value in (3.9, 4.0, 5.0)] == [0.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("rating", None), ("teleport", None), ("view", -1.0), ("view", 1e9), ("like", float("nan"))],
)
def test_what_cannot_be_learned_from_is_refused_with_a_hint(kind: str, value: float | None) -> None:
    with pytest.raises(BadEvent) as refused:
        weight_of(kind, value)
    assert refused.value.hint


@given(st.none() | st.integers(-(10**15), 10**15), st.integers(0, 10**14))
def test_no_event_is_newer_than_now(at_ms: int | None, now_ms: int) -> None:
    assert 0 <= clamp_ms(at_ms, now_ms) <= now_ms


@pytest.mark.parametrize("bad", ["", "a\nb", "a\0", "\x7f", "x" * 257, "가" * 86, "\ud800"])
def test_ids_that_nothing_can_store_are_refused(bad: str) -> None:
    with pytest.raises(BadEvent):
        check_id("item", bad)


@pytest.mark.parametrize("good", ["1", "상품-1", "a b", "가" * 85, "x" * 256, "é\u200b"])
def test_ids_in_any_script_pass(good: str) -> None:
    assert check_id("item", good) == good


def test_event_ids_hang_on_every_part_and_on_nothing_else() -> None:
    assert event_id("a", "b", None) == event_id("a", "b", "")
    assert event_id("a", "bc") != event_id("ab", "c")
    # The file that was imported yesterday must be the same file tomorrow, in every release.
    assert event_id("import", "u", "i", "view", None, None) == "442de920f74facd5c0c24889"
