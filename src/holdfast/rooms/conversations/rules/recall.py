"""Which earlier messages matter for a new one: BM25 over terms, on a scale from 0 to 1."""

import math
from collections.abc import Sequence

import msgspec

from holdfast.rooms.conversations.rules.terms import is_part, terms

ASKED_TERMS = 12
"""Terms of the new message that the database looks for; whole words come first."""
_K1, _B = 1.2, 0.6


class Candidate(msgspec.Struct, frozen=True):
    """An earlier message and its terms, as they were stored."""

    seq: int
    role: str
    text: str
    terms: str
    at_ms: int = 0


class Found(msgspec.Struct, frozen=True):
    """A message worth recalling; `score` 1 would be every asked term in a message of nothing else."""

    candidate: Candidate
    score: float


def asked(message: str) -> list[str]:
    """The terms to look for."""
    return terms(message)[:ASKED_TERMS]


def best(
    wanted: Sequence[str], candidates: Sequence[Candidate], *, of: int, most: int, at_least: float
) -> list[Found]:
    """The candidates that answer to `wanted`, best first; `of` messages in all say how rare a term is.

    A message that says nothing which a better one does not say is left out.
    """
    if not wanted or not candidates:
        return []
    known = [(candidate, frozenset(candidate.terms.split())) for candidate in candidates]
    rare = _rarity(wanted, [have for _, have in known], max(of, len(known)))
    mean = sum(len(have) for _, have in known) / len(known) or 1.0
    top = sum(rare.values()) * (_K1 + 1) / (1 + _K1 * (1 - _B))
    scored = []
    for candidate, have in known:
        gained = sum(worth for term, worth in rare.items() if term in have)
        if gained:
            saturation = (_K1 + 1) / (1 + _K1 * (1 - _B + _B * len(have) / mean))
            scored.append(Found(candidate, round(gained * saturation / top, 4)))
    scored.sort(key=lambda found: (-found.score, -found.candidate.seq))
    chosen: list[Found] = []
    seen: list[frozenset[str]] = []
    for found in scored:
        have = frozenset(found.candidate.terms.split())
        if found.score < at_least or len(chosen) == most:
            break
        if not any(have <= other for other in seen):
            chosen.append(found)
            seen.append(have)
    return chosen


def _rarity(wanted: Sequence[str], known: Sequence[frozenset[str]], total: int) -> dict[str, float]:
    """What each wanted term is worth. Candidates are those that have any, so they tell its frequency."""
    found = {}
    for term in wanted:
        share = sum(term in have for have in known)
        worth = math.log(1 + (total - share + 0.5) / (share + 0.5))
        # A word that nobody has said before says little about which of the messages is meant.
        found[term] = worth * (0.5 if is_part(term) else 1.0) * (1.0 if share else 0.4)
    return found
