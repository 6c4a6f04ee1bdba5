"""DOCX: paragraphs, headings, lists, tables and notes of a Word document, in the order of the text."""

from collections.abc import Mapping

from holdfast.rooms.knowledge.parsing.archive import Archive
from holdfast.rooms.knowledge.parsing.docx_styles import TITLE, Numbering, Styles, local, number_of, value_of
from holdfast.rooms.knowledge.parsing.rows import row_text
from holdfast.rooms.knowledge.parsing.xml import read_xml
from holdfast.rooms.knowledge.rules.draft import Draft
from holdfast.rooms.knowledge.rules.parsed import DOCX, Limits, Parsed
from holdfast.rooms.knowledge.rules.parsing_problems import encrypted, unsupported

_TEXT = "word/document.xml"
_NOTES = (("word/footnotes.xml", "footnote", ""), ("word/endnotes.xml", "endnote", "e"))
_NOT_WORD = (
    ("xl/", "an Excel workbook", "save it as CSV or PDF and upload that"),
    ("ppt/", "a PowerPoint presentation", "save it as PDF and upload that"),
    ("Contents/content.hpf", "an HWPX document", "save it as PDF or DOCX and upload that"),
    ("content.xml", "an OpenDocument file", "save it as DOCX or PDF and upload that"),
    ("META-INF/container.xml", "an e-book", "save it as PDF or HTML and upload that"),
)
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
_PASSED_OVER = frozenset({"moveFrom", "del", "instrText", "delText", "rPr", "pPrChange", "sectPr"})
_COPY = "http://schemas.openxmlformats.org/markup-compatibility/2006 Fallback"
"""The same once more, for programs that do not know the first form."""


def read_docx(raw: bytes, limits: Limits) -> Parsed:
    """The text without what was deleted, headers and comments; notes stand at the end."""
    archive = Archive(raw, limits)
    _check_kind(archive)
    draft = Draft(limits)
    styles, numbering, title = Styles(), Numbering(), _Title()
    for name, reader in (
        ("word/styles.xml", styles),
        ("word/numbering.xml", numbering),
        ("docProps/core.xml", title),
    ):
        part = archive.read(name)
        if part:
            read_xml(part, name, reader, limits)
    body = _Body(draft, styles, numbering)
    read_xml(archive.read(_TEXT), _TEXT, body, limits)
    for name, element, letter in _NOTES:
        part = archive.read(name)
        if part:
            read_xml(part, name, _Notes(draft, styles, numbering, element, letter), limits)
    return draft.finish(DOCX, title.text.strip() or body.title)


def _check_kind(archive: Archive) -> None:
    """Raises UnsupportedType, or Encrypted, unless there is a Word document in it."""
    if _TEXT in archive.names:
        return
    if "EncryptedPackage" in archive.names:
        raise encrypted("the document")
    for start, what, hint in _NOT_WORD:
        if any(name.startswith(start) for name in archive.names):
            raise unsupported(what, hint)
    raise unsupported("a zip archive", "unpack it and upload the documents in it")


class _Title:
    """Reads docProps/core.xml: what the document calls itself."""

    def __init__(self) -> None:
        self.text = ""
        self._inside = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._inside = name == "http://purl.org/dc/elements/1.1/ title"

    def end(self, name: str) -> None:
        self._inside = False

    def data(self, text: str) -> None:
        if self._inside:
            self.text += text


class _Paragraph:
    """One paragraph in the making."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.style = ""
        self.level = -1
        self.num = ""
        self.num_level = 0


class _Body:
    """Follows the elements of the text; a paragraph may hold a text box, a cell may hold a table."""

    def __init__(self, draft: Draft, styles: Styles, numbering: Numbering) -> None:
        self.title = ""
        self._draft = draft
        self._styles = styles
        self._numbering = numbering
        self._paragraphs: list[_Paragraph] = []
        self._rows: list[list[str]] = []
        """The row that is open in each table around us; cells of an inner one end in a cell of the outer."""
        self._in_text = 0
        self._over = 0
        """Elements deep in something that is not read."""
        self._tight = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        own = local(name)
        if self._over or own in _PASSED_OVER or name == _COPY:
            self._over += 1
        elif own == "p":
            self._paragraphs.append(_Paragraph())
        elif own == "t":
            self._in_text += 1
        elif own == "tr":
            self._rows.append([])
        elif own == "tc" and self._rows:
            self._rows[-1].append("")
        elif self._paragraphs:
            self._within(self._paragraphs[-1], own, attributes)

    def _within(self, paragraph: _Paragraph, own: str, attributes: Mapping[str, str]) -> None:
        if own in _SIGNS:
            paragraph.text.append(_SIGNS[own])
        elif own == "pStyle":
            paragraph.style = value_of(attributes)
        elif own == "outlineLvl":
            paragraph.level = number_of(value_of(attributes), 9) + 1
        elif own == "numId":
            paragraph.num = value_of(attributes)
        elif own == "ilvl":
            paragraph.num_level = number_of(value_of(attributes), 0)
        elif own in ("footnoteReference", "endnoteReference"):
            letter = "e" if own[0] == "e" else ""
            paragraph.text.append(f"[{letter}{value_of(attributes, 'id')}]")

    def end(self, name: str) -> None:
        if self._over:
            self._over -= 1
            return
        own = local(name)
        if own == "t":
            self._in_text -= 1
        elif own == "p" and self._paragraphs:
            self._end_paragraph(self._paragraphs.pop())
        elif own == "tr" and self._rows:
            self._end_row(self._rows.pop())
        elif own == "tbl" and not self._rows:
            self._tight = False

    def data(self, text: str) -> None:
        if self._in_text and self._paragraphs and not self._over:
            self._paragraphs[-1].text.append(text)

    def _end_paragraph(self, paragraph: _Paragraph) -> None:
        text = "".join(paragraph.text)
        if self._rows:
            if text.strip() and self._rows[-1]:
                self._rows[-1][-1] += f" {text}"
            return
        level = paragraph.level if 1 <= paragraph.level <= 9 else self._styles.level(paragraph.style)
        mark = self._numbering.mark(paragraph.num, paragraph.num_level) if text.strip() else ""
        if not text.strip():
            self._tight = False
        elif level == TITLE:
            self.title = self.title or text
            self._draft.heading(text, 1)
        elif level > 0:
            self._draft.heading(mark.strip(" -") + " " * bool(mark.strip(" -")) + text, level)
        else:
            self._draft.add(mark + text, "\n" if mark and self._tight else "\n\n")
        self._tight = bool(mark) and level < 0

    def _end_row(self, cells: list[str]) -> None:
        row = row_text(cells)
        if self._rows:
            if self._rows[-1] and row:
                self._rows[-1][-1] += f" {row}"
        elif row:
            self._draft.add(row, "\n" if self._tight else "\n\n")
            self._tight = True


class _Notes(_Body):
    """Footnotes or endnotes: each with the mark that stands in the text."""

    def __init__(self, draft: Draft, styles: Styles, numbering: Numbering, element: str, letter: str) -> None:
        super().__init__(draft, styles, numbering)
        self._element = element
        self._letter = letter
        self._mark = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if local(name) == self._element:
            if value_of(attributes, "type") not in ("", "normal"):  # a separating line
                self._over = 1
                return
            self._mark = f"[{self._letter}{value_of(attributes, 'id')}] "
        super().start(name, attributes)

    def _end_paragraph(self, paragraph: _Paragraph) -> None:
        if self._mark and "".join(paragraph.text).strip():
            paragraph.text = [self._mark, "".join(paragraph.text).strip()]
            self._mark = ""
        super()._end_paragraph(paragraph)
