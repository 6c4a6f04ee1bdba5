"""The key of a request in the exact cache, and which requests and answers may be kept under one.

Two requests share a key when a provider could not tell them apart: order of fields and `1` against `1.0` do
not count, every other difference does. What a provider does with a field that we do not know is unknown: it
counts.
"""

import hashlib
import json
import re
from collections.abc import Collection
from typing import Any

import msgspec

SCHEMA = "1"
"""Version of this file's canonical form: another version finds nothing of this one's."""

UNHEARD = frozenset(
    {"stream", "stream_options", "user", "metadata", "store", "api_key", "service_tier"}
    | {"safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
)
"""Fields that change how an answer is delivered, billed or attributed, never what it says."""

DIGESTED = 1_024
"""Characters above which a data URL or the data of audio stands in the key as its digest."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_EXACT = float(2**63)


def request_key(body: dict[str, Any], tenant: str, template: str) -> str:
    """64 hex digits. `tenant`: whom answers are shared among; `template`: version of the prompt's template.

    >>> one = request_key({"model": "m", "temperature": 0, "stream": True}, "t", "")
    >>> one == request_key({"temperature": 0.0, "model": "m"}, "t", "")
    True
    >>> one == request_key({"model": "m"}, "t", "")
    False
    """
    heard = {name: _plain(value) for name, value in body.items() if value is not None and name not in UNHEARD}
    purpose = _purpose(body)
    # Each part is JSON and has no raw NUL in it: no part can pretend to be two.
    parts = ([SCHEMA, tenant, template, purpose, heard.pop("model", None)], heard)
    try:
        return hashlib.sha256(b"\0".join(map(_encode, parts))).hexdigest()
    except (UnicodeEncodeError, TypeError, OverflowError, msgspec.MsgspecError):
        return hashlib.sha256(b"\0".join(map(_escaped, parts))).hexdigest()


def _purpose(body: dict[str, Any]) -> Any:
    """The one thing in `metadata` that an answer depends on: the extractive model summarises by it."""
    metadata = body.get("metadata")
    return metadata.get("purpose") if isinstance(metadata, dict) else None


def _plain(value: Any) -> Any:
    """`value` with one form for each number, and large data as its digest."""
    kind = type(value)
    if kind is str:
        if len(value) > DIGESTED and value.startswith("data:"):
            return _digest(value)
        return value
    if kind is dict:
        # A short text is what most fields are, and stays as it is.
        return {
            name: item if type(item) is str and len(item) <= DIGESTED else _field(name, item)
            for name, item in value.items()
        }
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]
    if kind is float:
        if -_EXACT < value < _EXACT:
            return int(value) if value.is_integer() else value
        # JSON has no NaN and no infinity, and msgspec would write null.
        return value if value - value == 0.0 else {"\0": repr(value)}
    if kind is bytes or kind is bytearray:
        return _digest(value.decode("latin-1"))
    return value


def _field(name: Any, value: Any) -> Any:
    if name == "data" and type(value) is str and len(value) > DIGESTED:
        return _digest(value)
    return _plain(value)


def _digest(data: str) -> dict[str, str]:
    """An object, so that no text can be mistaken for it."""
    return {"\0": hashlib.sha256(data.encode("utf-8", "surrogatepass")).hexdigest()}


def _escaped(part: Any) -> bytes:
    """For what has no UTF-8 (lone surrogates) or no place in msgspec's JSON; marked, so no key is shared."""
    return b"~" + json.dumps(part, sort_keys=True, ensure_ascii=True, default=repr).encode()


def is_cacheable(body: dict[str, Any], allow_sampled: bool = False) -> bool:
    """Whether an answer to this request may serve the next one like it.

    Embeddings: always. Chat: at temperature 0. An absent temperature is the provider's default, 1, so that
    it counts as sampled, as do `n` > 1 (somebody wants to choose) and a `seed` (providers promise best
    effort). Sampled answers are kept only with `allow_sampled`. Tools that the provider runs itself (web
    search, code) see a world that changes: never. Our caller's own functions are no obstacle here; see
    is_storable.
    """
    if "messages" not in body:
        return "input" in body
    if body.get("web_search_options") is not None:
        return False
    tools: list[Any] | None = body.get("tools")
    if tools and any(
        not isinstance(tool, dict) or tool.get("type", "function") not in ("function", "custom")
        for tool in tools
    ):
        return False
    if allow_sampled:
        return True
    temperature = body.get("temperature")
    single = body.get("n") in (None, 1)
    return (
        single
        and isinstance(temperature, int | float)
        and not isinstance(temperature, bool)
        and temperature == 0
    )


def is_storable(answer: dict[str, Any], models: Collection[str] = (), tool_calls: bool = False) -> bool:
    """Whether an answer is whole and good: nothing else may be kept.

    Every choice ended by itself (`stop`; `tool_calls` only when told so, since a call has effects that a
    second one must not repeat unasked), says something, refuses nothing; no error beside it; not degraded,
    not refused by the extractive model; written by one of `models` (or a dated version of it) where those
    are given.
    """
    if answer.get("error") or answer.get("refused") or answer.get("degraded"):
        return False
    if models and not any(same_model(asked, str(answer.get("model", ""))) for asked in models):
        return False
    if answer.get("object") == "list":
        vectors = answer.get("data")
        return isinstance(vectors, list) and bool(vectors) and all(map(_embedded, vectors))
    choices = answer.get("choices")
    return bool(choices) and isinstance(choices, list) and all(_whole(one, tool_calls) for one in choices)


def _embedded(one: Any) -> bool:
    return isinstance(one, dict) and bool(one.get("embedding"))


def _whole(choice: Any, tool_calls: bool) -> bool:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict) or message.get("refusal") or choice.get("error"):
        return False
    called = message.get("tool_calls") or message.get("function_call")
    if called or choice.get("finish_reason") in ("tool_calls", "function_call"):
        return (
            bool(called)
            and tool_calls
            and choice.get("finish_reason") in ("tool_calls", "function_call", "stop")
        )
    content = message.get("content")
    said = content.strip() if isinstance(content, str) else content or message.get("audio")
    return choice.get("finish_reason") == "stop" and bool(said)


_DATED = re.compile(
    r"[-@:](?:latest|v?[0-9]{3,8}(?:-[0-9]{2}){0,2}|[0-9]{4}-[0-9]{2}-[0-9]{2}|preview(?:-[0-9-]+)?)$"
)


def same_model(asked: str, answered: str) -> bool:
    """Whether the model that answered is the one that was asked for, or a dated version of it.

    >>> same_model("gpt-4o", "gpt-4o-2024-08-06"), same_model("gpt-4o", "gpt-4o-mini")
    (True, False)
    >>> same_model("openai/gpt-4o", "gpt-4o"), same_model("sonnet-4-latest", "sonnet-4-20250514")
    (True, True)
    """
    return asked == answered or _undated(asked) == _undated(answered)


def _undated(model: str) -> str:
    return _DATED.sub("", model.rsplit("/", 1)[-1].lower())
