"""Anthropic's answers in OpenAI's shape, whole and streamed: both say the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.anthropic_answers import AnthropicChunks, completion
from holdfast.rooms.llm.rules.anthropic_requests import FORMAT_TOOL
from holdfast.rooms.llm.rules.chunks import ErrorInside
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.sse import Event

USAGE = {
    "input_tokens": 10,
    "output_tokens": 5,
    "cache_read_input_tokens": 3,
    "cache_creation_input_tokens": 2,
}


def message(*content, stop="end_turn", **more):
    return {
        "id": "msg_1",
        "type": "message",
        "model": "claude",
        "content": list(content),
        "stop_reason": stop,
        **more,
    }


def text(words):
    return {"type": "text", "text": words}


def tool(name, given_input, number="t1"):
    return {"type": "tool_use", "id": number, "name": name, "input": given_input}


def event(value):
    return Event(value.get("type", "message"), json.dumps(value).encode())


def streamed(content, stop, usage=USAGE):
    """The events of a message, its texts and arguments in pieces of three signs."""
    yield {
        "type": "message_start",
        "message": {"id": "msg_1", "model": "claude", "usage": {**usage, "output_tokens": 1}},
    }
    yield {"type": "ping"}
    for index, block in enumerate(content):
        bare = {
            **block,
            **{"text": {"text": ""}, "thinking": {"thinking": ""}, "tool_use": {"input": {}}}[block["type"]],
        }
        yield {"type": "content_block_start", "index": index, "content_block": bare}
        if block["type"] == "tool_use":
            whole = (
                json.dumps(block["input"], ensure_ascii=False, separators=(",", ":"))
                if block["input"]
                else ""
            )
            kind, member = "input_json_delta", "partial_json"
        else:
            whole, kind, member = block[block["type"]], f"{block['type']}_delta", block["type"]
        for at in range(0, len(whole), 3):
            delta = {"type": kind, member: whole[at : at + 3]}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop},
        "usage": {"output_tokens": usage["output_tokens"]},
    }
    yield {"type": "message_stop"}


def gathered(chunks):
    """What a client of OpenAI's puts together from chunks."""
    told, calls, finish, usage = {"content": ""}, {}, None, None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            delta, finish = choice["delta"], choice["finish_reason"] or finish
            told["content"] += delta.get("content") or ""
            if "reasoning_content" in delta:
                told["reasoning_content"] = told.get("reasoning_content", "") + delta["reasoning_content"]
            for call in delta.get("tool_calls", ()):
                known = calls.setdefault(call["index"], {"id": "", "name": "", "arguments": ""})
                known["id"] += call.get("id", "")
                known["name"] += call["function"].get("name", "")
                known["arguments"] += call["function"]["arguments"]
    return told, list(calls.values()), finish, usage


BLOCKS = st.lists(
    st.builds(text, st.text(min_size=1, max_size=12, alphabet="ab \n안녕\U0001f600"))
    | st.builds(
        tool,
        st.sampled_from(["f", "g"]),
        st.dictionaries(st.text("k가", max_size=2), st.text("v나", max_size=9)),
    )
    | st.builds(lambda words: {"type": "thinking", "thinking": words}, st.text("t", min_size=1, max_size=7)),
    max_size=5,
)


@given(BLOCKS, st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "brand_new"]))
def test_a_stream_says_what_the_whole_answer_says(content, stop):
    chunks = AnthropicChunks(7, False)
    found = [chunk for value in streamed(content, stop) for chunk in chunks.take(event(value))]
    told, calls, finish, usage = gathered(found)
    whole = completion(message(*content, stop=stop, usage=USAGE), 7, False)
    (choice,) = whole["choices"]
    assert told["content"] == (choice["message"]["content"] or "")
    assert told.get("reasoning_content") == choice["message"].get("reasoning_content")
    expected = [{"id": c["id"], **c["function"]} for c in choice["message"].get("tool_calls", ())]
    assert calls == expected
    assert (finish, usage) == (choice["finish_reason"], whole["usage"])
    assert chunks.finished
    assert chunks.over


@pytest.mark.parametrize("stop", ["tool_use", "max_tokens"])
def test_an_answer_in_a_format_is_the_content(stop):
    block = tool(FORMAT_TOOL, {"답": "서울"})
    whole = completion(message(block, stop=stop), 7, True)["choices"][0]
    assert json.loads(whole["message"]["content"]) == {"답": "서울"}
    assert "tool_calls" not in whole["message"]
    assert whole["finish_reason"] == ("stop" if stop == "tool_use" else "length")
    chunks = AnthropicChunks(7, True)
    found = [chunk for value in streamed([block], stop) for chunk in chunks.take(event(value))]
    told, calls, finish, _ = gathered(found)
    assert (told["content"], calls, finish) == (whole["message"]["content"], [], whole["finish_reason"])


def test_tokens_are_counted_as_openai_counts_them():
    usage = completion(message(text("a"), usage=USAGE), 7, False)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (15, 5, 20)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
    assert "usage" not in completion(message(text("a")), 7, False)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({}, Kind.GARBLED),
        ({"content": "text"}, Kind.GARBLED),
        ({"content": [1]}, Kind.GARBLED),
        ({"content": [text("a")]}, Kind.CUT),
        (message(text("a"), stop=None), Kind.CUT),
    ],
)
def test_a_message_that_is_none(answer, kind):
    with pytest.raises(ProviderFailed) as caught:
        completion(answer, 7, False)
    assert caught.value.kind is kind


def test_an_error_in_the_stream():
    chunks = AnthropicChunks(7, False)
    value = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with pytest.raises(ErrorInside) as caught:
        chunks.take(event(value))
    assert caught.value.error == value["error"]


def test_a_stream_that_is_cut_is_not_finished():
    chunks = AnthropicChunks(7, False)
    for value in list(streamed([text("abcdef")], "end_turn"))[:-2]:
        chunks.take(event(value))
    assert chunks.begun
    assert not chunks.finished


ODD = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "text", "stop_reason", "name", "partial_json"]), inner, max_size=4
        )
    ),
    max_leaves=6,
)
TYPES = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "ping",
]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(TYPES)},
            optional={"index": ODD, "delta": ODD, "message": ODD, "content_block": ODD, "usage": ODD},
        ),
        max_size=6,
    )
)
def test_no_event_makes_it_crash(values):
    chunks = AnthropicChunks(7, True)
    for value in values:
        for chunk in chunks.take(event(value)) or ():
            json.dumps(chunk)
