"""BM25 of some chunks at once."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from holdfast.rooms.knowledge.rules.stored import Hit, version_of
from holdfast.rooms.knowledge.rules.unpacking import unpacked
from holdfast.rooms.knowledge.rules.words import signature
from holdfast.rooms.knowledge.store.index import Candidate

SATURATION, LENGTH = 0.5, 0.5
"""k1 and b, chosen on all of KorQuAD, where few paragraphs are long (R@1 .908 in memory; 1.2 and .75: .897).
A chunk tells of one thing, so that it says a word again adds little."""

Floats = npt.NDArray[np.float64]


class Matches(NamedTuple):
    """Which chunk has which term how often: three columns, a row a pair."""

    chunk: npt.NDArray[np.unsignedinteger[Any] | np.intp]
    term: npt.NDArray[np.intp]
    times: npt.NDArray[np.uint8]


class Ranked(NamedTuple):
    """What each chunk scores, and the weight of the terms it holds; `whole`: the weight of all."""

    scores: Floats
    held: Floats
    whole: float


def matches(chunks: Sequence[Candidate], terms: Sequence[str]) -> Matches:
    """The pairs of these chunks and terms, both by their place; in order of the chunks."""
    signs = np.array([signature(term) for term in terms], np.uint32)
    order = np.argsort(signs, kind="stable")
    signs = signs[order]
    sizes, theirs, times = unpacked([chunk.counts for chunk in chunks])
    # Which of many thousand are asked for: by their lower half, then the few left whole.
    maybe = np.zeros(1 << 16, np.bool_)
    maybe[signs & 0xFFFF] = True
    at = np.flatnonzero(maybe[theirs & 0xFFFF])
    place = np.minimum(np.searchsorted(signs, theirs[at]), len(signs) - 1)
    same = signs[place] == theirs[at]
    at = at[same]
    return Matches(np.searchsorted(np.cumsum(sizes), at, side="right"), order[place[same]], times[at])


def damping(lengths: npt.NDArray[np.int64], usual: float) -> Floats:
    """By how much each chunk's length makes its terms count less; `usual`: a chunk's usual length."""
    return (SATURATION * (1 - LENGTH + LENGTH * lengths / usual)).astype(np.float64, copy=False)


def bm25(damped: Floats, found: Matches, weights: Floats) -> Ranked:
    """The chunks, damped so, ranked by terms of these weights.

    What nobody holds counts in the whole: it was asked for, and is not there.
    """
    weight = weights[found.term]
    score = weight * found.times * (SATURATION + 1) / (found.times + damped[found.chunk])
    scores, held = (
        np.bincount(found.chunk, part, len(damped)).astype(np.float64, copy=False) for part in (score, weight)
    )
    return Ranked(scores, held, float(weights.sum()))


def best(chunks: npt.NDArray[np.int64], ranked: Ranked, most: int, documents: Mapping[int, str]) -> list[Hit]:
    """At most `most` of these chunks that hold something, best first; of those that are level the oldest.

    `documents`: the document of each version.
    """
    scores = ranked.scores
    least = np.partition(scores, -most)[-most] if most < len(scores) else 0.0
    at = np.flatnonzero((scores >= least) & (scores > 0.0))
    at = at[np.lexsort((chunks[at], -scores[at]))][:most]
    columns = (chunks[at].tolist(), scores[at].tolist(), (ranked.held[at] / ranked.whole).tolist())
    return [
        Hit(chunk, score, documents[version_of(chunk)], held)
        for chunk, score, held in zip(*columns, strict=True)
    ]
