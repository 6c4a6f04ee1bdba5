"""Whether a 200 is an answer: JSON, a chat whose choices have all ended, vectors that can be used."""

import base64
import binascii
import math
import struct
from collections.abc import Mapping
from typing import Any

from holdfast.rooms.llm.rules.bodies import decoded
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

Body = dict[str, Any]


def garbled(message: str, status: int = 200, code: str = "") -> ProviderFailed:
    """A 2xx that is no answer; `code` says what is wrong with it."""
    return ProviderFailed(Kind.GARBLED, message, status=status, code=code)


def content_type(headers: Mapping[bytes, bytes]) -> str:
    """The media type in lower case without parameters; empty when there is none."""
    return headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower().decode("latin-1")


def is_json(kind: str) -> bool:
    """Whether a media type may hold JSON; a missing one may."""
    return kind in ("application/json", "") or (kind.startswith("application/") and kind.endswith("+json"))


def unpacked(headers: Mapping[bytes, bytes]) -> None:
    """We ask for no compression; a proxy that compresses all the same is found here, not as broken JSON."""
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if coding not in (b"identity", b""):
        raise garbled("the answer is compressed, which was not asked for", code="content_encoding")


def document(status: int, headers: Mapping[bytes, bytes], body: bytes) -> Body:
    """The JSON object of a 2xx answer; else GARBLED with what it is instead."""
    unpacked(headers)
    kind = content_type(headers)
    if not body.strip():
        raise garbled("the answer is empty", status, "empty")
    if not is_json(kind):
        code = "html" if "html" in kind or body.lstrip()[:1] == b"<" else "content_type"
        raise garbled(f"the answer is {kind}, not JSON", status, code)
    try:
        found = decoded(body)
    except (ValueError, RecursionError):
        code = "html" if body.lstrip()[:1] == b"<" else "not_json"
        raise garbled("the answer is not JSON", status, code) from None
    if not isinstance(found, dict):
        raise garbled("the answer is no JSON object", status, "not_an_object")
    return found


def whole_chat(answer: Body) -> Body:
    """A chat completion in which every choice has its message and came to its end."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise garbled("the answer has no choices", code="no_choices")
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise garbled("a choice has no message", code="no_message")
        if not are_calls(choice["message"].get("tool_calls")):
            raise garbled("the tool calls of a choice are no list of objects", code="tool_calls")
        if not choice.get("finish_reason"):
            raise ProviderFailed(Kind.CUT, "a choice has no finish_reason", status=200)
    return answer


def are_calls(value: object) -> bool:
    """Whether it can stand for tool calls: a list of objects, or null."""
    return value is None or (isinstance(value, list) and all(isinstance(call, dict) for call in value))


def inputs_of(body: Mapping[str, Any]) -> int:
    """How many vectors an embeddings request asks for: a text or a list of token ids is one."""
    given = body.get("input")
    if isinstance(given, list) and not (given and isinstance(given[0], int)):
        return len(given)
    return 1


def vectors(answer: Body, asked: Mapping[str, Any]) -> Body:
    """An embeddings list with one finite vector an input, in their order, in the format asked for.

    Raises GARBLED: a missing vector, one of another length or with a NaN would be stored and searched.
    """
    data = answer.get("data")
    wanted = inputs_of(asked)
    if not isinstance(data, list) or len(data) != wanted:
        count = len(data) if isinstance(data, list) else "no"
        raise garbled(f"{count} vectors for {wanted} inputs", code="vectors")
    packed = asked.get("encoding_format") == "base64"
    size = asked.get("dimensions")
    rows: list[Body | None] = [None] * wanted
    for place, row in enumerate(data):
        if not isinstance(row, dict):
            raise garbled("a vector is no object", code="vectors")
        index = row.get("index", place)
        if not isinstance(index, int) or not 0 <= index < wanted or rows[index] is not None:
            raise garbled("the vectors are not numbered like their inputs", code="vectors")
        vector = row.get("embedding")
        numbers: Any = unpacked_vector(vector) if isinstance(vector, str) else vector
        if not finite(numbers):
            raise garbled("a vector is not a list of finite numbers", code="vectors")
        if size is None:
            size = len(numbers)
        if len(numbers) != size:
            raise garbled(f"a vector has {len(numbers)} numbers, not {size}", code="vectors")
        rows[index] = row if packed or not isinstance(vector, str) else {**row, "embedding": numbers}
    return answer if rows == data else {**answer, "data": rows}


def unpacked_vector(text: str) -> list[float]:
    """The numbers of a base64 vector: 32-bit floats, little-endian."""
    try:
        raw = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    except (binascii.Error, struct.error, ValueError):
        raise garbled("a vector is not base64 of 32-bit floats", code="vectors") from None


def finite(numbers: Any) -> bool:
    """Whether it is a list of numbers, not empty, none of them infinite or NaN."""
    if not isinstance(numbers, list) or not numbers:
        return False
    try:
        # One NaN or infinity anywhere shows in the sum.
        return math.isfinite(sum(numbers))
    except (TypeError, OverflowError):
        return False
