"""Keys from arguments."""

import enum
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.cache.rules.keys import call_key, canonical
from holdfast.rooms.cache.rules.problems import BadKey, check_key


class Tier(enum.Enum):
    FREE = 1


@dataclass
class Point:
    x: int
    y: int


class Farm(msgspec.Struct):
    x: int
    y: int


DIFFERENT = [
    *(1, "1", True, 1.0, "True", None, "None", b"1", "", b"", 0, False, -0.0, 0.0, [1], (1,), {1}, ["1"]),
    *([], (), {}, set(), [[]], {"a": 1}, {"a": "1"}, {1: "a"}, "a,b", ["a", "b"], ["a,b"], "a\0b", '"', "'"),
    *(Tier.FREE, Point(1, 2), Point(2, 1), Farm(1, 2), date(2025, 1, 1), datetime(2025, 1, 1, tzinfo=UTC)),
    *(timedelta(1), Decimal("1"), Decimal("1.0"), uuid.UUID(int=1), "농장", "\ud800", "\\ud800", "1)"),
]


def test_what_differs_in_type_or_content_has_different_text():
    texts = [canonical(value) for value in DIFFERENT]
    assert len(set(texts)) == len(texts)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_the_text_is_the_same_only_for_what_is_the_same(one, two):
    assert (canonical(one) == canonical(two)) == (_typed(one) == _typed(two))


def _typed(value):
    """The value with its types, so that 1, True and 1.0 differ."""
    if isinstance(value, list | tuple):
        return (type(value), [_typed(each) for each in value])
    if isinstance(value, dict):
        return (dict, sorted((key, repr(_typed(item))) for key, item in value.items()))
    return (type(value), repr(value))


def test_the_order_of_names_does_not_matter():
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
    assert canonical({3, 1, 2}) == canonical({2, 3, 1})


def test_long_arguments_become_a_digest():
    one, two = call_key("f", {"text": "가" * 5_000}), call_key("f", {"text": "가" * 5_001})
    assert one != two
    assert len(one) < 60


@pytest.mark.parametrize("value", [object(), lambda: 1, open, [object()], {"a": object()}])
def test_what_has_no_fixed_text_is_refused(value):
    with pytest.raises(BadKey, match="no fixed text") as found:
        canonical(value)
    assert "ignore" in found.value.hint


def test_a_key_must_be_text():
    for key in ("", " ", "\0", "사과", "x" * 10_000):
        check_key(key)
    with pytest.raises(BadKey, match="int"):
        check_key(7)
