"""Which bodies are prompts, and what an answer says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.asking import (
    check_body,
    check_input,
    has_content,
    most_tokens,
    sse,
    text_answer,
    text_of,
)
from holdfast.rooms.llm.rules.keys import is_cacheable, request_key
from holdfast.rooms.llm.rules.problems import NotAPrompt
from holdfast.rooms.llm.rules.tokens import prompt_tokens

ASKED = {"messages": [{"role": "user", "content": "안녕"}]}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"temperature": 0, "top_p": 1, "n": 128, "max_tokens": 1},
        {"temperature": None, "n": None, "tools": None, "stream_options": None},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": []}]},
        {"stop": "끝"},
        {"stop": ["끝", "END"]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}], "stop": None},
        {"tools": [{"type": "function"}], "response_format": {"type": "json_object"}, "unheard_of": 1},
    ],
)
def test_a_prompt(more):
    check_body({**ASKED, **more})


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages[0].role"),
        ({"messages": [{"role": 5}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": "1"}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": True}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens"),
        ({"tools": {}}, "tools"),
        ({"tools": [5]}, "tools[0]"),
        ({"passages": "text"}, "passages"),
        ({"stream_options": True}, "stream_options"),
        ({"response_format": "json"}, "response_format"),
        ({"stop": 5}, "stop"),
        ({"stop": {}}, "stop"),
        ({"stop": ["끝", 5]}, "stop"),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": {"a": 1}}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": ["x"]}]}, "messages[0].tool_calls"),
    ],
)
def test_no_prompt_and_the_field_that_is_wrong(more, param):
    with pytest.raises(NotAPrompt) as caught:
        check_body({**ASKED, **more})
    assert (caught.value.status, caught.value.members["param"]) == (400, param)
    assert caught.value.hint


@pytest.mark.parametrize("given_input", ["서울", ["서울", "부산"], [1, 2], [[1], [2]]])
def test_an_input(given_input):
    check_input({"input": given_input})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": ""},
        {"input": []},
        {"input": 5},
        {"input": "x", "n": "z"},
        {"input": "x", "max_tokens": 0},
    ],
)
def test_no_input(body):
    with pytest.raises(NotAPrompt):
        check_input(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ("n", "max_tokens", "tools", "passages", "stream_options", "response_format", "metadata", "seed")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3))
def test_what_passes_the_check_crashes_none_of_our_own_rules(more):
    body = {**ASKED, "temperature": 0, **more}
    try:
        check_body(body)
    except NotAPrompt:
        return
    assert is_cacheable(body) in (True, False)
    assert len(request_key(body, "", "")) == 64
    assert prompt_tokens(body) > 0
    assert most_tokens(body, 10) > 0


@pytest.mark.parametrize(
    ("body", "most"),
    [({}, 10), ({"max_tokens": 5}, 5), ({"max_completion_tokens": 7, "max_tokens": 5}, 7), ({"n": 3}, 30)],
)
def test_how_long_an_answer_may_be(body, most):
    assert most_tokens(body, 10) == most


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"delta": {"role": "assistant"}}, False),
        ({"delta": {"role": "assistant", "content": ""}}, False),
        ({"delta": {"content": "하"}}, True),
        ({"delta": {"reasoning_content": "음"}}, True),
        ({"delta": {"tool_calls": [{"index": 0}]}}, True),
        ({"delta": {}, "finish_reason": "stop"}, True),
        ({}, False),
        ({"delta": "말"}, False),
        ({"delta": ["말"]}, False),
        ({"delta": 5}, False),
    ],
)
def test_whether_a_chunk_says_anything(choice, says):
    assert has_content({"choices": [choice]}) is says
    assert not has_content({"choices": None})


def test_a_text_as_an_answer_and_back():
    assert text_of(text_answer("안녕", "m", id="x", created=1)) == "안녕"
    assert text_of({}) == text_of({"choices": [{"message": None}]}) == ""


def test_an_event_of_the_stream_is_one_line():
    raw = sse({"text": "줄\n바꿈"})
    assert raw.startswith(b"data: ")
    assert raw.count(b"\n") == 2
    assert json.loads(raw[6:]) == {"text": "줄\n바꿈"}
