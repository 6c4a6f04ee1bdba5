"""What a Word document says about its paragraphs outside its text: styles that are headings, lists."""

import re
from collections.abc import Mapping

NAMESPACES = frozenset(
    {
        "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "http://purl.oclc.org/ooxml/wordprocessingml/main",
    }
)
TITLE = 0
"""The level of the document's own title; headings are 1 to 9."""

_NAMED = re.compile(r"(?:heading|제목|overskrift|überschrift|titre|título|見出し|标题)\s*([1-9])$", re.I)
_TITLES = frozenset({"title", "제목", "표제"})


def local(name: str) -> str:
    """The element's or attribute's own name when it is Word's, else nothing.

    >>> local("http://schemas.openxmlformats.org/wordprocessingml/2006/main p")
    'p'
    """
    space, _, own = name.rpartition(" ")
    return own if space in NAMESPACES else ""


def value_of(attributes: Mapping[str, str], wanted: str = "val") -> str:
    """An attribute of Word's, in either of its namespaces, or of none."""
    for name, value in attributes.items():
        if name == wanted or local(name) == wanted:
            return value
    return ""


def number_of(text: str, otherwise: int = -1) -> int:
    """A small number out of an attribute, which may hold anything."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else otherwise


class Styles:
    """Reads styles.xml: which styles are headings, of which level."""

    def __init__(self) -> None:
        self._levels: dict[str, int] = {}
        self._parents: dict[str, str] = {}
        self._style = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        own = local(name)
        value = value_of(attributes)
        if own == "style":
            self._style = value_of(attributes, "styleId")
        elif own == "name":
            self._name(value.strip().lower())
        elif own == "basedOn":
            self._parents[self._style] = value
        elif own == "outlineLvl" and self._style:
            self._levels.setdefault(self._style, number_of(value, 9) + 1)

    def end(self, name: str) -> None:
        if local(name) == "style":
            self._style = ""

    def data(self, text: str) -> None:
        """Styles have none."""

    def level(self, style: str) -> int:
        """1 to 9 for a heading, TITLE for the title, -1 for text; what it is based on counts."""
        for _ in range(20):  # a style may be based on itself
            if style in self._levels:
                return self._levels[style] if self._levels[style] <= 9 else -1
            if style not in self._parents:
                return _level_of_name(style)
            style = self._parents[style]
        return -1

    def _name(self, name: str) -> None:
        level = _level_of_name(name)
        if level >= 0 and self._style:
            self._levels[self._style] = level


def _level_of_name(name: str) -> int:
    if name.strip().lower() in _TITLES:
        return TITLE
    named = _NAMED.match(name.strip())
    return int(named.group(1)) if named else -1


class Numbering:
    """Reads numbering.xml: which lists are numbered. Counts along the text."""

    def __init__(self) -> None:
        self._formats: dict[tuple[str, int], str] = {}
        self._starts: dict[tuple[str, int], int] = {}
        self._abstract: dict[str, str] = {}
        self._counts: dict[tuple[str, int], int] = {}
        self._in_abstract = self._num = ""
        self._level = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        own = local(name)
        if own == "abstractNum":
            self._in_abstract = value_of(attributes, "abstractNumId")
        elif own == "num":
            self._num = value_of(attributes, "numId")
        elif own == "abstractNumId" and self._num:
            self._abstract[self._num] = value_of(attributes)
        elif own == "lvl":
            self._level = number_of(value_of(attributes, "ilvl"), 0)
        elif own == "numFmt" and self._in_abstract:
            self._formats[self._in_abstract, self._level] = value_of(attributes)
        elif own == "start" and self._in_abstract:
            self._starts[self._in_abstract, self._level] = number_of(value_of(attributes), 1)

    def end(self, name: str) -> None:
        own = local(name)
        if own == "abstractNum":
            self._in_abstract = ""
        elif own == "num":
            self._num = ""

    def data(self, text: str) -> None:
        """Lists have none."""

    def mark(self, num: str, level: int) -> str:
        """What the next item of this list begins with, `- ` or its number; empty for no list at all."""
        if num in ("", "0"):
            return ""
        level = min(level, 8)
        indent = "  " * level
        abstract = self._abstract.get(num, num)
        if self._formats.get((abstract, level), "bullet") in ("bullet", "none"):
            return f"{indent}- "
        first = self._starts.get((abstract, level), 1)
        count = self._counts.get((num, level), first - 1) + 1
        self._counts[num, level] = count
        for deeper in range(level + 1, 9):
            self._counts.pop((num, deeper), None)
        return f"{indent}{count}. "
