"""Chat completions as OpenAI writes them, in one body and as a stream."""

from collections.abc import Iterator
from typing import Any

from holdfast.kernel.codec import encode_json
from holdfast.rooms.faults.rules.answers import Answer
from holdfast.rooms.faults.rules.asks import Ask
from holdfast.rooms.faults.rules.names import Fault
from holdfast.rooms.faults.rules.replies import (
    CONTENT,
    DONE,
    FINISH,
    LEAD,
    SSE,
    USAGE,
    Part,
    Reply,
    plain_reply,
)

CREATED = 1_750_000_000
"""The stamp of every answer: the same request gets the same bytes."""


def chat_reply(ask: Ask, fault: Fault, said: Answer) -> Reply:
    """`said` as a chat completion, or as its chunks."""
    if ask.stream:
        return Reply(SSE, stream=True, number=said.number, events=list(_parts(ask, said)))
    finish = None if fault.name == "no-finish" else said.finish
    body = {
        "id": f"chatcmpl-{said.number}",
        "object": "chat.completion",
        "created": CREATED,
        "model": said.model,
        "choices": [
            {
                "index": index,
                "message": _message(said, pieces, index),
                "logprobs": None,
                "finish_reason": finish,
            }
            for index, pieces in enumerate(said.choices)
        ],
    }
    if said.has_usage:
        body["usage"] = _usage(said)
    return plain_reply(encode_json(body), said.number)


def _message(said: Answer, pieces: tuple[str, ...], index: int) -> dict[str, Any]:
    text = "".join(pieces)
    message: dict[str, Any] = {"role": "assistant", "content": None if said.tool else text, "refusal": None}
    if said.reasoning:
        message["reasoning_content"] = "".join(said.reasoning)
    if said.tool:
        function = {"name": said.tool, "arguments": text}
        message["tool_calls"] = [{"id": _call_id(said, index), "type": "function", "function": function}]
    return message


def _call_id(said: Answer, index: int) -> str:
    return f"call_{said.number[:20]}{index}"


def _usage(said: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.completion_tokens,
        "total_tokens": said.prompt_tokens + said.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(said.reasoning) * len(said.choices)},
    }


def _parts(ask: Ask, said: Answer) -> Iterator[Part]:
    with_usage = ask.with_usage and said.has_usage
    frame: dict[str, Any] = {
        "id": f"chatcmpl-{said.number}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": said.model,
        "choices": [],
    }
    if with_usage:
        frame["usage"] = None

    def part(kind: str, index: int, delta: dict[str, Any], finish: str | None = None) -> Part:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return Part(kind, event({**frame, "choices": [choice]}))

    for index in range(len(said.choices)):
        yield part(LEAD, index, {"role": "assistant", "content": None if said.tool else ""})
        for thought in said.reasoning:
            yield part(CONTENT, index, {"reasoning_content": thought})
        if said.tool:
            yield part(CONTENT, index, {"tool_calls": [_opened_call(said, index)]})
    for index, piece in _in_turns(said.choices):
        fragment = {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        yield part(CONTENT, index, fragment if said.tool else {"content": piece})
    for index in range(len(said.choices)):
        yield part(FINISH, index, {}, said.finish)
    if with_usage:
        yield Part(USAGE, event({**frame, "usage": _usage(said)}))
    yield Part(DONE, b"data: [DONE]\n\n")


def _opened_call(said: Answer, index: int) -> dict[str, Any]:
    function = {"name": said.tool, "arguments": ""}
    return {"index": 0, "id": _call_id(said, index), "type": "function", "function": function}


def _in_turns(choices: tuple[tuple[str, ...], ...]) -> Iterator[tuple[int, str]]:
    """The pieces of all choices, one of each in turn, as a provider streams them."""
    for at in range(max(map(len, choices))):
        for index, pieces in enumerate(choices):
            if at < len(pieces):
                yield index, pieces[at]


def event(document: Any) -> bytes:
    """One server-sent event without a name."""
    return b"data: %b\n\n" % encode_json(document)
