"""A text as chunks: spans of the stored text, cut where it parts best, that citations are checked against."""

from typing import NamedTuple

import msgspec

from holdfast.rooms.knowledge.rules.blocks import FORCED, SECTION, Unit, units
from holdfast.rooms.knowledge.rules.parsed import Section, path_of

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
    begin = at = 0
    while at < len(parts):
        end = _end(parts, begin, at, size, how.longest)
        start = parts[begin].start
        found.append(Chunk(start, parts[end - 1].end, path_of(sections, start)))
        begin, at = _next(parts, begin, end, how), end
    return found


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
