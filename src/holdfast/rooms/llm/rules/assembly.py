"""One answer from the chunks of a stream, and the chunks from one answer; nothing is lost either way.

Text is concatenated whatever its field is called (`content`, `reasoning_content`, `refusal`, what comes next
year): a gateway that knows three names loses the fourth on a cache hit (LiteLLM issue 32068).
"""

from collections.abc import Iterable, Iterator
from typing import Any

Json = dict[str, Any]

SET = frozenset({"role", "id", "type", "name", "object", "format", "model", "signature"})
"""Texts inside a delta that come whole, from some providers with every chunk: the first one counts."""
EVERYWHERE = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
"""Fields of an answer that each of its chunks carries."""
PIECE = 160
"""Characters of a replayed delta, about; words are not split."""


class Assembly:
    """The answer so far. Feed it each chunk; ask `answer()` at any time, also when the stream broke."""

    __slots__ = ("_choices", "_top")

    def __init__(self) -> None:
        self._top: Json = {}
        self._choices: dict[int, Json] = {}

    def add(self, chunk: Json) -> None:
        """Take a `chat.completion.chunk` in; whatever has another shape is left out, never an error."""
        for name, value in chunk.items():
            if name == "choices":
                for choice in value if isinstance(value, list) else ():
                    if isinstance(choice, dict):
                        self._choice(choice)
            elif name == "object":
                self._top[name] = "chat.completion"
            elif name in ("id", "created", "model"):
                self._top[name] = self._top.get(name) or value
            elif value is not None or name not in self._top:
                self._top[name] = value

    @property
    def finished(self) -> bool:
        """Whether there is a choice, and each one has had its finish_reason: the answer is whole."""
        return bool(self._choices) and all(one["finish_reason"] for one in self._choices.values())

    @property
    def begun(self) -> bool:
        """Whether any delta has said something beyond its role."""
        return any(
            _says(value)
            for choice in self._choices.values()
            for name, value in choice["message"].items()
            if name != "role"
        )

    def answer(self) -> Json:
        """The `chat.completion` that the chunks so far make; a fresh object each time."""
        choices = [_told(self._choices[index]) for index in sorted(self._choices)]
        for choice in choices:
            for call in choice["message"].get("tool_calls") or ():
                call.pop("index", None)
        found = {name: _told(value) for name, value in self._top.items()}
        usage = {"usage": found.pop("usage")} if "usage" in found else {}
        return {**found, "object": "chat.completion", "choices": choices, **usage}

    def _choice(self, choice: Json) -> None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if (known := self._choices.get(index)) is None:
            message: Json = {"role": "assistant", "content": None}
            known = self._choices[index] = {"index": index, "message": message, "finish_reason": None}
        for name, value in choice.items():
            if name == "delta":
                if isinstance(value, dict):
                    _merge(known["message"], value)
            elif name == "logprobs" and isinstance(value, dict) and isinstance(known.get(name), dict):
                _merge(known[name], value)
            elif name != "index" and (value is not None or name not in known):
                known[name] = _taken(value)


class _Text:
    """Pieces of a text: adding to a str copies it, and a long answer has ten thousand pieces."""

    __slots__ = ("pieces",)

    def __init__(self, piece: str) -> None:
        self.pieces = [piece]


def _says(value: Any) -> bool:
    return any(value.pieces) if isinstance(value, _Text) else bool(value)


def assemble(chunks: Iterable[Json]) -> Json:
    """The answer that these chunks make."""
    assembly = Assembly()
    for chunk in chunks:
        assembly.add(chunk)
    return assembly.answer()


def _merge(known: Json, delta: Json) -> None:
    for name, value in delta.items():
        old = known.get(name)
        if name == "tool_calls" and value is not None and not isinstance(value, list):
            continue
        if name == "tool_calls" and value:
            known[name] = _calls(old if isinstance(old, list) else [], value)
        elif old is None:
            if value is not None or name not in known:
                known[name] = _taken(value, name)
        elif value is None:
            continue
        elif isinstance(old, _Text) and isinstance(value, str):
            old.pieces.append(value)
        elif isinstance(old, str) and isinstance(value, str):
            known[name] = old or value
        elif isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            _extend(old, value)
        else:
            known[name] = _taken(value, name)


def _taken(value: Any, name: str = "") -> Any:
    """A delta's value as it is kept: our own copy, texts ready to be continued."""
    if isinstance(value, str):
        return value if name in SET else _Text(value)
    if isinstance(value, dict):
        return {key: _taken(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_taken(item) for item in value]
    return value


def _extend(old: list[Any], new: list[Any]) -> None:
    """Append; an item with the `index` of one that is there continues it (reasoning details)."""
    for item in new:
        index = item.get("index") if isinstance(item, dict) else None
        open_ = None if index is None else next((one for one in old if _at(one) == index), None)
        if open_ is None:
            old.append(_taken(item))
        else:
            _merge(open_, item)


def _at(item: Any) -> Any:
    return item.get("index") if isinstance(item, dict) else None


def _calls(old: list[Any], new: list[Any]) -> list[Any]:
    """Tool calls continue by index. Another id under a known index is another call: some providers number
    every call 0; a piece with neither continues the last.
    """
    for item in new:
        if not isinstance(item, dict):
            continue
        index, name = item.get("index"), item.get("id")
        known = (one for one in reversed(old) if isinstance(one, dict))
        open_ = next((one for one in known if index is None or one.get("index") == index), None)
        if open_ is None or (name and open_.get("id") and open_["id"] != name):
            old.append(_taken(item))
        else:
            _merge(open_, {key: value for key, value in item.items() if key != "index"})
    return old


def _told(value: Any) -> Any:
    if isinstance(value, _Text):
        return "".join(value.pieces)
    if isinstance(value, dict):
        return {name: _told(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_told(item) for item in value]
    return value


def replay(answer: Json) -> Iterator[Json]:
    """The stream of a whole answer: `assemble(replay(answer)) == answer`.

    For each choice the role first, then every field of its message (texts in pieces of PIECE, content
    last), then the finish_reason; at the end the usage, in a chunk without choices, where there is one. An
    answer is what Assembly makes: a message with a role and a content, tool calls without an index.
    """
    frame = {name: answer[name] for name in EVERYWHERE if name in answer}
    frame["object"] = "chat.completion.chunk"
    rest = {
        name: value
        for name, value in answer.items()
        if name not in frame and name not in ("choices", "usage")
    }
    choices = answer.get("choices") or []
    for at, choice in enumerate(choices):
        index = choice.get("index", at)  # some providers leave it out
        for delta in _deltas(choice["message"]):
            yield {**frame, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
    for at, choice in enumerate(choices):
        last = {
            name: value for name, value in choice.items() if name not in ("index", "message", "finish_reason")
        }
        ended = {
            "index": choice.get("index", at),
            "delta": {},
            **last,
            "finish_reason": choice["finish_reason"],
        }
        yield {**frame, **(rest if at == len(choices) - 1 else {}), "choices": [ended]}
    if "usage" in answer or (rest and not choices):
        usage = {"usage": answer["usage"]} if "usage" in answer else {}
        yield {**frame, **({} if choices else rest), "choices": [], **usage}


def _deltas(message: Json) -> Iterator[Json]:
    first = {"role": message.get("role", "assistant")}
    names = [name for name in message if name not in ("role", "content", "tool_calls")]
    texts = [name for name in names if isinstance(message[name], str) and name not in SET]
    for name in names:
        first[name] = "" if name in texts else message[name]
    first["content"] = "" if isinstance(message.get("content"), str) else message.get("content")
    if "tool_calls" in message and not message["tool_calls"]:
        first["tool_calls"] = message["tool_calls"]
    yield first
    for name in [*texts, *(["content"] if first["content"] == "" else [])]:
        for piece in pieces(message[name]):
            yield {name: piece}
    for index, call in enumerate(message.get("tool_calls") or ()):
        yield from _call(index, call)


def _call(index: int, call: Json) -> Iterator[Json]:
    """A tool call as OpenAI streams it: head, then its arguments in pieces."""
    function = call.get("function")
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(arguments, str):
        yield {"tool_calls": [{**call, "index": index}]}
        return
    yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
    for piece in pieces(arguments):
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of about PIECE characters, cut after white space where there is some."""
    start = 0
    while start < len(text):
        end = start + PIECE
        if end < len(text):
            space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = space + 1 if space > start else end
        yield text[start:end]
        start = end
