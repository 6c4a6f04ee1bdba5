"""The rolling summary without a model: old summary + evicted exchange -> new summary, one exchange at a time.

A summary is a tuple of sentences in the order in which they were said. Folding adds what an exchange tells;
when it is too long, the sentences that tell least leave first, whatever their age. They are not lost: the
turns stay in the database and are found by the recall.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from holdfast.kernel.text.graphemes import shorten, size
from holdfast.rooms.conversations.rules.sentences import is_chatter, sentences, squeezed, weight
from holdfast.rooms.conversations.rules.terms import terms

Summary = tuple[str, ...]

_FIGURE = re.compile(r"\d[\d.,:]*")

SENTENCE_BYTES = 160
_OF_USER, _OF_ANSWER = 2, 1
_TELLING, _TELLING_ANSWER, _ANY = 0.5, 1.5, -1.9
_LIKE = 0.7
"""Share of common terms from which two sentences say the same."""


def fold(summary: Sequence[str], user: str, answer: str, limit: int) -> Summary:
    """The summary with one more exchange in it, within `limit` bytes.

    `answer` is "" when it is no source: cut off, or itself made of recalled text.
    """
    found = list(summary)
    for sentence in said(user):
        # Said again by the user: it moves to the end. Repeated by an answer: it says nothing new.
        known = _known(sentence)
        found = [old for old in found if not _alike(_known(old), known)]
        found.append(sentence)
    if new := told(answer):
        have = [_known(old) for old in found]
        found += [one for one in new if not any(_alike(old, _known(one)) for old in have)]
    return within(found, limit)


def said(user: str) -> list[str]:
    """What a message adds: facts first; of one that states none its best sentence, unless it is chatter."""
    return _strongest(user, _OF_USER, _TELLING) or _strongest(user, 1, _ANY)


def told(answer: str) -> list[str]:
    """What an answer adds: only what tells a good deal."""
    return _strongest(answer, _OF_ANSWER, _TELLING_ANSWER)


def alike(one: str, other: str) -> bool:
    """Whether two sentences say the same: with another number, nearly the same words are another fact."""
    return _alike(_known(one), _known(other))


def within(summary: Sequence[str], limit: int) -> Summary:
    """The summary within `limit` bytes, its weakest sentences gone; of two alike the older leaves."""
    kept = list(summary)
    total = sum(size(sentence) + 1 for sentence in kept)
    while kept and total > limit:
        weakest = min(range(len(kept)), key=lambda at: (weight(kept[at]), at))
        if len(kept) == 1:
            short = shorten(kept[0], limit)
            return (short,) if short else ()
        total -= size(kept.pop(weakest)) + 1
    return tuple(kept)


def written(text: str, limit: int) -> Summary:
    """A model's text as a summary, within `limit` bytes from its beginning."""
    kept: list[str] = []
    left = limit
    for sentence in sentences(text):
        cost = size(sentence) + 1
        if cost > left:
            short = shorten(sentence, left - 1)
            return (*kept, short) if size(short) > 20 else tuple(kept)
        kept.append(sentence)
        left -= cost
    return tuple(kept)


def gist(text: str, limit: int) -> str:
    """One message in `limit` bytes: whole when it fits, else what tells most of it, else its beginning."""
    line = squeezed(text[: limit * 40])
    if size(line) <= limit:
        return line
    best = max(sentences(text[: limit * 40]) or [line], key=weight)
    return shorten(best, limit)


def _strongest(text: str, most: int, at_least: float) -> list[str]:
    """The sentences that tell most, in the order in which they stand."""
    found = [sentence for sentence in sentences(text[:8_000]) if not is_chatter(sentence)]
    ranked = sorted(range(len(found)), key=lambda at: (-weight(found[at]), at))
    kept = sorted(at for at in ranked[:most] if weight(found[at]) >= at_least)
    return [shorten(found[at], SENTENCE_BYTES) for at in kept]


Known = tuple[frozenset[str], frozenset[str]]


def _alike(one: Known, other: Known) -> bool:
    if one[1] != other[1]:
        return False
    first, second = one[0], other[0]
    common = len(first & second)
    return common > 0 and common >= _LIKE * (len(first) + len(second) - common)


@lru_cache(maxsize=4096)
def _known(sentence: str) -> Known:
    """The sentence's terms, and those with a digit in them."""
    found = frozenset(terms(sentence))
    return found, frozenset(_FIGURE.findall(sentence))
