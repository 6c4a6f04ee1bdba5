"""What a document becomes: one plain text that every citation refers to, and where its parts stand in it."""

import re
from bisect import bisect_right
from typing import Literal
from unicodedata import is_normalized

import msgspec

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"
MEDIA_TYPES = (PDF, DOCX, HTML, MARKDOWN, PLAIN)
"""What can be read, by the names that `Parsed.media_type` has."""

PARSER_VERSION = 1
"""Goes up when the same bytes would give another text: part of what a stored text is told apart by."""

Language = Literal["ko", "en", "other"]
NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Never in a stored text: control characters but newline and tab, half surrogate pairs, non-characters."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one document may take; each has a problem of its own that says what to do."""

    size_bytes: int = 50_000_000
    """Of the file."""
    pages: int = 2_000
    chars: int = 5_000_000
    """Of the text that comes out."""
    wall_s: float = 180.0
    """Seconds on the clock; past them the process is killed."""
    cpu_s: float = 90.0
    """Seconds of processor time; whole ones, rounded up. A page of a PDF takes about 0.04."""
    memory_bytes: int = 1_073_741_824
    """Address space of the process."""
    zip_entries: int = 10_000
    zip_ratio: int = 200
    """Bytes out for one byte in, for an entry of more than a megabyte."""
    zip_bytes: int = 268_435_456
    """Of everything that is unpacked, together."""
    xml_depth: int = 200
    """Elements within elements, of XML and HTML alike."""


class Section(msgspec.Struct, frozen=True, array_like=True):
    """A heading: where it stands in the text, what it says, and how deep it is (1 is the top)."""

    offset: int
    heading: str
    level: int = 1


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A document as plain text, NFC, lines ended by a newline; offsets count characters of `text`."""

    text: str
    title: str = ""
    """What the document calls itself, else its first heading; empty when it says nothing."""
    sections: tuple[Section, ...] = ()
    """In order of their offsets."""
    pages: tuple[int, ...] = ()
    """Where each page begins; empty for what has no pages."""
    media_type: str = PLAIN
    """What it was found to be, whatever it was called."""
    language: Language = "other"
    warnings: tuple[str, ...] = ()
    """What could not be read as it should, in words for people."""


def page_of(pages: tuple[int, ...], at: int) -> int:
    """The number, from 1, of the page that character `at` stands on; 0 where there are no pages.

    >>> page_of((0, 10, 10, 25), 12)
    3
    """
    return bisect_right(pages, at)


def path_of(sections: tuple[Section, ...], at: int) -> tuple[str, ...]:
    """The headings that character `at` stands under, from the top; one that begins at `at` is the last.

    >>> path_of((Section(0, "A"), Section(5, "B", 2), Section(9, "C")), 6)
    ('A', 'B')
    """
    path: list[str] = []
    level = 1 << 30
    for index in range(bisect_right(sections, at, key=lambda section: section.offset) - 1, -1, -1):
        section = sections[index]
        if section.level < level:
            path.append(section.heading)
            level = section.level
            if level <= 1:
                break
    return tuple(reversed(path))


def why_not_sound(parsed: Parsed, limits: Limits) -> str:
    """What breaks a promise of Parsed; empty for none. What a parser's process says is not taken on trust."""
    text = parsed.text
    if len(text) > limits.chars:
        return "longer than allowed"
    for said in (text, parsed.title, *parsed.warnings, *(section.heading for section in parsed.sections)):
        if NOT_TEXT.search(said) or not is_normalized("NFC", said):
            return "not clean text"
    for offsets in (parsed.pages, tuple(section.offset for section in parsed.sections)):
        if offsets and (offsets[0] < 0 or offsets[-1] > len(text) or list(offsets) != sorted(offsets)):
            return "an offset outside the text"
    return "" if parsed.media_type in MEDIA_TYPES else "an unknown media type"
