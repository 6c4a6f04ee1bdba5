"""A text in the making: blocks are added one after another, and their places are remembered."""

import re

from holdfast.rooms.knowledge.rules.cleaning import clean, one_line
from holdfast.rooms.knowledge.rules.language import language_of
from holdfast.rooms.knowledge.rules.parsed import Limits, Parsed, Section
from holdfast.rooms.knowledge.rules.parsing_problems import too_much_text

_ENDED = re.compile(r"[.!?…。！？:;][\"'”’»」』)\]]*$")

MOST_WARNINGS = 20
MOST_SECTIONS = 20_000


class Draft:
    """Collects the blocks of one document; raises TooMuchText as soon as there is too much of it."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.chars
        self._parts: list[str] = []
        self._length = 0
        self._sections: list[Section] = []
        self._pages: list[int] = []
        self._begun = 0
        self._warnings: dict[str, None] = {}

    @property
    def is_ended(self) -> bool:
        """Whether the text so far ends as a sentence does."""
        return not self._parts or _ENDED.search(self._parts[-1][-8:]) is not None

    def add(self, text: str, gap: str = "\n\n") -> int:
        """Add a block, `gap` before it unless it is the first; where it begins. An empty one adds nothing."""
        text = clean(text).strip("\n").rstrip()
        if not text.strip():
            return self._length
        if self._length:
            self._put(gap)
        start = self._length
        self._pages += [start] * self._begun
        self._begun = 0
        self._put(text)
        return start

    def heading(self, text: str, level: int) -> None:
        """Add a heading as a block of its own."""
        line = one_line(text, 1000)
        if line:
            self.mark(self.add(line), line, level)

    def mark(self, offset: int, heading: str, level: int) -> None:
        """Remember a heading that stands in the text already; in order."""
        if len(self._sections) < MOST_SECTIONS:
            self._sections.append(Section(offset, one_line(heading), max(1, min(level, 9))))

    def page(self) -> None:
        """A page begins with what is added next; one that is empty begins where the one after it does."""
        self._begun += 1

    def warn(self, warning: str) -> None:
        if len(self._warnings) < MOST_WARNINGS:
            self._warnings[one_line(warning)] = None

    def finish(self, media_type: str, title: str = "") -> Parsed:
        """The document; without a title of its own it is called by its first heading of the top level."""
        text = "".join(self._parts)
        sections = tuple(self._sections)
        if not one_line(title) and sections:
            top = min(section.level for section in sections)
            title = next(section.heading for section in sections if section.level == top)
        return Parsed(
            text=text,
            title=one_line(title),
            sections=sections,
            pages=(*self._pages, *[self._length] * self._begun),
            media_type=media_type,
            language=language_of(text),
            warnings=tuple(self._warnings),
        )

    def _put(self, text: str) -> None:
        self._length += len(text)
        if self._length > self._most:
            raise too_much_text(self._most)
        self._parts.append(text)
