"""What is asked of a model and what came of it, as the room passes it on. Bodies are in OpenAI's shape."""

from typing import Any

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.rules.problems import NotAPrompt

Body = dict[str, Any]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request for an answer, checked, with whose it is and how long it may take."""

    body: Body
    model: str
    """The public name."""
    payer: Payer = Payer()
    """On whose account it goes; answers are kept for its tenant alone."""
    purpose: str = "answer"
    template: str = ""
    first_token_s: float | None = None
    total_s: float | None = None
    reads_cache: bool = True
    writes_cache: bool = True
    trace_id: str = ""
    request_id: str = ""


class Answered(msgspec.Struct, kw_only=True):
    """One answer and how it came about. Of a stream the last fields are known at its end only."""

    source: str
    """`fresh`, `cached`, `stale`, `coalesced`, `semantic` or `degraded`."""
    provider: str = ""
    deployment: str = ""
    model: str = ""
    """The model that answered, as the provider names it."""
    attempts: int = 0
    upstream_s: float = 0.0
    """Until the answer, or a stream's first content, was here."""
    age_s: float = 0.0
    body: Body = {}
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    cost: int = 0
    """In nano-units of the price table's currency."""
    row: str = ""
    """The ledger's row that paid for it; empty where it is not known (yet)."""


def check_body(body: Body) -> None:
    """Raises NotAPrompt for a chat body that nobody could answer; unknown fields pass."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise NotAPrompt("`messages` is missing or empty", hint="send a list of messages", param="messages")
    for at, message in enumerate(messages):
        _check_message(at, message)
    for name, most in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise NotAPrompt(f"`{name}` is not a number", hint=f"send 0 to {most}", param=name)
        if value is not None and not 0 <= value <= most:
            raise NotAPrompt(f"`{name}` is {value}", hint=f"send 0 to {most}", param=name)
    _check_counts(body)
    _check_shapes(body)


def _check_message(at: int, message: Any) -> None:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise NotAPrompt(
            f"messages[{at}] has no role", hint="each message is an object with role and content",
            param=f"messages[{at}].role",
        )  # fmt: skip
    content, calls = message.get("content"), message.get("tool_calls")
    if content is not None and not isinstance(content, str | list):
        raise NotAPrompt(
            f"messages[{at}].content is neither text nor a list of parts", hint="send text",
            param=f"messages[{at}].content",
        )  # fmt: skip
    if calls is not None and not _is_list_of(dict, calls):
        raise NotAPrompt(
            f"messages[{at}].tool_calls is no list of objects", hint="send the calls as the model gave them",
            param=f"messages[{at}].tool_calls",
        )  # fmt: skip


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def check_input(body: Body) -> None:
    """Raises NotAPrompt for an embeddings body that nobody could answer; unknown fields pass."""
    given = body.get("input")
    if not isinstance(given, str | list) or not given:
        raise NotAPrompt("`input` is missing or empty", hint="send text or a list of texts", param="input")
    _check_counts(body)


def _check_counts(body: Body) -> None:
    """Whatever an estimate of the answer's length is made of."""
    for name, most in (("n", 128), ("max_tokens", None), ("max_completion_tokens", None)):
        value = body.get(name)
        if value is None:
            continue
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < 1 or (most is not None and value > most):
            hint = "send a whole number above 0" if most is None else f"send a whole number from 1 to {most}"
            raise NotAPrompt(f"`{name}` is {value!r:.40}", hint=hint, param=name)


def _check_shapes(body: Body) -> None:
    """What our own rules look into on the way: its insides are the provider's to judge."""
    for name in ("tools", "passages"):
        if body.get(name) is not None and not isinstance(body[name], list):
            raise NotAPrompt(f"`{name}` is no list", hint="send a list, or leave it out", param=name)
    for at, tool in enumerate(body.get("tools") or ()):
        if not isinstance(tool, dict):
            raise NotAPrompt(
                f"tools[{at}] is no object", hint="each tool is an object with a type", param=f"tools[{at}]"
            )
    for name in ("stream_options", "response_format"):
        if body.get(name) is not None and not isinstance(body[name], dict):
            raise NotAPrompt(f"`{name}` is no object", hint="send an object, or leave it out", param=name)
    stop = body.get("stop")
    if stop is not None and not isinstance(stop, str) and not _is_list_of(str, stop):
        raise NotAPrompt("`stop` is neither text nor a list of texts", hint="send texts", param="stop")


def most_tokens(body: Body, otherwise: int) -> int:
    """How many tokens the answer may take: what the caller allows for each choice, or `otherwise`."""
    allowed = body.get("max_completion_tokens") or body.get("max_tokens") or otherwise
    return int(allowed) * int(body.get("n") or 1)


def text_of(answer: Body) -> str:
    """The text of the first choice."""
    choices = answer.get("choices") or [{}]
    content = (choices[0].get("message") or {}).get("content")
    return content if isinstance(content, str) else ""


def text_answer(text: str, model: str, *, id: str, created: int) -> Body:
    """A `chat.completion` that says `text`."""
    message = {"role": "assistant", "content": text}
    return {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }


def has_content(chunk: Body) -> bool:
    """Whether a chunk says anything: more than a role, whatever the field is called, or that it has ended."""
    for choice in chunk.get("choices") or ():
        if choice.get("finish_reason"):
            return True
        delta = choice.get("delta")
        if isinstance(delta, dict) and any(value for name, value in delta.items() if name != "role"):
            return True
    return False


def sse(chunk: Body) -> bytes:
    """One event of the stream."""
    return b"data: " + encode_json(chunk) + b"\n\n"
