"""Chat bodies in OpenAI's shape, and what Anthropic is asked instead."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.anthropic_requests import FORMAT_TOOL, in_format_tool, request
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

PNG = "data:image/png;base64,iVBORw0KGgo="


def user(content):
    return {"role": "user", "content": content}


def asked(*messages, **more):
    return request({"model": "claude", "messages": list(messages), **more}, 1000)


def text(words):
    return {"type": "text", "text": words}


def test_a_plain_chat():
    found = asked(
        {"role": "system", "content": "짧게"}, {"role": "developer", "content": "polite"}, user("안녕")
    )
    assert found == {
        "model": "claude",
        "max_tokens": 1000,
        "system": "짧게\n\npolite",
        "messages": [user([text("안녕")])],
    }


@pytest.mark.parametrize(
    ("given_body", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 7, "max_tokens": 5}, {"max_tokens": 7}),
        ({"temperature": 1.8}, {"temperature": 1.0}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"top_p": 0.3}, {"top_p": 0.3}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", " ", ""]}, {"stop_sequences": ["a"]}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
    ],
)
def test_what_both_have_a_word_for(given_body, expected):
    found = asked(user("x"), **given_body)
    assert expected.items() <= found.items()


def test_what_anthropic_has_no_word_for_is_left_out():
    found = asked(user("x"), seed=1, logit_bias={}, presence_penalty=1, stop=None, stream=True, n=1)
    assert set(found) == {"model", "messages", "max_tokens"}


def test_a_conversation_with_tools():
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"서울"}'}}
    found = asked(
        user("weather?"),
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "맑음"},
        {"role": "tool", "tool_call_id": "c2", "content": [text("rain")]},
        user("thanks"),
    )["messages"]
    assert [message["role"] for message in found] == ["user", "assistant", "user"]
    assert found[1]["content"][0] == {
        "type": "tool_use",
        "id": "c1",
        "name": "weather",
        "input": {"city": "서울"},
    }
    assert found[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "c1", "content": [text("맑음")]},
        {"type": "tool_result", "tool_use_id": "c2", "content": [text("rain")]},
        text("thanks"),
    ]


@pytest.mark.parametrize("arguments", ["not json", "[1]", '"x"', "{", "\ud800"])
def test_arguments_that_are_no_object_are_shown_as_they_are(arguments):
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    found = asked(user("x"), {"role": "assistant", "tool_calls": [call]}, user("y"))
    assert found["messages"][1]["content"][0]["input"] == {"arguments": arguments}


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, {"type": "auto"}),
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ({"type": "function", "function": {"name": "f"}}, None, {"type": "tool", "name": "f"}),
    ],
)
def test_tools_and_which_to_call(choice, parallel, expected):
    tools = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g"}},
    ]
    found = asked(user("x"), tools=tools, tool_choice=choice, parallel_tool_calls=parallel)
    assert found["tool_choice"] == expected
    assert found["tools"] == [
        {"name": "f", "description": "d", "input_schema": {"type": "object"}},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]


def test_images_and_files():
    found = asked(
        user(
            [
                text("look"),
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;name=a.pdf;base64,JVBE"}},
            ]
        )
    )["messages"][0]["content"]
    assert found[1]["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    assert found[2]["source"] == {"type": "url", "url": "https://example.org/a.png"}
    assert found[3] == {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
    }


def test_empty_texts_are_left_out_and_a_last_turn_ends_in_a_word():
    found = asked(user(""), user([text(" "), text("a")]), {"role": "assistant", "content": "Sure: \n"})
    assert found["messages"] == [user([text("a")]), {"role": "assistant", "content": [text("Sure:")]}]


SCHEMA = {"type": "object", "properties": {"답": {"type": "string"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}


def test_a_schema_is_a_tool_that_must_be_called():
    body = {"model": "claude", "messages": [user("x")], "response_format": FORMAT}
    found = request(body, 10)
    assert in_format_tool(body)
    assert found["tool_choice"] == {"type": "tool", "name": FORMAT_TOOL}
    assert found["tools"][0]["input_schema"] == SCHEMA
    assert "system" not in found


def test_a_schema_beside_tools_is_an_instruction():
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = {"messages": [user("x")], "response_format": FORMAT, "tools": tools}
    found = request(body, 10)
    assert not in_format_tool(body)
    assert "답" in found["system"]
    assert [tool["name"] for tool in found["tools"]] == ["f"]


def test_any_json_is_an_instruction():
    assert "JSON" in asked(user("x"), response_format={"type": "json_object"})["system"]
    assert "system" not in asked(user("x"), response_format={"type": "text"})


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [user("x")], "n": 2},
        {"messages": "x"},
        {},
        {"messages": ["x"]},
        {"messages": [{"role": "alien", "content": "x"}]},
        {"messages": [user(3)]},
        {"messages": [user(["x"])]},
        {"messages": [user([{"type": "input_audio", "input_audio": {}}])]},
        {"messages": [user([{"type": "image_url"}])]},
        {"messages": [user([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}])]},
        {"messages": [{"role": "assistant", "tool_calls": [{}]}]},
        {"messages": [user("x")], "tools": [{}]},
        {"messages": [user("x")], "tools": [{"function": {"name": "f"}}], "tool_choice": {"type": "x"}},
    ],
)
def test_what_cannot_be_asked_is_refused(body):
    with pytest.raises(ProviderFailed) as caught:
        request(body, 10)
    assert caught.value.kind is Kind.BAD_REQUEST


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "image_url", "url", "tool_calls", "function", "name"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["role", "content", "tool_calls"]), JSONS), max_size=4))
def test_no_message_makes_it_crash(messages):
    with contextlib.suppress(ProviderFailed):
        roles = [turn["role"] for turn in request({"messages": messages}, 10)["messages"]]
        assert all(one != other for one, other in itertools.pairwise(roles))
