"""Which earlier messages matter for a new one: BM25 over terms, on a scale from 0 to about 1."""

import math
from collections.abc import Sequence

import msgspec

from holdfast.rooms.conversations.rules.terms import is_part

ASKED_TERMS = 8
"""Terms of the new message that are looked for; whole words come first."""
_K1, _B = 1.2, 0.6
_UNHEARD = 0.4
"""What a word that nobody has said before counts: it says little about which of the messages is meant."""


class Candidate(msgspec.Struct, frozen=True):
    """An earlier message as the recall sees it: its number and its terms, as they are stored."""

    seq: int
    terms: str


class Found(msgspec.Struct, frozen=True):
    """A message worth recalling; about 1 is every asked term in a message of the usual length."""

    seq: int
    score: float


def best(
    wanted: Sequence[str], candidates: Sequence[Candidate], *, of: int, most: int, at_least: float
) -> list[Found]:
    """The candidates that answer to `wanted`, best first; `of` messages in all say how rare a term is.

    A message whose terms are all in a better one is left out.
    """
    looked = wanted[:ASKED_TERMS]
    hits = _hits(looked, candidates)
    if not hits:
        return []
    worth = _worth(looked, [found for _, found in hits], max(of, len(candidates)))
    lengths = [candidate.terms.count(" ") - 1 for candidate, _ in hits]
    mean = sum(lengths) / len(lengths)
    top = sum(worth.values())
    scored = []
    for (candidate, found), length in zip(hits, lengths, strict=True):
        saturation = (1 + _K1) / (1 + _K1 * (1 - _B + _B * length / mean))
        score = round(sum(worth[term] for term in found) / top * saturation, 4)
        if score >= at_least:
            scored.append((candidate, score))
    # Of equals the user's own words, which have odd numbers, then the newest.
    scored.sort(key=lambda one: (-one[1], one[0].seq % 2 == 0, -one[0].seq))
    return _distinct(scored, most)


def _hits(looked: Sequence[str], candidates: Sequence[Candidate]) -> list[tuple[Candidate, list[str]]]:
    """The candidates that have any of the terms, with those they have."""
    between = [(term, f" {term} ") for term in looked]
    found = [(one, [term for term, text in between if text in one.terms]) for one in candidates]
    return [(one, terms) for one, terms in found if terms]


def _worth(wanted: Sequence[str], hits: Sequence[Sequence[str]], total: int) -> dict[str, float]:
    """What each wanted term is worth. All messages that have one are hits, so they tell its frequency."""
    counts = dict.fromkeys(wanted, 0)
    for found in hits:
        for term in found:
            counts[term] += 1
    return {
        term: math.log(1 + (total - count + 0.5) / (count + 0.5))
        * (0.5 if is_part(term) else 1.0)
        * (1.0 if count else _UNHEARD)
        for term, count in counts.items()
    }


def _distinct(ranked: Sequence[tuple[Candidate, float]], most: int) -> list[Found]:
    chosen: list[Found] = []
    seen: list[frozenset[str]] = []
    for candidate, score in ranked:
        if len(chosen) == most:
            break
        have = frozenset(candidate.terms.split())
        if not any(have <= other for other in seen):
            chosen.append(Found(candidate.seq, score))
            seen.append(have)
    return chosen
