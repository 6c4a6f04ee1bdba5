"""Which words of which passage an answer rests on, found by us: a model's numbers and quotes are only claims.

A number that was not given is removed from the text. A quotation is looked for in the passage that it names,
then in the others; white space, kinds of quotation mark and characters that nobody sees may differ, and what
is cited is the exact span of the stored text. A statement without a quotation is tied to the sentence of its
passage that holds most of its words, if that is enough of them. What cannot be tied to anything is dropped.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from holdfast.kernel.text.sentences import sentences
from holdfast.kernel.text.words import terms, weight_of

SUPPORT = 0.5
"""The share of a statement's weighted terms that a sentence must hold to be cited for it."""
LONGEST_QUOTE = 1_000
_MOST_NUMBERS = 20

_MARK = re.compile(r"\s{0,9}[\[［【]([^\[\]［］【】\n]{1,80})[\]］】]")
_WORDS = re.compile(r"passages?|sources?|id|구절|문서|자료|번|[\s,;、·:#–~-]", re.IGNORECASE)
"""What may stand in a mark beside its numbers."""
_NUMBERS = re.compile(r"(\d+)(?:\s*[-–~]\s*(\d+))?", re.ASCII)
_QUOTE = re.compile(r"“([^“”]{2,1000})”|\"([^\"\n]{2,1000})\"|「([^「」]{2,1000})」|『([^『』]{2,1000})』")
_SAME = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "."})
_EDGE = " \t\n.,;:…。'\"“”‘’"


class Claimed(NamedTuple):
    """What a model that quotes says it quotes: `passage.text[start:end] == quote`."""

    passage: str
    start: int
    end: int
    quote: str


class Cited(NamedTuple):
    """`sources[source][start:end] == quote`."""

    source: int
    start: int
    end: int
    quote: str


class Resolved(msgspec.Struct, frozen=True):
    """An answer whose citations hold. `parts`: text, and numbers of `cited`, in the order they are read."""

    parts: tuple[str | int, ...]
    cited: tuple[Cited, ...]
    removed: int = 0
    """Numbers that nobody gave, and claims that nothing bears out."""
    verbatim: bool = False
    """Whether it is quotes and nothing else: without its citation a quote is not shown either."""

    def text(self, after: int = 0) -> str:
        """As it is shown: `[1]` is the first of `cited`, or the number after those that stand before."""
        shown = (part if isinstance(part, str) else f" [{part + after + 1}]" for part in self.parts)
        return "".join(shown).strip()

    def kept(self, holds: Callable[[Cited], bool]) -> "Resolved":
        """The same without the citations that do not hold any more, numbered anew."""
        if self.verbatim:
            cited = tuple(one for one in self.cited if holds(one))
            return _verbatim(cited, self.removed + len(self.cited) - len(cited))
        places = {old: new for new, old in enumerate(n for n, one in enumerate(self.cited) if holds(one))}
        parts = tuple(
            part if isinstance(part, str) else places[part]
            for part in self.parts
            if isinstance(part, str) or part in places
        )
        cited = tuple(self.cited[old] for old in places)
        return Resolved(parts, cited, self.removed + len(self.cited) - len(cited))


def quoted(citations: Sequence[Claimed], names: Sequence[str], sources: Sequence[str]) -> Resolved:
    """The answer of a model that quotes and nothing else; a citation that is not verbatim is left out."""
    cited: list[Cited] = []
    for one in citations:
        source = names.index(one.passage) if one.passage in names else -1
        if source >= 0 and one.quote and sources[source][one.start : one.end] == one.quote:
            cited.append(Cited(source, one.start, one.end, one.quote))
    return _verbatim(tuple(cited), len(citations) - len(cited))


def _verbatim(cited: tuple[Cited, ...], removed: int) -> Resolved:
    """Each quote in quotation marks, with its number."""
    parts: list[str | int] = []
    for number, one in enumerate(cited):
        parts += [f"{' ' if number else ''}“{one.quote}”", number]
    return Resolved(tuple(parts), cited, removed, verbatim=True)


def resolve(text: str, sources: Sequence[str]) -> Resolved:
    """The answer of a model that writes: source number n was given to it as `[n + 1]`."""
    parts: list[str | int] = []
    cited: list[Cited] = []
    removed = at = 0
    for mark in _MARK.finditer(text):
        wanted = _wanted(mark[1])
        if not wanted:
            continue
        said = text[at : mark.start()]
        known = [number - 1 for number in wanted if 0 < number <= len(sources)]
        found = _borne_out(said, known, sources)
        # A quotation that stands nowhere is none: the words stay, the claim that they are quoted goes.
        parts.append(_unquoted(said, sources) if found.has_false_quote else said)
        for one in found.cited:
            if one not in cited:
                cited.append(one)
            parts.append(cited.index(one))
        removed += max(0, len(wanted) - len({one.source for one in found.cited}))
        at = mark.end()
    parts.append(text[at:])
    return Resolved(tuple(_merged(parts)), tuple(cited), removed)


class _Found(NamedTuple):
    cited: list[Cited]
    has_false_quote: bool


def _borne_out(said: str, known: Sequence[int], sources: Sequence[str]) -> _Found:
    """What the statement before a mark rests on, of the passages that the mark names."""
    if not known:
        return _Found([], False)
    statement = _last_sentence(said)
    quotes = _quotes(statement)
    cited: list[Cited] = []
    for quote in quotes:
        order = [*known, *(n for n in range(len(sources)) if n not in known)]
        one = next((hit for n in order if (hit := _cite(quote, n, sources[n]))), None)
        if one is not None and one not in cited:
            cited.append(one)
    if quotes:
        return _Found(cited, len(cited) < len(quotes))
    for number in known:
        span = supporting(statement, sources[number])
        if span is not None:
            cited.append(Cited(number, *span, sources[number][span[0] : span[1]]))
    return _Found(cited, False)


def find_quote(quote: str, text: str) -> tuple[int, int] | None:
    """The exact span of `text` that `quote` stands for, where only looks differ; None when there is none.

    >>> find_quote("두  번째 '문장'", "첫 문장. 두 번째 ‘문장’이다.")
    (6, 15)
    """
    at = text.find(quote)
    if at >= 0:
        return at, at + len(quote)
    wanted, _ = _plain(quote)
    if len(wanted) < 2:
        return None
    plain, places = _plain(text)
    at = plain.find(wanted)
    return None if at < 0 else (places[at], places[at + len(wanted) - 1] + 1)


def supporting(statement: str, text: str) -> tuple[int, int] | None:
    """The sentence of `text` that holds most of the statement's terms, if SUPPORT of their weight."""
    wanted = {term: weight_of(term) for term in terms(statement)}
    whole = sum(wanted.values())
    if not whole:
        return None
    best, span = 0.0, None
    for start, end in sentences(text):
        share = sum(wanted.get(term, 0.0) for term in set(terms(text[start:end]))) / whole
        if share > best:
            best, span = share, (start, end)
    return span if best >= SUPPORT else None


def without_unknown(text: str, known: int) -> str:
    """Text on its way, without marks that name no given number; what is not verified yet stays."""

    def seen(mark: re.Match[str]) -> str:
        wanted = _wanted(mark[1])
        return mark[0] if not wanted or any(0 < number <= known for number in wanted) else ""

    return _MARK.sub(seen, text)


def _wanted(inside: str) -> list[int]:
    """The numbers of a mark; none for brackets that are no mark: [sic], [2024]."""
    told = inside.partition("†")[0]
    rest = _WORDS.sub("", told)
    pairs = _NUMBERS.findall(told)
    if not (rest.isascii() and rest.isdigit()) or any(len(number) > 3 for pair in pairs for number in pair):
        return []
    found: list[int] = []
    for first, last in _NUMBERS.findall(told):
        found.extend(range(int(first), int(last or first) + 1))
    return list(dict.fromkeys(found[:_MOST_NUMBERS]))


def _last_sentence(said: str) -> str:
    spans = sentences(said)
    while spans and not any(sign.isalnum() for sign in said[slice(*spans[-1])]):
        spans.pop()
    return said[slice(*spans[-1])] if spans else ""


def _quotes(statement: str) -> list[str]:
    return [next(group for group in match.groups() if group) for match in _QUOTE.finditer(statement)]


def _cite(quote: str, number: int, source: str) -> Cited | None:
    span = find_quote(quote.strip(), source) or find_quote(quote.strip(_EDGE), source)
    if span is None or span[0] == span[1]:
        return None
    return Cited(number, *span, source[span[0] : span[1]])


def _unquoted(said: str, sources: Sequence[str]) -> str:
    """`said` without the marks around what no source holds."""

    def shown(match: re.Match[str]) -> str:
        words = next(group for group in match.groups() if group)
        is_there = any(_cite(words, number, source) for number, source in enumerate(sources))
        return match[0] if is_there else words

    return _QUOTE.sub(shown, said)


def _plain(text: str) -> tuple[str, list[int]]:
    """What is left to compare, and where each character of it stands: no white space, nothing unseen."""
    signs: list[str] = []
    places: list[int] = []
    for at, sign in enumerate(text):
        if sign.isspace() or unicodedata.category(sign) in ("Cc", "Cf"):
            continue
        for one in unicodedata.normalize("NFKC", sign).translate(_SAME):
            if not one.isspace():
                signs.append(one)
                places.append(at)
    return "".join(signs), places


def _merged(parts: Sequence[str | int]) -> list[str | int]:
    """Without empty text, and without the same number twice in a row."""
    found: list[str | int] = []
    for part in parts:
        if part != "" and not (found and isinstance(part, int) and found[-1] == part):
            found.append(part)
    return found
