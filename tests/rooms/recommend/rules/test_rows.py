"""Columns by any name, cells by any spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.recommend.rules.rows import (
    INTERACTION_NAMES,
    ITEM_NAMES,
    BadColumns,
    BadRow,
    find_columns,
    interaction,
    item,
    moment,
    split_tags,
)

NOW_MS = 1_750_000_000_000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (["userId", "movieId", "rating", "timestamp"], {"user": 0, "item": 1, "rating": 2, "time": 3}),
        (["Product ID", " Customer-Id "], {"item": 0, "user": 1}),
        (["사용자", "상품", "평점", "시간"], {"user": 0, "item": 1, "rating": 2, "time": 3}),
        (["ts", "event", "uid", "sku", "count"], {"time": 0, "type": 1, "user": 2, "item": 3, "weight": 4}),
    ],
)
def test_headers_of_the_world(header: list[str], expected: dict[str, int]) -> None:
    assert find_columns(header, INTERACTION_NAMES, {}, ("user", "item")) == expected


def test_an_asked_column_wins_by_name_or_number() -> None:
    header = ["a", "b", "rating"]
    assert find_columns(header, INTERACTION_NAMES, {"user": "B", "item": "1"}, ("user", "item")) == {
        "user": 1,
        "item": 0,
        "rating": 2,
    }
    with pytest.raises(BadColumns, match="'z'"):
        find_columns(header, INTERACTION_NAMES, {"user": "z"}, ("user",))
    with pytest.raises(BadColumns) as refused:
        find_columns(["name"], ITEM_NAMES, {}, ("item",))
    assert "--item" in refused.value.hint


def test_a_row_without_a_type_is_a_rating_or_a_view() -> None:
    rated = interaction(
        {"user": "u", "item": "i", "rating": "5"}, rating_scale=5, min_rating=None, now_ms=NOW_MS
    )
    viewed = interaction(
        {"user": "u", "item": "i", "weight": "2"}, rating_scale=5, min_rating=None, now_ms=NOW_MS
    )
    assert (rated.kind, rated.weight, viewed.kind, viewed.weight) == ("rating", 5.0, "view", 2.0)
    assert rated.at_ms is None


def test_a_row_from_the_future_is_from_now_and_has_the_id_of_what_it_says() -> None:
    cells = {"user": "u", "item": "i", "time": "2100-01-01"}
    early = interaction(cells, rating_scale=5, min_rating=None, now_ms=NOW_MS)
    later = interaction(cells, rating_scale=5, min_rating=None, now_ms=NOW_MS + 5)
    assert (early.at_ms, later.at_ms) == (NOW_MS, NOW_MS + 5)
    assert early.event_id == later.event_id


@pytest.mark.parametrize(
    "cells",
    [
        {"user": "", "item": "i"},
        {"item": "i"},
        {"user": "u", "item": "i", "rating": "five"},
        {"user": "u", "item": "i", "rating": "nan"},
        {"user": "u", "item": "i", "time": "soon"},
        {"user": "u", "item": "i", "time": "-5"},
        {"user": "u", "item": "i", "type": "fly"},
        {"user": "u" * 300, "item": "i"},
    ],
)
def test_rows_that_cannot_be_taken_say_why(cells: dict[str, str]) -> None:
    with pytest.raises(BadRow) as refused:
        interaction(cells, rating_scale=5, min_rating=None, now_ms=NOW_MS)
    assert str(refused.value)


@given(st.dictionaries(st.sampled_from(list(INTERACTION_NAMES)), st.text()))
def test_any_text_is_an_interaction_or_a_bad_row(cells: dict[str, str]) -> None:
    try:
        found = interaction(cells, rating_scale=5, min_rating=None, now_ms=NOW_MS)
    except BadRow:
        return
    assert 0 <= found.weight <= 100
    assert found.at_ms is None or 0 <= found.at_ms <= NOW_MS


@given(st.dictionaries(st.sampled_from(list(ITEM_NAMES)), st.text() | st.lists(st.text())))
def test_any_text_is_an_item_or_a_bad_row(cells: dict[str, str | list[str]]) -> None:
    try:
        found = item(cells)
    except BadRow:
        return
    assert found.item_id
    assert found.stock >= -1
    assert "".join([found.name, found.text, *found.tags]).encode().find(b"\0") == -1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("881250949", 881250949000),
        ("881250949000", 881250949000),
        ("881250949000000", 881250949000),
        ("1.5", 1500),
        ("2010-10-19T23:55:27Z", 1287532527000),
        ("2010-10-19 23:55:27", 1287532527000),
        ("2010-10-20", 1287532800000),
    ],
)
def test_moments(text: str, expected: int | None) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a|b, c", ("a", "b, c")), ("a; b", ("a", "b")), ("캠핑,야외", ("캠핑", "야외")), ("one", ("one",))],
)
def test_tags(text: str, expected: tuple[str, ...]) -> None:
    assert split_tags(text) == expected


@pytest.mark.parametrize(
    ("given", "stock", "hidden"),
    [
        ({}, -1, False),
        ({"stock": "0"}, 0, False),
        ({"stock": "false"}, 0, False),
        ({"stock": "3.0"}, 3, False),
        ({"hidden": "YES"}, -1, True),
    ],
)
def test_stock_and_hidden(given: dict[str, str], stock: int, hidden: bool) -> None:
    found = item({"item": "i", **given})
    assert (found.stock, found.hidden) == (stock, hidden)
