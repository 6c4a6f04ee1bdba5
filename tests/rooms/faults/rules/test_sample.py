"""A value for every schema."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.faults.rules.sample import sample


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "안녕"),
        ({"type": "string", "maxLength": 1}, "안"),
        ({"type": "string", "minLength": 4}, "안녕.."),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "integer"}, 1),
        ({"type": "number", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array"}, []),
        ({"type": "object"}, {}),
        ({}, {}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            {"a": 1, "b": 2},
        ),
        ({"$ref": "#/$defs/A~1B", "$defs": {"A/B": {"const": 3}}}, 3),
        ({"$ref": "#/nowhere"}, None),
    ],
)
def test_a_value_that_fits(schema, value):
    assert sample(schema, "안녕") == value


def test_a_schema_that_refers_to_itself_ends():
    node = {"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#"}}}
    made, depth = sample(node, "x"), 0
    while made is not None:
        assert made["name"] in ("x", None)
        made, depth = made["next"], depth + 1
    assert 1 < depth < 20


def test_a_schema_that_refers_to_itself_in_many_places_ends():
    reference = {"$ref": "#"}
    tree = {"properties": dict.fromkeys("abcdefgh", reference)}
    assert set(sample(tree, "x")) == set("abcdefgh")


def test_no_bound_makes_a_value_large():
    schema = {"type": "array", "items": {"type": "string", "minLength": 10**9}, "minItems": 10**9}
    made = sample(schema, "x")
    assert len(made) * len(made[0]) < 10**7


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3),
        lambda inner: st.dictionaries(
            st.sampled_from(["type", "properties", "items", "enum", "$ref", "anyOf", "allOf", "x"]),
            inner | st.lists(inner, max_size=2),
            max_size=4,
        ),
        max_leaves=12,
    )
)
def test_no_schema_breaks_it(schema):
    if isinstance(schema, dict):
        sample(schema, "x")
