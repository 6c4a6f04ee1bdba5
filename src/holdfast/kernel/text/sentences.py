"""Where sentences begin and end, in Korean and English text, as offsets into the text itself.

Offsets are the contract of citations: `text[start:end]` of a span is the sentence without the white space
around it, and nothing between two spans but white space is left out.
"""

import re
from collections.abc import Iterator

MAX_SENTENCE = 600
"""Characters; what runs on longer (a table, a log, text without full stops) is cut at white space."""

REACH = 4 * MAX_SENTENCE
"""How far a sentence's end is looked for: a text without any must not be searched again and again."""

_CLOSERS = "\"'”’»」』】)\\]}〉》"
_BOUNDARY = re.compile(
    rf"(?P<end>[.!?…]+[{_CLOSERS}]*)(?=\s|$)"  # English and Korean: a stop, then space
    rf"|(?P<cjk>[。！？]+[{_CLOSERS}]*)"  # these need no space after them
    r"|(?P<korean>(?<=[다요죠까])[.!?]+)(?=[가-힣A-Z\"“‘'(])"  # 했다.그리고
    r"|(?P<line>[ \t]*\n\s*)"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|sr|jr|st|no|vs|fig|eq|vol|pp|inc|ltd|co|corp|approx|dept|gen|col|sgt|rev|hon"
    r"|e\.g|i\.e|cf|al|u\.s|u\.k|a\.m|p\.m|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec)"
    r"|\b[a-z])\.$",  # an initial: J. R. R. Tolkien
    re.IGNORECASE,
)
_QUOTED_ON = re.compile(r"\s*(?:라고|라는|라며|라면서|이라고|이라는|이라며|고\s|하고|하며|는\s|란\s|[a-z,;])")
"""What follows a closed quotation inside a sentence: “갔다.”라고 말했다; "Stop!" he said."""
_COUNTED = re.compile(r"(?:^|[\s(\[])[0-9]{1,4}\.$")
_NUMBER_NEXT = re.compile(r"\s*[0-9]")


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, in order; empty for text of white space.

    >>> [text[a:b] for text in ["그는 떠났다. 1989. 3. 12. 돌아왔다!"] for a, b in sentences(text)]
    ['그는 떠났다.', '1989. 3. 12. 돌아왔다!']
    """
    return list(spans(text))


def spans(text: str) -> Iterator[tuple[int, int]]:
    """The same one by one, for a text that is too long to be read at once."""
    begin = at = 0
    while at < len(text):
        edge = begin + REACH
        match = _BOUNDARY.search(text, at, edge)
        if match is not None and match.end() == edge:  # what follows it was out of sight
            match = _BOUNDARY.search(text, match.start(), edge + REACH)
        if match is None:
            end = _cut(text, begin, edge) if edge < len(text) else len(text)
        elif match.lastgroup == "end" and _goes_on(text, begin, match):
            at = match.end()
            continue
        else:
            end = match.end()
        yield from _pieces(text, begin, end)
        begin = at = end
    yield from _pieces(text, begin, len(text))


def _cut(text: str, begin: int, end: int) -> int:
    """The last white space of the span, or its end where there is none."""
    return max(text.rfind(" ", begin + 1, end), text.rfind("\t", begin + 1, end)) + 1 or end


def _goes_on(text: str, begin: int, match: re.Match[str]) -> bool:
    """Whether the stop belongs to an abbreviation, a date, a numbered item or a quotation within."""
    ended = match.group("end")
    if len(ended) > 1 and ended[-1] in "\"'”’»」』" and _QUOTED_ON.match(text, match.end()):
        return True
    if ended != ".":
        return False
    before = text[max(begin, match.start() - 8) : match.end()]
    if _COUNTED.search(before):  # `1. First` begins a sentence; `1989. 3. 12.` is one date
        whole = not text[begin : match.start()].strip().strip("0123456789([ .")
        return whole or bool(_NUMBER_NEXT.match(text, match.end()))
    return bool(_ABBREVIATION.search(before))


def _pieces(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The span without white space at its ends, in pieces of at most MAX_SENTENCE characters."""
    while begin < end and text[begin].isspace():
        begin += 1
    while begin < end and text[end - 1].isspace():
        end -= 1
    while end - begin > MAX_SENTENCE:
        cut = _cut(text, begin, begin + MAX_SENTENCE)
        kept = len(text[begin:cut].rstrip())
        yield begin, begin + kept
        begin = cut
        while begin < end and text[begin].isspace():
            begin += 1
    if begin < end:
        yield begin, end
