"""Anthropic's messages and stream events as chat completions and chunks in OpenAI's shape."""

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.rooms.llm.rules.anthropic_requests import FORMAT_TOOL
from holdfast.rooms.llm.rules.bodies import encoded
from holdfast.rooms.llm.rules.chunks import read
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.replies import garbled
from holdfast.rooms.llm.rules.sse import Event

Body = dict[str, Any]

FINISH: dict[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""OpenAI's finish_reason of each stop_reason; one that we do not know ends the turn."""


def usage(said: Mapping[str, Any]) -> Body:
    """Tokens as OpenAI counts them: what was read from or written to the cache is part of the prompt."""
    cached = _count(said, "cache_read_input_tokens")
    prompt = _count(said, "input_tokens") + cached + _count(said, "cache_creation_input_tokens")
    completion = _count(said, "output_tokens")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _count(said: Mapping[str, Any], name: str) -> int:
    value = said.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def completion(message: Body, created: int, in_format: bool) -> Body:
    """The chat completion of a whole message. Raises ProviderFailed (GARBLED, CUT).

    `in_format`: the arguments of FORMAT_TOOL are the answer.
    """
    content = message.get("content")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise garbled("the answer is no message with content", code="no_choices")
    reason = message.get("stop_reason")
    if not isinstance(reason, str) or not reason:
        raise ProviderFailed(Kind.CUT, "the message has no stop_reason", status=200)
    text, thought, calls = "", "", []
    for block in content:
        kind = block.get("type")
        if kind == "text":
            text += str(block.get("text") or "")
        elif kind == "thinking":
            thought += str(block.get("thinking") or "")
        elif kind == "tool_use" and in_format and block.get("name") == FORMAT_TOOL:
            text += _arguments(block)
        elif kind == "tool_use":
            calls.append(_call(block))
    told: Body = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if thought:
        told["reasoning_content"] = thought
    if calls:
        told["tool_calls"] = calls
    choice = {"index": 0, "message": told, "finish_reason": _finish(reason, in_format), "logprobs": None}
    found: Body = {
        "id": str(message.get("id", "")),
        "object": "chat.completion",
        "created": created,
        "model": str(message.get("model", "")),
        "choices": [choice],
    }
    if isinstance(message.get("usage"), dict):
        found["usage"] = usage(message["usage"])
    return found


def _finish(reason: str, in_format: bool) -> str:
    finish = FINISH.get(reason, "stop")
    return "stop" if in_format and finish == "tool_calls" else finish


def _arguments(block: Body) -> str:
    return encoded(block.get("input") or {}).decode()


def _call(block: Body) -> Body:
    function = {"name": str(block.get("name", "")), "arguments": _arguments(block)}
    return {"id": str(block.get("id", "")), "type": "function", "function": function}


class AnthropicChunks:
    """Events of one message, translated to chunks; the usage comes as a last chunk of its own."""

    def __init__(self, created: int, in_format: bool) -> None:
        self.over = False
        self.begun = False
        self.finished = False
        self._created = created
        self._in_format = in_format
        self._id = ""
        self._model = ""
        self._usage: Body = {}
        self._tools: dict[int, int] = {}
        """The number of each tool call under the index of its block."""
        self._bare: set[int] = set()
        """Blocks of tool calls to which no argument has come."""
        self._format: set[int] = set()
        """Blocks of FORMAT_TOOL."""

    def take(self, event: Event) -> Iterable[Body] | None:
        """The chunks of one event; None when it is malformed. Raises ErrorInside."""
        found = read(event)
        if found is None:
            return None
        index = found.get("index")
        index = index if isinstance(index, int) else 0
        match found.get("type"):
            case "message_start":
                return self._start(found.get("message"))
            case "content_block_start" if isinstance(found.get("content_block"), dict):
                return self._block(index, found["content_block"])
            case "content_block_delta" if isinstance(found.get("delta"), dict):
                return self._delta(index, found["delta"])
            case "content_block_stop":
                return self._block_over(index)
            case "message_delta":
                return self._end(found)
            case "message_stop":
                self.over = True
        # Pings, and what a later version of the API adds.
        return ()

    def _chunk(self, delta: Body, finish: str | None = None) -> Body:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**self._envelope(), "choices": [choice]}

    def _envelope(self) -> Body:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }

    def _start(self, message: Any) -> Iterable[Body] | None:
        if not isinstance(message, dict):
            return None
        self.begun = True
        self._id = str(message.get("id", ""))
        self._model = str(message.get("model", ""))
        self._count(message.get("usage"))
        return (self._chunk({"role": "assistant", "content": ""}),)

    def _block(self, index: int, block: Body) -> Iterable[Body]:
        if block.get("type") == "text" and block.get("text"):
            return (self._chunk({"content": str(block["text"])}),)
        if block.get("type") != "tool_use":
            return ()
        if self._in_format and block.get("name") == FORMAT_TOOL:
            self._format.add(index)
            return ()
        number = self._tools[index] = len(self._tools)
        self._bare.add(index)
        function = {"name": str(block.get("name", "")), "arguments": ""}
        call = {"index": number, "id": str(block.get("id", "")), "type": "function", "function": function}
        return (self._chunk({"tool_calls": [call]}),)

    def _delta(self, index: int, delta: Body) -> Iterable[Body]:
        kind = delta.get("type")
        if kind == "text_delta":
            return (self._chunk({"content": str(delta.get("text") or "")}),)
        if kind == "thinking_delta":
            return (self._chunk({"reasoning_content": str(delta.get("thinking") or "")}),)
        part = delta.get("partial_json")
        if kind != "input_json_delta" or not isinstance(part, str) or not part:
            return ()
        if index in self._format:
            return (self._chunk({"content": part}),)
        self._bare.discard(index)
        return (self._argument(index, part),)

    def _argument(self, index: int, part: str) -> Body:
        call = {"index": self._tools.get(index, 0), "function": {"arguments": part}}
        return self._chunk({"tool_calls": [call]})

    def _block_over(self, index: int) -> Iterable[Body]:
        if index not in self._bare:
            return ()
        # A call without arguments is `{}` in OpenAI's shape, not an empty text that is no JSON.
        self._bare.discard(index)
        return (self._argument(index, "{}"),)

    def _end(self, found: Body) -> Iterable[Body]:
        self._count(found.get("usage"))
        delta = found.get("delta")
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        if not isinstance(reason, str) or not reason:
            return ()
        self.finished = True
        last = self._chunk({}, _finish(reason, self._in_format))
        if not self._usage:
            return (last,)
        return (last, {**self._envelope(), "choices": [], "usage": usage(self._usage)})

    def _count(self, said: Any) -> None:
        """Counts are of the whole message so far, so that the last one said holds."""
        if isinstance(said, dict):
            self._usage.update({name: value for name, value in said.items() if value is not None})
