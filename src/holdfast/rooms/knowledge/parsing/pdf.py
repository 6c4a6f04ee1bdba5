"""PDF: the text layer of each page, its lines joined into paragraphs again."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from holdfast.rooms.knowledge.rules.cleaning import clean, one_line
from holdfast.rooms.knowledge.rules.draft import Draft
from holdfast.rooms.knowledge.rules.parsed import PDF, Limits, Parsed
from holdfast.rooms.knowledge.rules.parsing_problems import (
    corrupt,
    encrypted,
    parser_missing,
    too_many_pages,
    too_much_text,
)
from holdfast.rooms.knowledge.rules.reflow import (
    Reflow,
    same_words,
    without_heads,
    without_ligatures,
)

try:
    import pypdf
except ModuleNotFoundError as error:  # an extra that is not installed
    raise parser_missing("PDF") from error

_MOST_HEADINGS = 5_000
_UNNAMED = ("untitled", "microsoft word - ", "제목 없음", "document1")
"""Titles that a program gave because nobody did."""
_PRIVATE = frozenset(range(0xE000, 0xF900))
_ILLEGIBLE_SHARE = 0.05

Outline = dict[int, list[tuple[str, int]]]
"""Of each page, by its number from 0: the headings that the outline puts there, with their levels."""


def read_pdf(raw: bytes, limits: Limits) -> Parsed:
    """The text of every page that can be read; a page that cannot be is a warning, all of them a problem."""
    reader = _opened(raw)
    count = _page_count(reader)
    if count > limits.pages:
        raise too_many_pages(count, limits.pages)
    draft = Draft(limits)
    pages = _lines(reader, limits, draft)
    outline = _outline(reader)
    headings = [{same_words(heading) for heading, _ in outline.get(number, [])} for number in range(count)]
    pages = list(map(_set_apart, without_heads(pages, headings), headings))
    reflow = Reflow(pages)
    for number, lines in enumerate(pages):
        draft.page()
        _add_page(draft, reflow.page(lines), outline.get(number, []))
    return draft.finish(PDF, _title(reader))


def _opened(raw: bytes) -> "pypdf.PdfReader":
    """The document; one that is only protected against changes opens without a password."""
    try:
        reader = pypdf.PdfReader(BytesIO(raw), strict=False)
        is_open = not reader.is_encrypted or bool(reader.decrypt(""))
    except pypdf.errors.DependencyError as error:
        raise encrypted("the PDF, in a way that needs the package `cryptography`,") from error
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        raise corrupt("the structure of the PDF cannot be read") from error
    if not is_open:
        raise encrypted("the PDF")
    return reader


def _page_count(reader: "pypdf.PdfReader") -> int:
    try:
        return len(reader.pages)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        raise corrupt("the pages of the PDF cannot be found") from error


def _lines(reader: "pypdf.PdfReader", limits: Limits, draft: Draft) -> list[list[str]]:
    """The lines of each page; none for one that cannot be read."""
    pages: list[list[str]] = []
    unread: list[int] = []
    chars = illegible = 0
    for number in range(len(reader.pages)):
        try:
            text = without_ligatures(reader.pages[number].extract_text())
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - whatever a page trips over, the others may be fine
            unread.append(number + 1)
            text = ""
        chars += len(text)
        if chars > 2 * limits.chars:  # what is joined and cleaned later only gets shorter
            raise too_much_text(limits.chars)
        illegible += sum(char == "\ufffd" or ord(char) in _PRIVATE for char in text)
        pages.append(text.split("\n"))
    if unread and len(unread) == len(pages):
        raise corrupt("no page of the PDF can be read")
    if unread:
        draft.warn(f"pages that could not be read: {', '.join(map(str, unread[:50]))}")
    if illegible > _ILLEGIBLE_SHARE * max(1, chars):
        draft.warn(f"{illegible} characters have no known meaning: the fonts do not say what their signs are")
    return pages


def _set_apart(lines: list[str], headings: set[str]) -> list[str]:
    """The lines, those that are headings as paragraphs of their own."""
    if not headings:
        return lines
    out: list[str] = []
    for line in lines:
        out += ["", line, ""] if same_words(line) in headings else [line]
    return out


def _add_page(draft: Draft, text: str, headings: list[tuple[str, int]]) -> None:
    """One page; a paragraph that goes on from the page before is not parted from it by an empty line."""
    text = clean(text).strip()
    start = draft.add(text, "\n\n" if draft.is_ended or headings else "\n")
    places = []
    for heading, level in headings:
        at = _place(text, heading)
        places.append((start + at, heading, level))
    for offset, heading, level in sorted(places, key=lambda place: place[0]):
        draft.mark(offset, heading, level)


def _place(text: str, heading: str) -> int:
    """Where the line of this heading begins; the page's own beginning when it is not there word by word."""
    wanted = same_words(heading)
    at = 0
    for line in text.split("\n"):
        if same_words(line) == wanted:
            return at
        at += len(line) + 1
    return 0


def _outline(reader: "pypdf.PdfReader") -> Outline:
    """The bookmarks; none when they cannot be read, which is no reason to lose the text."""
    found: Outline = {}
    try:
        for number, (item, level) in enumerate(_items(reader.outline, 1)):
            page = reader.get_destination_page_number(item)
            heading = one_line(str(item.title or ""))
            if number >= _MOST_HEADINGS:
                break
            if page is not None and heading:
                found.setdefault(page, []).append((heading, level))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - see above
        return found
    return found


def _items(outline: list[Any], level: int) -> Iterator[tuple[Any, int]]:
    for item in outline:
        if isinstance(item, list):
            yield from _items(item, level + 1)
        else:
            yield item, level


def _title(reader: "pypdf.PdfReader") -> str:
    try:
        title = one_line(str((reader.metadata and reader.metadata.title) or ""))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a broken title is no title
        return ""
    return "" if title.lower().startswith(_UNNAMED) else title
