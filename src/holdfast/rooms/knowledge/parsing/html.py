"""HTML: what a reader of the page would read."""

import re
from html.parser import HTMLParser

from holdfast.rooms.knowledge.parsing.plain import text_of
from holdfast.rooms.knowledge.parsing.rows import row_text
from holdfast.rooms.knowledge.rules.draft import Draft
from holdfast.rooms.knowledge.rules.parsed import HTML, Limits, Parsed
from holdfast.rooms.knowledge.rules.parsing_problems import too_deep

_CHARSET = re.compile(
    rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]{1,40})|<\?xml[^>]+encoding\s*=\s*[\"']([\w.:-]{1,40})", re.I
)
_PRESCAN = 4096
"""Bytes in which a page must have declared its character set; browsers look at 1024."""
# fmt: off
_UNREAD = frozenset({
    "script", "style", "nav", "noscript", "template", "svg", "math", "iframe", "object", "canvas", "audio",
    "video", "select", "button", "datalist",
})
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html",
    "legend", "main", "p", "section", "summary", "tbody", "tfoot", "thead",
})
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
})
# fmt: on
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])", re.I)


def read_html(raw: bytes, limits: Limits) -> Parsed:
    """Headings, paragraphs, lists, tables and code, without scripts, styles, menus and what is hidden."""
    draft = Draft(limits)
    declared = _CHARSET.search(raw[:_PRESCAN])
    charset = (declared.group(1) or declared.group(2)).decode("ascii") if declared else ""
    page = _Page(draft, limits.xml_depth)
    page.feed(text_of(raw, draft, charset))
    page.close()
    page.finish()
    return draft.finish(HTML, page.title)


class _Page(HTMLParser):
    """Follows the tags of one page and fills a draft; never recursive, so depth costs nothing."""

    def __init__(self, draft: Draft, deepest: int) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self._draft = draft
        self._deepest = deepest
        self._text: list[str] = []
        self._unread = ""
        self._unread_depth = 0
        self._in_title = False
        self._pre = 0
        self._heading = 0
        self._lists: list[int] = []
        """Of each list around us the number of its last item; -1 where they have none."""
        self._mark = ""
        self._tight = False
        self._cells: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._unread:
            self._unread_depth += tag == self._unread
        elif tag in _UNREAD or (tag not in _VOID and _is_hidden(attrs)):
            self._unread, self._unread_depth = tag, 1
        elif tag == "title":
            self._in_title = not self.title
        elif tag in _HEADINGS:
            self.flush()
            self._heading = _HEADINGS[tag]
        elif tag == "br":
            self._text.append("\n")
        elif tag == "pre":
            self.flush()
            self._pre += 1
        else:
            self._start_block(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID or self._unread:
            if not self._unread:
                self.handle_starttag(tag, attrs)
        else:  # HTML has no empty elements but the void ones: the stroke says nothing
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._unread:
            self._unread_depth -= tag == self._unread
            if not self._unread_depth:
                self._unread = ""
        elif tag == "title":
            self._in_title = False
        elif tag in _HEADINGS:
            self.flush()
        elif tag == "pre":
            self.flush()
            self._pre = max(0, self._pre - 1)
        else:
            self._end_block(tag)

    def handle_data(self, data: str) -> None:
        if self._unread:
            return
        if self._in_title:
            self.title += data
        else:
            self._text.append(data if self._pre else re.sub(r"[ \t\r\n\f]+", " ", data))

    def finish(self) -> None:
        """The page ends, whatever is still open."""
        self._end_row()

    def flush(self) -> None:
        """What was collected becomes a block of the text."""
        text = "".join(self._text)
        self._text.clear()
        if self._cells is not None:
            self._cells[-1:] = [f"{self._cells[-1]} {text}" if self._cells else text]
            return
        heading, self._heading = self._heading, 0
        if not text.strip():
            return
        if heading:
            self._draft.heading(text, heading)
        elif self._pre:
            self._draft.add("```\n" + text.strip("\n") + "\n```")
        else:
            lines = "\n".join(" ".join(line.split()) for line in text.strip().split("\n"))
            self._draft.add(self._mark + lines, "\n" if self._tight else "\n\n")
            self._tight, self._mark = bool(self._lists), ""

    def _start_block(self, tag: str) -> None:
        if tag in ("ul", "ol", "menu"):
            self.flush()
            self._enter(self._lists)
            self._lists.append(0 if tag == "ol" else -1)
        elif tag == "li":
            self.flush()
            self._mark = self._next_mark()
        elif tag == "table":
            self._end_row()  # of a table around this one
            self._tight = False
        elif tag == "tr":
            self._end_row()
            self._cells = []
        elif tag in ("td", "th"):
            if self._cells is None:
                self._cells = []
            if self._cells:
                self.flush()
            else:
                self._text.clear()
            self._cells.append("")
        elif tag in _BLOCKS:
            self.flush() if self._cells is None else self._text.append(" ")

    def _end_block(self, tag: str) -> None:
        if tag in ("ul", "ol", "menu"):
            self.flush()
            del self._lists[-1:]
            self._tight = self._tight and bool(self._lists)
        elif tag in ("tr", "table"):
            self._end_row()
            if tag == "table":
                self._tight = False
        elif tag == "li" or tag in _BLOCKS:
            self.flush() if self._cells is None else self._text.append(" ")

    def _enter(self, around: list[int]) -> None:
        if len(around) >= self._deepest:
            raise too_deep(self._deepest)

    def _next_mark(self) -> str:
        """What a list item begins with, two spaces for each list around its own."""
        indent = "  " * max(0, len(self._lists) - 1)
        if not self._lists or self._lists[-1] < 0:
            return f"{indent}- "
        self._lists[-1] += 1
        return f"{indent}{self._lists[-1]}. "

    def _end_row(self) -> None:
        if self._cells is None:
            self.flush()
            return
        if self._cells:
            self.flush()
        cells, self._cells = self._cells, None
        self._text.clear()
        row = row_text(cells)
        if row:
            self._draft.add(row, "\n" if self._tight else "\n\n")
            self._tight = True


def _is_hidden(attrs: list[tuple[str, str | None]]) -> bool:
    """Whether a reader does not see it: then it is not what the document says, least of all to a model."""
    for name, value in attrs:
        if name == "hidden" or (name == "aria-hidden" and value == "true"):
            return True
        if name == "style" and value and _HIDDEN.search(value):
            return True
    return False
