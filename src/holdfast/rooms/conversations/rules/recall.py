"""Which earlier messages matter for a new one: BM25 over terms, on a scale from 0 to about 1."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from holdfast.rooms.conversations.rules.terms import is_part

ASKED_TERMS = 8
"""Terms of the new message that are looked for; whole words come first."""
_K1, _B = 1.2, 0.6
_UNHEARD = 0.4
"""What a word that nobody has said before counts: it says little about which of the messages is meant."""


class Hit(msgspec.Struct, frozen=True, gc=False):
    """An earlier message that has some of the asked terms: its number, all its terms, and those."""

    seq: int
    terms: str
    found: list[str]


class Found(msgspec.Struct, frozen=True, gc=False):
    """A message worth recalling; about 1 is every asked term in a message of the usual length."""

    seq: int
    score: float


def asked(terms: Sequence[str]) -> Sequence[str]:
    """The terms of a message that are looked for."""
    return terms[:ASKED_TERMS]


def hits_in(messages: Iterable[tuple[int, str]], wanted: Sequence[str]) -> list[Hit]:
    """Those of the messages, given by number and terms, that have any of the wanted terms."""
    looked_for = [(term, f" {term} ") for term in wanted]
    hits = []
    for seq, terms in messages:
        found = [term for term, spaced in looked_for if spaced in terms]
        if found:
            hits.append(Hit(seq, terms, found))
    return hits


def best(wanted: Sequence[str], hits: Sequence[Hit], *, of: int, most: int, at_least: float) -> list[Found]:
    """The hits that answer to `wanted`, best first; `of` messages in all say how rare a term is.

    A message whose terms are all in a better one is left out. `hits` are all there are.
    """
    if not hits:
        return []
    worth = _worth(wanted, hits, max(of, len(hits)))
    lengths = [one.terms.count(" ") - 1 for one in hits]
    mean = sum(lengths) / len(lengths)
    top = sum(worth.values())
    scored = []
    for one, length in zip(hits, lengths, strict=True):
        found = 0.0
        for term in one.found:
            found += worth[term]
        saturation = (1 + _K1) / (1 + _K1 * (1 - _B + _B * length / mean))
        score = found / top * saturation
        if score >= at_least - 1e-4 and (score := round(score, 4)) >= at_least:
            scored.append((one, score))
    # Of equals the user's own words, which have odd numbers, then the newest.
    scored.sort(key=lambda pair: (-pair[1], pair[0].seq % 2 == 0, -pair[0].seq))
    return _distinct(scored, most)


def _worth(wanted: Sequence[str], hits: Sequence[Hit], total: int) -> dict[str, float]:
    """What each wanted term is worth, by the messages that have it."""
    counts = dict.fromkeys(wanted, 0)
    for one in hits:
        for term in one.found:
            counts[term] += 1
    return {
        term: math.log(1 + (total - count + 0.5) / (count + 0.5))
        * (0.5 if is_part(term) else 1.0)
        * (1.0 if count else _UNHEARD)
        for term, count in counts.items()
    }


def _distinct(ranked: Sequence[tuple[Hit, float]], most: int) -> list[Found]:
    chosen: list[Found] = []
    seen: list[frozenset[str]] = []
    same: set[str] = set()
    for one, score in ranked:
        if len(chosen) == most:
            break
        if one.terms in same:
            continue
        same.add(one.terms)
        have = one.terms.split()
        if not any(other.issuperset(have) for other in seen):
            chosen.append(Found(one.seq, score))
            seen.append(frozenset(have))
    return chosen
