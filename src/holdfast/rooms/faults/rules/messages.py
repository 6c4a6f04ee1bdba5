"""Messages as Anthropic writes them, in one body and as a stream of typed events."""

from collections.abc import Iterator
from typing import Any

from holdfast.kernel.codec import decode_json, encode_json
from holdfast.rooms.faults.rules.answers import Answer
from holdfast.rooms.faults.rules.asks import Ask
from holdfast.rooms.faults.rules.names import Fault
from holdfast.rooms.faults.rules.replies import (
    CONTENT,
    DONE,
    FINISH,
    LEAD,
    SSE,
    Part,
    Reply,
    plain_reply,
)

_STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}


def messages_reply(ask: Ask, fault: Fault, said: Answer) -> Reply:
    """`said` as a message, or as the events of its stream."""
    if ask.stream:
        return Reply(SSE, stream=True, number=said.number, events=list(_parts(said)))
    stop = None if fault.name == "no-finish" else _STOPS[said.finish]
    body = {**_message(said), "content": _blocks(said), "stop_reason": stop}
    if said.has_usage:
        body["usage"] = {"input_tokens": said.prompt_tokens, "output_tokens": said.completion_tokens}
    return plain_reply(encode_json(body), said.number)


def _message(said: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_{said.number}",
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _blocks(said: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if said.reasoning:
        blocks.append({"type": "thinking", "thinking": "".join(said.reasoning), "signature": said.number})
    if said.tool:
        # Cut off by max_tokens, the arguments are no JSON: then the provider has no input to give.
        whole = said.finish == "tool_calls"
        blocks.append({**_tool(said), "input": decode_json(said.text) if whole else {}})
    else:
        blocks.append({"type": "text", "text": said.text})
    return blocks


def _tool(said: Answer) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{said.number}", "name": said.tool, "input": {}}


def _parts(said: Answer) -> Iterator[Part]:
    start = _message(said)
    if said.has_usage:
        start["usage"] = {"input_tokens": said.prompt_tokens, "output_tokens": 1}
    yield _part(LEAD, "message_start", message=start)
    at = 0
    if said.reasoning:
        yield from _block(
            at, {"type": "thinking", "thinking": "", "signature": ""}, "thinking", said.reasoning
        )
        at = 1
    if said.tool:
        yield from _block(at, _tool(said), "partial_json", said.choices[0])
    else:
        yield from _block(at, {"type": "text", "text": ""}, "text", said.choices[0])
    ended: dict[str, Any] = {"delta": {"stop_reason": _STOPS[said.finish], "stop_sequence": None}}
    if said.has_usage:
        ended["usage"] = {"output_tokens": said.completion_tokens}
    yield _part(FINISH, "message_delta", **ended)
    yield _part(DONE, "message_stop")


_DELTAS = {"thinking": "thinking_delta", "text": "text_delta", "partial_json": "input_json_delta"}


def _block(index: int, opened: dict[str, Any], field: str, pieces: tuple[str, ...]) -> Iterator[Part]:
    yield _part(LEAD, "content_block_start", index=index, content_block=opened)
    if index == 0:
        yield _part(LEAD, "ping")
    for piece in pieces:
        yield _part(CONTENT, "content_block_delta", index=index, delta={"type": _DELTAS[field], field: piece})
    yield _part(CONTENT, "content_block_stop", index=index)


def _part(kind: str, name: str, **members: Any) -> Part:
    return Part(kind, typed_event(name, {"type": name, **members}))


def typed_event(name: str, document: Any) -> bytes:
    """One server-sent event with its name."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode_json(document))
