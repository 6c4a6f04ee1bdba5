"""What the model is given: who it is, what is known, what was said lately, and what is asked now."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from holdfast.kernel.text.graphemes import shorten, size
from holdfast.rooms.conversations.rules.state import WINDOW, Exchange, State
from holdfast.rooms.conversations.rules.turns import DONE, message_id

TEMPLATE = "conversation/1"
"""Of the system prompt below; raised when it changes, so that kept answers are not given to another one."""

_WORDS = {
    "en": (
        "Earlier in this conversation: ",
        "Mentioned lately: ",
        "Answer in English.",
        "(no answer: {status})",
        "(cut off: {status})",
    ),
    "ko": (
        "이 대화의 앞부분: ",
        "최근에 나온 말: ",
        "한국어로 답하세요.",
        "(답 없음: {status})",
        "(중간에 끊김: {status})",
    ),
}


class Line(msgspec.Struct, frozen=True, gc=False):
    """One message for the model."""

    role: str
    content: str


class Recalled(msgspec.Struct, frozen=True, gc=False):
    """An earlier message that matters, before it is cut to what there is room for."""

    seq: int
    role: str
    text: str
    at_ms: int
    score: float


class Source(msgspec.Struct, frozen=True, gc=False):
    """An earlier message that matters now; `id` is what a citation names."""

    id: str
    text: str
    title: str
    score: float


class Sizes(msgspec.Struct, frozen=True, gc=False):
    """Bytes of each part in UTF-8; `total` is what the model is given."""

    system: int
    summary: int
    entities: int
    window: int
    recalled: int
    message: int
    total: int


class Context(msgspec.Struct, frozen=True, gc=False):
    """Everything that a model is given for one message."""

    messages: tuple[Line, ...]
    recalled: tuple[Source, ...]
    sizes: Sizes


def compose(
    *,
    voice: str,
    language: str,
    say_language: bool,
    state: State,
    window: Sequence[Exchange],
    found: Sequence[Recalled],
    message: str,
    window_bytes: int,
    recall_bytes: int,
) -> Context:
    """The context of one message. `window` is the last exchanges in order; older than WINDOW are left out."""
    summary = " ".join(state.summary)
    named = ", ".join(value for _, value in state.entities)
    words = _WORDS.get(language, _WORDS["en"])
    parts = [voice, words[2] if say_language else ""]
    parts += [words[0] + summary if summary else "", words[1] + named if named else ""]
    system = "\n\n".join(part for part in parts if part)
    lines = window_lines(window[-WINDOW:], state, window_bytes, language)
    sources = recalled(found, recall_bytes)
    asked = (Line("user", message),) if message else ()
    messages = (*((Line("system", system),) if system else ()), *lines, *asked)
    in_window = sum(size(line.content) for line in lines)
    in_recall = sum(size(source.text) for source in sources)
    sizes = Sizes(
        system=size(system),
        summary=size(summary),
        entities=size(named),
        window=in_window,
        recalled=in_recall,
        message=size(message),
        total=size(system) + in_window + in_recall + size(message),
    )
    return Context(messages, sources, sizes)


def window_lines(
    window: Sequence[Exchange], state: State, limit: int, language: str = "en"
) -> tuple[Line, ...]:
    """The last exchanges in full as far as `limit` bytes go, the newest first served; else the digest."""
    left = limit
    found: list[tuple[Line, Line]] = []
    for back, exchange in enumerate(reversed(window), 1):
        user, answer = exchange.user, _told(exchange, language)
        cost = size(user) + size(answer)
        if cost > left:
            has_digest = back <= len(state.digests) and state.seq == window[-1].seq
            user, answer = state.digests[-back] if has_digest else (user, answer)
            share = max(left, 0) // 2
            user, answer = shorten(user, share), shorten(answer, share)
            cost = size(user) + size(answer)
            if not user:
                break
        left -= cost
        found.append((Line("user", user), Line("assistant", answer or "…")))
    return tuple(line for pair in reversed(found) for line in pair)


def recalled(found: Sequence[Recalled], limit: int) -> tuple[Source, ...]:
    """The messages as passages, within `limit` bytes in all, in the order in which they were said."""
    left = limit
    kept: list[Source] = []
    for one in found:
        text = shorten(one.text, left)
        if size(text) < min(40, size(one.text)):
            continue
        left -= size(text)
        day = datetime.fromtimestamp(one.at_ms / 1000, UTC).date().isoformat()
        kept.append(Source(message_id(one.seq), text, f"{one.role}, {day}", one.score))
    return tuple(sorted(kept, key=lambda source: int(source.id[1:])))


def _told(exchange: Exchange, language: str) -> str:
    """The answer as the model sees it: one that did not end well says so."""
    if exchange.status == DONE:
        return exchange.answer
    words = _WORDS.get(language, _WORDS["en"])
    if not exchange.answer:
        return words[3].format(status=exchange.status)
    return f"{exchange.answer} {words[4].format(status=exchange.status)}"
