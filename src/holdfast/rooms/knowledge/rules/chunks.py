"""A text as chunks: spans of the stored text, cut where it parts best, that citations are checked against."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from holdfast.rooms.knowledge.rules.blocks import FORCED, SECTION, Unit, units
from holdfast.rooms.knowledge.rules.parsed import Section

CHUNKER_VERSION = 1
"""Goes up when the same text would be cut at other places."""

AFTER_SECTION = 4
"""A section begins a new chunk once the one before it has a quarter of the size; smaller ones are joined."""


class Chunking(msgspec.Struct, frozen=True, kw_only=True):
    """How long chunks are, in characters."""

    size: int = 800
    """Aimed at; a better place to part is taken up to a quarter above it."""
    overlap: int = 120
    """Most that a chunk repeats of the one before it, in whole sentences; 0: none."""
    longest: int = 1600
    """Never exceeded."""

    @property
    def key(self) -> str:
        """What chunks of one text are told apart by: the same key, the same spans."""
        return f"{CHUNKER_VERSION}:{self.size}:{self.overlap}:{self.longest}"


class Chunk(NamedTuple):
    """`text[start:end]`, without white space around it, and the headings it stands under."""

    start: int
    end: int
    path: tuple[str, ...] = ()


AS_USUAL = Chunking()


def chunks(text: str, sections: tuple[Section, ...] = (), how: Chunking = AS_USUAL) -> list[Chunk]:
    """The chunks in order; starts and ends both grow, and every character but white space is in one."""
    size = max(1, min(how.size, how.longest))
    parts = units(text, frozenset(section.offset for section in sections), how.longest)
    found: list[Chunk] = []
    paths = _Paths(sections)
    begin = at = 0
    while at < len(parts):
        end = _end(parts, begin, at, size, how.longest)
        start = parts[begin].start
        found.append(Chunk(start, parts[end - 1].end, paths.at(start)))
        begin, at = _next(parts, begin, end, how), end
    return found


def why_not_cut(text: str, found: Sequence[Chunk], how: Chunking) -> str:
    """What breaks a promise of `chunks`; empty for none. For chunks that another process has made."""
    last = (-1, -1)
    for start, end, _ in found:
        if not (last[0] < start < end <= len(text) and last[1] < end <= start + how.longest):
            return "a span out of place"
        if text[start].isspace() or text[end - 1].isspace():
            return "a span with white space at its ends"
        last = start, end
    return ""


class _Paths:
    """The headings above places that are asked for in order: `path_of` for all of a text in one go."""

    def __init__(self, sections: tuple[Section, ...]) -> None:
        self._sections = sections
        self._seen = 0
        self._stack: list[Section] = []

    def at(self, offset: int) -> tuple[str, ...]:
        while self._seen < len(self._sections) and self._sections[self._seen].offset <= offset:
            section = self._sections[self._seen]
            while self._stack and self._stack[-1].level >= section.level:
                self._stack.pop()
            self._stack.append(section)
            self._seen += 1
        return tuple(section.heading for section in self._stack)


def _end(parts: list[Unit], begin: int, at: int, size: int, longest: int) -> int:
    """The number of the unit that the chunk from `begin` ends before; more than `at`, which is new in it."""
    start = parts[begin].start
    most = min(longest, size + size // 4)
    best, best_worth = at + 1, (-1, 0)
    for end in range(at + 1, len(parts) + 1):
        length = parts[end - 1].end - start
        if length > most:
            break
        if end == len(parts):
            return end
        if parts[end].strength == SECTION and length >= size // AFTER_SECTION:
            return end
        worth = (parts[end].strength if 2 * length >= size else -1, -abs(length - size))
        if worth > best_worth or length * 2 < size:
            best, best_worth = end, worth
    return best


def _next(parts: list[Unit], begin: int, end: int, how: Chunking) -> int:
    """Where the chunk after begins: some units back, as far as the overlap and its section allow."""
    if end >= len(parts):
        return end
    first = end
    while first - 1 > begin and parts[first].strength not in (SECTION, FORCED):
        if parts[end - 1].end - parts[first - 1].start > how.overlap:
            break
        if parts[end].end - parts[first - 1].start > min(how.longest, how.size):
            break
        first -= 1
    return first
