"""A streamed chat in OpenAI's shape: what is a chunk, and when every choice has ended."""

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.rooms.llm.rules.bodies import decoded
from holdfast.rooms.llm.rules.replies import are_calls, garbled
from holdfast.rooms.llm.rules.sse import Event

DONE = b"[DONE]"


class ErrorInside(Exception):
    """The stream carries an error instead of a chunk: `error` is what stands there."""

    def __init__(self, error: object) -> None:
        super().__init__("an error inside the stream")
        self.error = error


class OpenAIChunks:
    """Events of one stream; `choices` is how many were asked for."""

    __slots__ = ("_begun", "_ended", "_wanted", "begun", "over")

    def __init__(self, choices: int = 1) -> None:
        self.over = False
        self.begun = False
        self._wanted = choices
        self._begun: set[int] = set()
        self._ended: set[int] = set()

    @property
    def finished(self) -> bool:
        """Whether every choice that was asked for, and every one that has begun, has its finish_reason."""
        return len(self._ended) >= self._wanted and self._begun <= self._ended

    def take(self, event: Event) -> Iterable[dict[str, Any]] | None:
        """The chunk of an event, unchanged; None when it is none. Raises ErrorInside."""
        if event.data == DONE:
            self.over = True
            return ()
        if not event.data.strip():
            return ()  # a sign of life
        chunk = read(event)
        if chunk is not None and self.count(chunk):
            return (chunk,)
        # Events with a name of their own are the provider's business: pings, timings.
        return None if chunk is None or event.name == "message" else ()

    def count(self, chunk: dict[str, Any]) -> bool:
        """Whether this object is a chunk; if so, its choices are counted.

        Raises ProviderFailed(GARBLED) for a chunk with a delta of a shape that nobody can read.
        """
        choices = chunk.get("choices")
        if choices is None:
            choices = []
        if not isinstance(choices, list) or not (choices or "usage" in chunk or "id" in chunk):
            return False
        if not all(
            isinstance(choice, dict) and isinstance(choice.get("index", 0), int) for choice in choices
        ):
            return False
        if not all(is_said(choice.get("delta")) for choice in choices):
            raise garbled("a choice of a chunk is damaged: what it said is lost", code="damaged")
        self.begun = True
        for choice in choices:
            index = choice.get("index", 0)
            self._begun.add(index)
            if choice.get("finish_reason"):
                self._ended.add(index)
        return True


def is_said(delta: object) -> bool:
    """Whether a delta can be read: null or an object, whose tool calls are null or a list of objects."""
    return delta is None or (isinstance(delta, dict) and are_calls(delta.get("tool_calls")))


def read(event: Event) -> dict[str, Any] | None:
    """The JSON object of an event; None when it is none. Raises ErrorInside for one that is an error.

    Raises ProviderFailed(GARBLED) for an object that is damaged: it was a chunk, what it said is lost, and an
    answer without it would pass for whole.
    """
    try:
        found = decoded(event.data)
    except (ValueError, RecursionError):
        if event.name == "error":
            raise ErrorInside(event.data.decode("utf-8", "replace")) from None
        if event.data.lstrip()[:1] == b"{":
            raise garbled("a chunk of the stream is damaged: what it said is lost", code="damaged") from None
        return None
    if not isinstance(found, dict):
        return None
    if found.get("error") or event.name == "error":
        raise ErrorInside(found.get("error") or found)
    return found


def choices_of(body: Mapping[str, Any]) -> int:
    """How many choices a chat asks for."""
    wanted = body.get("n")
    return wanted if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted > 0 else 1
