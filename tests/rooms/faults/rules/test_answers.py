"""What is said, and how it is cut into pieces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.faults.rules.answers import answer, pieces_of, sentence
from holdfast.rooms.faults.rules.asks import chat_ask, messages_ask
from holdfast.rooms.faults.rules.names import OK, parse_fault
from holdfast.rooms.faults.rules.requests import parse_head
from holdfast.rooms.faults.rules.scripts.steps import draw

HEAD = parse_head(b"POST / HTTP/1.1")


def body(**members):
    return json.dumps({"model": "ok", "messages": [{"role": "user", "content": "Hi"}], **members}).encode()


@given(st.text())
def test_the_pieces_of_a_text_are_the_text(text):
    assert "".join(pieces_of(text)) == text


@given(st.text(max_size=3000))
def test_a_sentence_is_never_empty_nor_long(prompt):
    assert 10 < len(sentence(prompt)) < 1_200


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        ("안녕", "안녕"),
        ([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}], "a\nb"),
        (None, ""),
        ([{"type": "text", "text": 5}, 6], ""),
    ],
)
def test_the_prompt_of_any_content(content, prompt):
    for read in (chat_ask, messages_ask):
        assert read(body(messages=[{"role": "user", "content": content}])).prompt == prompt


def test_the_prompt_is_what_the_user_said_last():
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": "four"},
    ]
    assert chat_ask(body(messages=messages)).prompt == "three"


@pytest.mark.parametrize("most", [1, 2, 5, 10_000])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_usage_counts_the_pieces(most, n):
    raw = body(max_tokens=most, n=n)
    said = answer(chat_ask(raw), OK, HEAD, raw)
    assert said.completion_tokens == sum(map(len, said.choices))
    assert max(map(len, said.choices)) <= most
    assert said.finish == ("stop" if most == 10_000 else "length")


def test_json_is_cut_by_max_tokens_as_any_text_is():
    raw = body(response_format={"type": "json_object"}, n=2)
    said = answer(chat_ask(raw), OK, HEAD, raw)
    assert [json.loads("".join(pieces)) for pieces in said.choices] == [{"answer": sentence("Hi")}] * 2


def test_a_message_whose_tool_call_is_cut_has_no_input():
    tool = {"name": "t", "input_schema": {"properties": {"a": {"type": "string"}}}}
    raw = body(tools=[tool], tool_choice={"type": "tool", "name": "t"}, max_tokens=1)
    said = answer(messages_ask(raw), parse_fault("ok"), HEAD, raw)
    assert (said.tool, said.finish) == ("t", "length")


@given(st.integers(), st.text(), st.integers(1, 10**6))
def test_a_draw_is_a_share_and_always_the_same(seed, key, count):
    assert 0 <= draw(seed, key, "m", count) < 1
    assert draw(seed, key, "m", count) == draw(seed, key, "m", count)
