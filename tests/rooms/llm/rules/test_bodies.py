"""Text that is no valid Unicode goes out and comes in without a crash."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.bodies import cleaned, decoded, encoded
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=[]))


@given(st.dictionaries(ANY_TEXT, st.lists(ANY_TEXT)))
def test_any_text_can_be_written_and_read(body):
    assert decoded(encoded(body)) == cleaned(body)
    assert decoded(json.dumps(body).encode()) == cleaned(json.loads(json.dumps(body)))


def test_nul_and_large_prompts_are_ordinary():
    body = {"a": "\0", "b": "가" * 3_500_000}
    assert decoded(encoded(body)) == body


@pytest.mark.parametrize("value", [{"a": object()}, {"a": 2**70, "b": {1j}}])
def test_what_no_json_can_hold_is_the_request_s_fault(value):
    with pytest.raises(ProviderFailed) as caught:
        encoded(value)
    assert caught.value.kind is Kind.BAD_REQUEST


def test_a_body_that_is_too_deep_is_the_request_s_fault():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ProviderFailed) as caught:
        encoded(deep)
    assert caught.value.kind is Kind.BAD_REQUEST
    while deep:
        deep = deep[0]  # taken apart by hand: freeing it in one go would go as deep


@pytest.mark.parametrize("text", [b'{"a": "\\u0041", "b": NaN}', b'{"a": "\\ud800"', b"{'a': '\\u0041'}"])
def test_what_is_no_json_stays_none(text):
    with pytest.raises(ValueError):  # noqa: PT011 - of which library it comes does not matter
        decoded(text)
