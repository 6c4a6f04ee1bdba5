"""Markdown: the words as they are, without the marks that only say how they look."""

import re

from holdfast.rooms.knowledge.parsing.plain import text_of
from holdfast.rooms.knowledge.parsing.rows import row_text
from holdfast.rooms.knowledge.rules.cleaning import clean
from holdfast.rooms.knowledge.rules.draft import Draft
from holdfast.rooms.knowledge.rules.parsed import MARKDOWN, Limits, Parsed

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_FRONT_TITLE = re.compile(r"^title[ \t]*:[ \t]*(.+?)[ \t]*$", re.I | re.M)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDER = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_ITEM = re.compile(r"([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?(.*)$")
_QUOTE = re.compile(r" {0,3}>[ \t]?")
_ROW_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_DEFINITION = re.compile(r" {0,3}\[(?!\^)[^\]\n]{1,200}\]:[ \t]*\S+(?:[ \t]+[\"'(].*[\"')])?[ \t]*$")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)

_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
_LINK = re.compile(
    r"!?\[([^\[\]\n]{0,500})\]"
    r"(?:\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:[ \t]+[\"'][^\"'\n]*[\"'])?\)|\[[^\[\]\n]{0,200}\])"
)
_AUTO = re.compile(r"<((?:https?|mailto):[^>\s]+|[^@\s<>]+@[^@\s<>]+)>")
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]{0,1000})?/?>")
_STRONG = re.compile(
    r"(?<![\w*])\*\*(?=\S)([^*\n]+?)(?<=\S)\*\*|(?<![\w_])__(?=\S)([^_\n]+?)(?<=\S)__(?![\w_])"
)
_EMPHASIS = re.compile(
    r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=\S)\*(?!\*)|(?<![\w_])_(?=[^\s_])([^_\n]+?)(?<=\S)_(?![\w_])"
)
_STRUCK = re.compile(r"~~(?=\S)([^~\n]+?)(?<=\S)~~")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


def read_markdown(raw: bytes, limits: Limits) -> Parsed:
    """Headings, paragraphs without the line breaks of the editor, lists, tables; code stays as it is."""
    draft = Draft(limits)
    text = clean(text_of(raw, draft))
    title = ""
    front = _FRONT.match(text)
    if front:
        named = _FRONT_TITLE.search(front.group(1))
        title = named.group(1).strip("\"'") if named else ""
        text = text[front.end() :]
    _Lines(draft).read(text)
    return draft.finish(MARKDOWN, title)


class _Lines:
    """Goes through the lines of one document."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._paragraph: list[str] = []
        self._fence = ""
        self._code: list[str] = []
        self._gap = "\n\n"

    def read(self, text: str) -> None:
        for line in self._without_comments(text):
            if self._fence:
                self._in_code(line)
            else:
                self._in_text(_QUOTE.sub("", line) if _QUOTE.match(line) else line)
        self._end_code()
        self._end_paragraph()

    def _without_comments(self, text: str) -> list[str]:
        """The lines, HTML comments taken out unless they stand in code."""
        if "<!--" not in text:
            return text.split("\n")
        parts = re.split(
            r"(^ {0,3}(?:`{3,}|~{3,}).*?(?:^ {0,3}(?:`{3,}|~{3,})[ \t]*$|\Z))", text, flags=re.S | re.M
        )
        return "".join(part if at % 2 else _COMMENT.sub("", part) for at, part in enumerate(parts)).split(
            "\n"
        )

    def _in_code(self, line: str) -> None:
        self._code.append(line)
        fence = _FENCE.match(line)
        if fence and fence.group(1).startswith(self._fence) and not line.strip().strip(self._fence[0]):
            self._end_code()

    def _in_text(self, line: str) -> None:
        fence = _FENCE.match(line)
        heading = _ATX.match(line)
        item = _ITEM.match(line)
        under = _UNDER.match(line)
        if fence:
            self._end_paragraph()
            self._fence, self._code = fence.group(1), [line]
        elif heading:
            self._head(heading.group(2) or "", len(heading.group(1)))
        elif under and self._paragraph and not _ITEM.match(self._paragraph[0]):
            lines, self._paragraph = self._paragraph, []
            self._head(" ".join(lines), 1 if under.group(1)[0] == "=" else 2)
        elif not line.strip() or _RULE.match(line) or _DEFINITION.match(line):
            self._end_paragraph()
            self._gap = "\n\n"
        elif item:
            self._end_paragraph()
            mark = item.group(2) if item.group(2)[0].isdigit() else "-"
            self._paragraph = [f"{_indent(item.group(1))}{mark} {item.group(3)}"]
        elif "|" in line and (line.lstrip().startswith("|") or _ROW_RULE.match(line)):
            self._row(line)
        else:
            self._paragraph.append(line)

    def _head(self, text: str, level: int) -> None:
        self._end_paragraph()
        self._draft.heading(plain_words(text), level)
        self._gap = "\n\n"

    def _row(self, line: str) -> None:
        if _ROW_RULE.match(line):
            return
        self._end_paragraph()
        cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
        self._draft.add(row_text([plain_words(cell) for cell in cells]), self._gap)
        self._gap = "\n"

    def _end_paragraph(self) -> None:
        if not self._paragraph:
            return
        indent = self._paragraph[0][: len(self._paragraph[0]) - len(self._paragraph[0].lstrip())]
        is_item = _ITEM.match(self._paragraph[0]) is not None
        whole = ""
        for line in self._paragraph:
            whole += line.strip() + ("\n" if line.endswith(("  ", "\\")) else " ")
        self._paragraph = []
        text = plain_words(whole.replace("\\\n", "\n").strip())
        self._draft.add((indent if is_item else "") + text, self._gap)
        self._gap = "\n" if is_item else "\n\n"

    def _end_code(self) -> None:
        if self._code:
            self._draft.add("\n".join(self._code))
        self._fence, self._code = "", []
        self._gap = "\n\n"


def plain_words(text: str) -> str:
    """Inline marks taken off: links become their text, emphasis its words; code spans stay."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match.group())
        return f"\x00{len(kept) - 1}\x00"

    def keep_sign(match: re.Match[str]) -> str:
        kept.append(match.group(1))
        return f"\x00{len(kept) - 1}\x00"

    text = _ESCAPED.sub(keep_sign, _CODE.sub(keep, text))
    text = _AUTO.sub(r"\1", text)
    for _ in range(2):  # a picture within a link
        text = _LINK.sub(r"\1", text)
    text = _TAG.sub("", text)
    for mark in (_STRONG, _EMPHASIS):
        text = mark.sub(lambda match: match.group(1) or match.group(2), text)
    text = _STRUCK.sub(r"\1", text)
    return re.sub("\x00(\\d+)\x00", lambda match: kept[int(match.group(1))], text)


def _indent(white: str) -> str:
    """Two spaces a level, whatever the editor used."""
    return "  " * (len(white.replace("\t", "    ")) // 2) if len(white.expandtabs(4)) >= 2 else ""
