"""What a chat body asks of the extractive model, and what it gives to quote from.

Passages of the field `passages` (Holdfast's extension) are quoted alone. Without them: the text of earlier
turns, and what the last user message or the system message brings along as context. Offsets always point into
the text of a message as it was sent.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.kernel.text.sentences import spans
from holdfast.rooms.llm.rules.extract.phrases import unquotable
from holdfast.rooms.llm.rules.extract.scoring import Source

LONG_QUESTION = 160
"""Characters above which a user message is looked through for a context and a question apart."""
WINDOW = 4_000
"""Characters at either end of a message in which the marks of context and question are looked for."""
SYSTEM_CONTEXT = 300
"""A shorter system message without a marked context is instructions: not to be quoted."""

_QUESTION = re.compile(r"(?:^|\n)[ \t>#*]*(?:question|query|q|질문|물음|문제)[ \t*]*[:：]", re.IGNORECASE)
_ANSWER = re.compile(r"\n[ \t>#*]*(?:answer|a|답변|답|대답)[ \t*]*[:：]?\s*$", re.IGNORECASE)
_CONTEXT = re.compile(
    r"(?:^|\n|[.!?]\s)[ \t>#*<]*(?:context|passages?|documents?|sources?|text"
    r"|문맥|본문|자료|참고|지문|내용|글)[ \t*>]*[:：>]",
    re.IGNORECASE,
)
_SUMMARY = re.compile(
    r"요약|간추려|줄여\s?줘|정리해|\bsummar(?:y|i[sz]e|ies)\b|\btl;?\s?dr\b|\bcondense\b", re.IGNORECASE
)

_SUMMARY_FIRST = re.compile(
    r"(?=[^:：\n]{0,200}(?:요약|summar|tl;?\s?dr))[^:：\n]{1,200}[:：](?=\s*\S)", re.IGNORECASE
)


class Reading(msgspec.Struct, frozen=True):
    """The question, what may be quoted, and whether a summary of it is wanted."""

    question: str
    sources: tuple[Source, ...]
    summary: bool = False


def read(body: dict[str, Any]) -> Reading:
    """What a chat body asks and gives. Whatever has not the shape of OpenAI's messages is left out."""
    messages = [one for one in _list(body.get("messages")) if isinstance(one, dict)]
    metadata = body.get("metadata")
    purpose = metadata.get("purpose") if isinstance(metadata, dict) else None
    last = next((at for at in reversed(range(len(messages))) if messages[at].get("role") == "user"), None)
    texts = [] if last is None else _texts(messages[last], last)
    asked, brought = _split(texts)
    given = _passages(body.get("passages"))
    wanted = purpose in ("summary", "summarize") or _SUMMARY.search(asked[-400:]) is not None
    if given:
        return Reading(asked, given, wanted)
    sources = [source for at, one in enumerate(messages) if at != last for source in _said(one, at)] + brought
    if wanted and not sources and purpose is not None:  # all that was sent is to be summarised
        sources = [Source(name, text) for name, text in texts]
    return Reading(asked, tuple(sources), wanted)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _passages(value: Any) -> tuple[Source, ...]:
    found = []
    for at, one in enumerate(_list(value)):
        text = one.get("text") if isinstance(one, dict) else one
        if isinstance(text, str) and text.strip():
            name = one.get("id", at + 1) if isinstance(one, dict) else at + 1
            title = one.get("title") if isinstance(one, dict) else ""
            found.append(Source(str(name), text, title if isinstance(title, str) else ""))
    return tuple(found)


def _texts(message: dict[str, Any], at: int) -> list[tuple[str, str]]:
    """(id, text) of a message, one for each text part of it."""
    content = message.get("content")
    if isinstance(content, str):
        return [(f"message-{at}", content)] if content.strip() else []
    return [
        (f"message-{at}.{number}", part["text"])
        for number, part in enumerate(_list(content))
        if isinstance(part, dict) and isinstance(part.get("text"), str) and part["text"].strip()
    ]


def _said(message: dict[str, Any], at: int) -> list[Source]:
    """What may be quoted of an earlier message, or of the system's."""
    role = message.get("role")
    if role not in ("system", "developer"):
        return [Source(name, text, talk=role != "tool") for name, text in _texts(message, at)]
    found = []
    for name, text in _texts(message, at):
        marked = _CONTEXT.search(text, 0, WINDOW)
        if marked:
            found.append(Source(name, text, start=marked.end(), talk=True))
        elif len(text) >= SYSTEM_CONTEXT:
            found.append(Source(name, text, talk=True))
    return found


def _split(texts: list[tuple[str, str]]) -> tuple[str, list[Source]]:
    """The question of a user message, and the context that it brings along."""
    if not texts:
        return "", []
    *before, (name, text) = texts
    brought = [Source(*one) for one in before]
    if marked := _question_marked(text):
        start, end = marked
        return text[start:end].strip(), [*brought, *_around(name, text, start, end)]
    if begun := _SUMMARY_FIRST.match(text):
        return begun.group().strip(), [*brought, *_around(name, text, 0, begun.end())]
    if len(text) < LONG_QUESTION and "\n" not in text.strip() and not _SUMMARY.search(text):
        return text.strip(), brought
    for start, end in _edges(text):
        if unquotable(text[start:end]) or _SUMMARY.search(text[start:end]):
            return text[start:end], [*brought, *_around(name, text, start, end)]
    return text.strip(), brought


def _edges(text: str) -> list[tuple[int, int]]:
    """The last sentence and the first one, of several."""
    first = last = next(spans(text), (0, 0))
    tail = max(0, len(text) - WINDOW)
    for start, end in spans(text[tail:]):
        last = (start + tail, end + tail)
    return [last, first] if first != last else []


def _question_marked(text: str) -> tuple[int, int] | None:
    """The span after the last `Question:`, up to a context or an empty `Answer:`."""
    tail = max(0, len(text) - WINDOW)
    marks = list(_QUESTION.finditer(text, tail)) or list(_QUESTION.finditer(text, 0, WINDOW))
    if not marks:
        return None
    start = marks[-1].end()
    stops = [
        found.start()
        for pattern in (_CONTEXT, _ANSWER)
        if (found := pattern.search(text, start, start + WINDOW))
    ]
    end = min(stops, default=len(text))
    return (start, end) if text[start:end].strip() else None


def _around(name: str, text: str, start: int, end: int) -> list[Source]:
    """The text before and after the question, without the words that mark context, question and answer."""
    found = []
    for begin, stop in ((0, start), (end, len(text))):
        if marked := _CONTEXT.search(text, begin, min(stop, begin + WINDOW)):
            begin = marked.end()
        tail = max(begin, stop - WINDOW)
        for pattern in (_ANSWER, _QUESTION):
            for mark in pattern.finditer(text, tail, stop):
                if mark.end() == stop:
                    stop = mark.start()
                    break
        if text[begin:stop].strip():
            found.append(Source(name, text, start=begin, end=stop))
    return found
