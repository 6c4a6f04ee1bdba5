"""BM25 of some chunks at once, from their packed terms."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from holdfast.rooms.knowledge.rules.words import signature
from holdfast.rooms.knowledge.store.index import Candidate

SATURATION, LENGTH = 0.5, 0.5
"""k1 and b, chosen on all of KorQuAD, where few paragraphs are long (R@1 .908 in memory; 1.2 and .75: .897).
A chunk tells of one thing, so that it says a word again adds little."""

Floats = npt.NDArray[np.float64]


class Matches(NamedTuple):
    """Which chunk has which term how often: three columns, a row a pair."""

    chunk: npt.NDArray[np.intp]
    term: npt.NDArray[np.intp]
    times: npt.NDArray[np.uint8]


def matches(chunks: Sequence[Candidate], terms: Sequence[str]) -> Matches:
    """The pairs of these chunks and terms, both by their place; in order of the chunks."""
    signs = np.array([signature(term) for term in terms], np.uint32)
    order = np.argsort(signs, kind="stable")
    signs = signs[order]
    packed = [chunk.counts for chunk in chunks]
    sizes = [len(part) // 5 for part in packed]
    theirs = np.frombuffer(b"".join([part[: 4 * n] for part, n in zip(packed, sizes, strict=True)]), "<u4")
    times = np.frombuffer(b"".join([part[4 * n :] for part, n in zip(packed, sizes, strict=True)]), np.uint8)
    # Which of many thousand are asked for: by their lower half, then the few left whole.
    maybe = np.zeros(1 << 16, np.bool_)
    maybe[signs & 0xFFFF] = True
    at = np.flatnonzero(maybe[theirs & 0xFFFF])
    place = np.minimum(np.searchsorted(signs, theirs[at]), len(signs) - 1)
    same = signs[place] == theirs[at]
    at = at[same]
    return Matches(np.searchsorted(np.cumsum(sizes), at, side="right"), order[place[same]], times[at])


def bm25(chunks: Sequence[Candidate], found: Matches, worth: Floats, usual: float) -> tuple[Floats, Floats]:
    """(score, weight held) of each chunk, for terms of this worth; `usual`: a chunk's usual length."""
    lengths = np.array([chunk.length for chunk in chunks], np.float64)
    damping = SATURATION * (1 - LENGTH + LENGTH * lengths / usual)
    weight = worth[found.term]
    score = weight * found.times * (SATURATION + 1) / (found.times + damping[found.chunk])
    sums: list[Floats] = [
        np.bincount(found.chunk, part, len(chunks)).astype(np.float64) for part in (score, weight)
    ]
    return sums[0], sums[1]
