"""What a request asks for, the same for both dialects."""

from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.kernel.errors import Problem

OPENAI, ANTHROPIC = "openai", "anthropic"


class BadAsk(Problem):
    """The body is not one of this endpoint."""

    code = "invalid_request_error"
    status = 400


class Tool(msgspec.Struct, frozen=True):
    """The tool that is to be called, with the JSON schema of its arguments."""

    name: str
    schema: Mapping[str, Any] = {}


class Ask(msgspec.Struct, frozen=True):
    """One request for a chat answer."""

    model: str
    dialect: str = OPENAI
    prompt: str = ""
    """The text of the last message of the user."""
    prompt_tokens: int = 0
    stream: bool = False
    with_usage: bool = True
    """Whether a stream reports its usage."""
    n: int = 1
    most_tokens: int | None = None
    tool: Tool | None = None
    in_json: bool = False
    schema: Mapping[str, Any] | None = None


class _Message(msgspec.Struct):
    role: str = "user"
    content: Any = None


class _Shared(msgspec.Struct):
    model: str = ""
    messages: list[_Message] = []
    stream: bool | None = None
    max_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None


class _Chat(_Shared):
    stream_options: dict[str, Any] | None = None
    n: int | None = None
    max_completion_tokens: int | None = None
    response_format: dict[str, Any] | None = None


class _Messages(_Shared):
    system: Any = None


class _Embeddings(msgspec.Struct):
    model: str = ""
    input: str | list[str | int | list[int]] = ""
    dimensions: int | None = None
    encoding_format: str | None = None


class EmbeddingAsk(msgspec.Struct, frozen=True):
    """One request for vectors."""

    model: str
    texts: tuple[str, ...]
    dimensions: int
    base64: bool


DIMENSIONS = 256
MOST_DIMENSIONS = 8_192
MOST_CHOICES = 128

_chat = msgspec.json.Decoder(_Chat)
_messages = msgspec.json.Decoder(_Messages)
_embeddings = msgspec.json.Decoder(_Embeddings)


def chat_ask(body: bytes) -> Ask:
    """The ask of a chat completion; BadAsk says what is wrong with the body."""
    read: _Chat = _read(_chat, body)
    n = read.n or 1
    if not 1 <= n <= MOST_CHOICES:
        raise BadAsk(f"n is {n}, and must be from 1 to {MOST_CHOICES}")
    form = read.response_format or {}
    return Ask(
        model=read.model,
        prompt=_prompt(read.messages),
        prompt_tokens=_prompt_tokens(read.messages),
        stream=bool(read.stream),
        with_usage=bool((read.stream_options or {}).get("include_usage")),
        n=n,
        most_tokens=read.max_completion_tokens or read.max_tokens,
        tool=_wanted(_functions(read.tools), read.tool_choice, read.messages),
        in_json=form.get("type") in ("json_object", "json_schema"),
        schema=_mapping(_mapping(form.get("json_schema")).get("schema")) or None,
    )


def messages_ask(body: bytes) -> Ask:
    """The ask of an Anthropic message; BadAsk says what is wrong with the body."""
    read: _Messages = _read(_messages, body)
    tools = [Tool(str(tool.get("name", "")), _mapping(tool.get("input_schema"))) for tool in read.tools or ()]
    return Ask(
        model=read.model,
        dialect=ANTHROPIC,
        prompt=_prompt(read.messages),
        prompt_tokens=_prompt_tokens(read.messages) + _tokens(_text(read.system)),
        stream=bool(read.stream),
        most_tokens=read.max_tokens,
        tool=_wanted(tools, read.tool_choice, read.messages),
    )


def embedding_ask(body: bytes) -> EmbeddingAsk:
    """The ask of an embedding; BadAsk says what is wrong with the body."""
    read: _Embeddings = _read(_embeddings, body)
    given = read.input
    inputs: list[Any] = given if isinstance(given, list) else [given]
    if inputs and isinstance(inputs[0], int):
        inputs = [inputs]
    dimensions = DIMENSIONS if read.dimensions is None else read.dimensions
    if not 2 <= dimensions <= MOST_DIMENSIONS:
        raise BadAsk(f"dimensions is {dimensions}, and must be from 2 to {MOST_DIMENSIONS}")
    if read.encoding_format not in (None, "float", "base64"):
        raise BadAsk(f"encoding_format is {read.encoding_format!r}, and must be float or base64")
    texts = tuple(one if isinstance(one, str) else " ".join(map(str, one)) for one in inputs)
    if not texts or "" in texts:
        raise BadAsk("input is empty")
    return EmbeddingAsk(read.model, texts, dimensions, read.encoding_format == "base64")


def tokens_of(texts: tuple[str, ...]) -> int:
    """What the texts count for as input."""
    return sum(map(_tokens, texts))


def _read(decoder: Any, body: bytes) -> Any:
    try:
        read = decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadAsk(f"the body cannot be read: {error}") from None
    if not read.model:
        raise BadAsk("you must provide a model")
    return read


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(content: Any) -> str:
    """The text of a content that is a text or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _prompt(messages: list[_Message]) -> str:
    for message in reversed(messages):
        if message.role == "user" and (text := _text(message.content)):
            return text
    return ""


def _tokens(text: str) -> int:
    return (len(text) + 3) // 4


def _prompt_tokens(messages: list[_Message]) -> int:
    return sum(3 + _tokens(_text(message.content)) for message in messages)


def _functions(tools: list[dict[str, Any]] | None) -> list[Tool]:
    functions = [_mapping(tool.get("function")) for tool in tools or ()]
    return [Tool(str(one.get("name", "")), _mapping(one.get("parameters"))) for one in functions]


def _wanted(tools: list[Tool], choice: Any, messages: list[_Message]) -> Tool | None:
    """The tool to call, when there are tools and `tool_choice` is given and not against it.

    With `auto` the answer to a tool's result is text, or an agent would never come to an end.
    """
    named = _mapping(choice)
    kind = named.get("type", choice)
    if not tools or kind in (None, "none"):
        return None
    if kind == "auto" and messages and _is_result(messages[-1]):
        return None
    name = named.get("name") or _mapping(named.get("function")).get("name")
    return next((tool for tool in tools if tool.name == name), tools[0])


def _is_result(message: _Message) -> bool:
    parts = message.content if isinstance(message.content, list) else ()
    return message.role == "tool" or any(_mapping(part).get("type") == "tool_result" for part in parts)
