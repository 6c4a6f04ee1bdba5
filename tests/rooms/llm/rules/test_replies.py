"""A 200 is an answer only when it is one."""

import base64
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.replies import document, unpacked_vector, vectors, whole_chat

JSON = {b"content-type": b"application/json; charset=utf-8"}


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        (JSON, b"", "empty"),
        (JSON, b"  \n", "empty"),
        (JSON, b"<html>", "html"),
        ({b"content-type": b"text/html"}, b"{}", "html"),
        ({b"content-type": b"text/html"}, b"<!doctype html>", "html"),
        ({b"content-type": b"text/plain"}, b"{}", "content_type"),
        ({b"content-type": b"text/event-stream"}, b"data: {}\n\n", "content_type"),
        (JSON, b'{"a":', "not_json"),
        (JSON, b"\xff\xfe", "not_json"),
        (JSON, b"[" * 100_000, "not_json"),
        (JSON, b"[]", "not_an_object"),
        (JSON, b"null", "not_an_object"),
        ({**JSON, b"content-encoding": b"gzip"}, b"\x1f\x8b", "content_encoding"),
    ],
)
def test_what_is_no_json_object_is_garbled(headers, body, code):
    with pytest.raises(ProviderFailed) as caught:
        document(200, headers, body)
    assert (caught.value.kind, caught.value.code) == (Kind.GARBLED, code)


@pytest.mark.parametrize(
    "headers",
    [JSON, {}, {b"content-type": b"application/vnd.api+json"}, {**JSON, b"content-encoding": b"identity"}],
)
def test_a_json_object_is_taken(headers):
    assert document(200, headers, '{"답": "\\ud83d"}'.encode()) == {"답": "\\ud83d"}


CHOICE = {"index": 0, "message": {"role": "assistant", "content": "안녕"}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({}, Kind.GARBLED),
        ({"choices": None}, Kind.GARBLED),
        ({"choices": []}, Kind.GARBLED),
        ({"choices": "no"}, Kind.GARBLED),
        ({"choices": [None]}, Kind.GARBLED),
        ({"choices": [{**CHOICE, "message": None}]}, Kind.GARBLED),
        ({"choices": [{**CHOICE, "message": {"tool_calls": ""}}]}, Kind.GARBLED),
        ({"choices": [{**CHOICE, "message": {"tool_calls": {"id": "c"}}}]}, Kind.GARBLED),
        ({"choices": [CHOICE, {**CHOICE, "message": {"tool_calls": [None]}}]}, Kind.GARBLED),
        ({"choices": [{**CHOICE, "finish_reason": None}]}, Kind.CUT),
        ({"choices": [CHOICE, {**CHOICE, "finish_reason": ""}]}, Kind.CUT),
    ],
)
def test_a_chat_that_is_none(answer, kind):
    with pytest.raises(ProviderFailed) as caught:
        whole_chat(answer)
    assert caught.value.kind is kind


def test_a_chat_that_is_one_comes_as_it_is():
    answer = {"choices": [CHOICE], "whatever": 1}
    assert whole_chat(answer) is answer


def row(index, vector):
    return {"object": "embedding", "index": index, "embedding": vector}


def packed(*numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@pytest.mark.parametrize(
    ("asked", "data"),
    [
        ({"input": "a"}, []),
        ({"input": "a"}, None),
        ({"input": ["a", "b"]}, [row(0, [1.0])]),
        ({"input": ["a", "b"]}, [row(0, [1.0]), row(0, [1.0])]),
        ({"input": ["a", "b"]}, [row(0, [1.0]), row(2, [1.0])]),
        ({"input": ["a", "b"]}, [row(0, [1.0]), row(-1, [1.0])]),
        ({"input": ["a", "b"]}, [row(0, [1.0]), row(1, [1.0, 2.0])]),
        ({"input": "a"}, [row(0, [])]),
        ({"input": "a"}, [row(0, None)]),
        ({"input": "a"}, [row(0, ["1"])]),
        ({"input": "a"}, [row(0, [None])]),
        ({"input": "a"}, [row(0, [1.0, float("nan")])]),
        ({"input": "a"}, [row(0, [float("inf"), float("-inf")])]),
        ({"input": "a"}, [row(0, "no base64!")]),
        ({"input": "a"}, [row(0, "AAA=")]),
        ({"input": "a"}, [row(0, packed(1.0, math.nan))]),
        ({"input": "a", "dimensions": 3}, [row(0, [1.0, 2.0])]),
        ({"input": "a"}, ["row"]),
        ({"input": "a"}, [row("0", [1.0])]),
    ],
)
def test_vectors_that_cannot_be_used_are_garbled(asked, data):
    with pytest.raises(ProviderFailed) as caught:
        vectors({"data": data}, asked)
    assert (caught.value.kind, caught.value.code) == (Kind.GARBLED, "vectors")


@pytest.mark.parametrize(
    ("given_input", "count"),
    [("text", 1), ([1, 2, 3], 1), (["a", "b"], 2), ([[1, 2], [3]], 2)],
)
def test_an_input_is_a_text_or_a_list_of_tokens(given_input, count):
    answer = {"data": [row(i, [0.5, 1.5]) for i in range(count)]}
    assert vectors(answer, {"input": given_input, "dimensions": 2}) is answer


def test_vectors_come_in_the_order_of_their_inputs():
    answer = {"data": [row(1, [1.0]), row(0, [0.0])], "usage": {}}
    assert [each["index"] for each in vectors(answer, {"input": ["a", "b"]})["data"]] == [0, 1]


def test_base64_stays_where_it_was_asked_for_and_is_unpacked_elsewhere():
    answer = {"data": [row(0, packed(0.5, -2.0))]}
    assert vectors(answer, {"input": "a"})["data"][0]["embedding"] == [0.5, -2.0]
    assert vectors(answer, {"input": "a", "encoding_format": "base64"}) is answer
    assert answer["data"][0]["embedding"] == packed(0.5, -2.0)


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=20))
def test_a_packed_vector_is_read_as_it_was_written(numbers):
    assert unpacked_vector(packed(*numbers)) == numbers
