"""Lines of a printed page back into paragraphs: hyphens at line ends, wrapped lines, running heads."""

import re
from collections import Counter
from statistics import median

_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_HYPHENATED = re.compile(r"([^\W\d_]{2,})[-\u2010]$")
_CONTINUED = re.compile(r"([a-zß-ÿ][^\W\d_]*)")
_WORDS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_BEGINS = re.compile(
    r"(?:[-*•·▪‣○●■□◆◇▶※–—]\s|\(?[0-9]{1,3}[.)]\s|[가-하][.)]\s|[①-⑳]|[IVX]{1,5}\.\s|제\s?[0-9]+\s?[장절조항]"
    r"|[0-9]+(?:\.[0-9]+)+\s)"
)
_HANGUL = re.compile("[가-힣]")
_COLUMNS = re.compile(r"\S {3,}\S|\t")
_NUMBERS = re.compile(r"[0-9]{1,5}")
_LETTER = re.compile(r"[^\W\d_]")
_NUMBERED = re.compile(
    r"(?:(?:chapter|section|appendix)\s+)?(?:[A-Z]?[0-9]+(?:\.[0-9]+)*|[A-Z]|[IVX]+)[.):]?\s+(?=\S)", re.I
)
_PROOF = 3
"""Pages on which a line must stand; lines of nothing but a page number need no more."""
_EDGE = 2
"""Lines at the top and at the bottom of a page among which a running head may be."""
_FULL = 0.8
"""Of the usual length of a page's lines: a line that long was broken for want of space."""

Head = tuple[str, int | None]


def without_ligatures(text: str) -> str:
    """Typeset ligatures as letters, which is what is searched for."""
    return text.translate(_LIGATURES)


def without_heads(pages: list[list[str]], kept: list[set[str]]) -> list[list[str]]:
    """The pages without what stands at the edge of most of them, with or without a number that counts along.

    `kept` are lines of each page, as `same_words` gives them, that are headings whatever they look like.
    Fewer than four pages prove nothing and stay as they are.
    """
    if len(pages) < 4:
        return pages
    seen: Counter[Head] = Counter()
    for number, lines in enumerate(pages):
        seen.update({head for at in _edges(lines) for head in _heads(lines[at], number)})
    filled = sum(any(line.strip() for line in lines) for lines in pages)
    heads = {
        head
        for head, times in seen.items()
        if times >= _PROOF and (times * 2 > filled or not _LETTER.search(head[0]))
    }
    return [
        _without(lines, number, heads, headings)
        for number, (lines, headings) in enumerate(zip(pages, kept, strict=True))
    ]


def _without(lines: list[str], number: int, heads: set[Head], kept: set[str]) -> list[str]:
    gone = {
        at
        for at in _edges(lines)
        if not heads.isdisjoint(_heads(lines[at], number)) and same_words(lines[at]) not in kept
    }
    left = [line for at, line in enumerate(lines) if at not in gone]
    return left if any(line.strip() for line in left) else lines


def _edges(lines: list[str]) -> set[int]:
    return {at for at in (*range(_EDGE), *range(len(lines) - _EDGE, len(lines))) if 0 <= at < len(lines)}


def _heads(line: str, number: int) -> set[Head]:
    """What the line may be on other pages: the same, or the same but for a number that counts along."""
    text = " ".join(line.split())
    if not text:
        return set()
    found: set[Head] = {(text, None)}
    for digits in _NUMBERS.finditer(text[:200]):
        counted = int(digits.group()) - number
        found.add((f"{text[: digits.start()]}#{text[digits.end() :]}", counted))
    return found


def same_words(line: str) -> str:
    """A line as it is compared with a heading: spaces, case and a number in front do not count.

    >>> same_words("2.1  Rules") == same_words("rules")
    True
    """
    return "".join(_NUMBERED.sub("", line.strip()).split()).casefold()


class Reflow:
    """Joins the lines of one document's pages; all of them are seen before, to know how they are broken."""

    def __init__(self, pages: list[list[str]]) -> None:
        whole = "\n".join("\n".join(lines) for lines in pages)
        self._words = Counter(word.lower() for word in _WORDS.findall(whole))
        broken = [line for lines in pages for line in lines if _HANGUL.match(line.rstrip()[-1:])]
        spaced = sum(line.endswith(" ") for line in broken)
        # Where lines that end with a word keep its space, one without a space ends within a word.
        self._spaces_tell = spaced * 5 >= len(broken) and spaced >= 3

    def page(self, lines: list[str]) -> str:
        """The text of a page: paragraphs parted by empty lines, what was one line of text on one line."""
        lengths = [len(line.strip()) for line in lines if len(line.strip()) > 20]
        usual = median(sorted(lengths)[len(lengths) // 2 :]) if lengths else 0
        out: list[str] = []
        before = ""
        for line in lines:
            text = line.strip()
            if out and self._goes_on(before, text, usual):
                out[-1] = self._joined(out[-1], before, text)
            elif out and not before.strip() and text:
                out += ["", text]
            elif text:
                out.append(text)
            before = line
        return "\n".join(out)

    def _goes_on(self, before: str, text: str, usual: float) -> bool:
        """Whether a line is the same paragraph as the one before it."""
        previous = before.strip()
        if (
            not text
            or not previous
            or _BEGINS.match(text)
            or _COLUMNS.search(previous)
            or _COLUMNS.search(text)
        ):
            return False
        if _HYPHENATED.search(previous) and _CONTINUED.match(text):
            return True
        return len(previous) >= _FULL * usual > 0 and len(previous) > 20

    def _joined(self, out: str, before: str, text: str) -> str:
        hyphenated = _HYPHENATED.search(out)
        continued = _CONTINUED.match(text)
        if hyphenated and continued:
            first, second = hyphenated.group(1).lower(), continued.group(1).lower()
            if self._words[f"{first}-{second}"] > self._words[first + second]:
                return out + text
            return out[:-1] + text
        if (
            self._spaces_tell
            and not before.endswith(" ")
            and _HANGUL.match(text)
            and _HANGUL.search(out[-1:])
        ):
            return out + text
        return f"{out} {text}"
