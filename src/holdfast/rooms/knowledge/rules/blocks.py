"""A text as units that are not parted where it can be avoided, and how well it parts before each."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from holdfast.kernel.text.graphemes import is_boundary
from holdfast.kernel.text.sentences import spans

FORCED, LINE, SENTENCE, ITEM, PARAGRAPH, SECTION = range(6)
"""How good a place is to part the text at; at FORCED there is nothing but the limit of length."""

_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
_FENCE = re.compile(r"[^\S\n]*(`{3,}|~{3,})")
_ITEM = re.compile(r"\s*(?:[-*+•·▪‣○●■□◆◇▶※–]\s|\(?[0-9]{1,3}[.)]\s|[가-하][.)]\s|[①-⑳]|\||[A-Za-z][.)]\s)")
_TABLE = re.compile(r".*\S \| ")
_ENDED = re.compile(r"[.!?…。！？:;][\"'”’»」』)\]]*$")


class Unit(NamedTuple):
    """A span of the text without white space around it."""

    start: int
    end: int
    strength: int
    """Of the place before it."""


def units(text: str, offsets: frozenset[int], longest: int) -> list[Unit]:
    """Sentences, lines, items and rows in order, each of at most `longest` characters.

    `offsets` are where sections begin. Every character that is not white space is in exactly one unit.
    """
    found: list[Unit] = []
    fenced = ""
    for start, end in _paragraphs(text, offsets):
        strength = SECTION if start in offsets else LINE if fenced else PARAGRAPH
        for begin, stop, kind in _lines(text, start, end, fenced):
            fence = _FENCE.match(text, begin, stop)
            fenced = _toggled(fenced, fence.group(1) if fence else "")
            _add(found, text, begin, stop, max(kind, strength) if begin == start else kind, longest)
    return found


def _toggled(fenced: str, fence: str) -> str:
    """The fence that is open after a line that begins with `fence`."""
    if not fence:
        return fenced
    if not fenced:
        return fence
    return "" if fence.startswith(fenced) else fenced


def _paragraphs(text: str, offsets: frozenset[int]) -> Iterator[tuple[int, int]]:
    """What blank lines and the beginnings of sections part; stripped, never empty."""
    cuts = {0, len(text)} | {at for at in offsets if 0 <= at <= len(text)}
    cuts.update(match.end() for match in _BLANK.finditer(text))
    edges = sorted(cuts)
    for begin, stop in pairwise(edges):
        start, end = stripped(text, begin, stop)
        if start < end:
            yield start, end


def _lines(text: str, start: int, end: int, fenced: str) -> Iterator[tuple[int, int, int]]:
    """The sentences of a paragraph, or the lines of code; each with the strength of the place before it."""
    if fenced or _FENCE.match(text, start, end):
        at = start
        while at < end:
            stop = text.find("\n", at, end)
            stop = end if stop < 0 else stop
            begin, last = stripped(text, at, stop)
            if begin < last:
                yield begin, last, LINE
            at = stop + 1
        return
    open_at, previous, strength = start, start, FORCED
    for begin, stop in ((start + a, start + b) for a, b in spans(text[start:end])):
        here = _strength(text, previous, begin, stop)
        # Where a run without white space was cut for its length alone, it is cut again, between graphemes.
        if previous > open_at and (begin > previous or here != FORCED):
            yield open_at, previous, strength
            open_at, strength = begin, here
        previous = stop
    if previous > open_at:
        yield open_at, previous, strength


def _strength(text: str, previous: int, begin: int, stop: int) -> int:
    gap = text[previous:begin]
    if "\n" in gap:
        if _ITEM.match(text, begin, stop) or _TABLE.match(text, begin, stop):
            return ITEM
        return SENTENCE if _ENDED.search(text, max(0, previous - 8), previous) else LINE
    if _ENDED.search(text, max(0, previous - 8), previous):
        return SENTENCE
    return FORCED


def _add(found: list[Unit], text: str, start: int, end: int, strength: int, longest: int) -> None:
    """The span as units of at most `longest`; joined to the one before where a grapheme would be parted."""
    if found and not may_part(text, start, found[-1].start) and end - found[-1].start <= longest:
        found[-1] = found[-1]._replace(end=end)
        return
    while end - start > longest:
        cut = _cut(text, start, start + longest)
        found.append(Unit(start, stripped(text, start, cut)[1], strength))
        start, strength = stripped(text, cut, end)[0], FORCED
    if start < end:
        found.append(Unit(start, end, strength))


def _cut(text: str, start: int, limit: int) -> int:
    """The best place to part before `limit`: white space in the last half, else between graphemes."""
    for at in range(limit, start + (limit - start) // 2, -1):
        if text[at - 1].isspace() or text[at : at + 1].isspace():
            return at
    for at in range(limit, start, -1):
        if may_part(text, at, start):
            return at
    return limit  # one grapheme that is longer than any chunk may be


def may_part(text: str, at: int, since: int) -> bool:
    """Whether no grapheme is parted at `at`, which is after `since`, where one begins.

    A mark that stands on white space is one by itself. Flags are counted from `since`: from the beginning of
    a text of nothing but flags they would be counted again and again.
    """
    if text[at - 1].isspace() or text[at : at + 1].isspace():
        return True
    return is_boundary(text[since : at + 1], at - since)


def stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
