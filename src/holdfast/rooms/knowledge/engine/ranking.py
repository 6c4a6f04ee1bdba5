"""BM25 of a few candidates at once, from their packed terms."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.rooms.knowledge.rules.words import signature
from holdfast.rooms.knowledge.store.index import Candidate

SATURATION, LENGTH = 0.5, 0.5
"""k1 and b: best of a grid on KorQuAD's even paragraphs, as good on the odd (R@1 .908; 1.2 and .75: .897).
A chunk tells of one thing, so that it says a word again adds little."""

Floats = npt.NDArray[np.float32]


def bm25(
    candidates: Sequence[Candidate], weights: Mapping[str, float], usual: float
) -> tuple[Floats, Floats]:
    """(score, weight held) of each candidate, for terms of these weights; `usual`: a chunk's usual length."""
    signs = np.array([signature(term) for term in weights], np.uint32)
    order = np.argsort(signs, kind="stable")
    signs = signs[order]
    worth = np.fromiter(weights.values(), np.float32, len(weights))[order]
    sizes = [len(candidate.counts) // 5 for candidate in candidates]
    ends = [4 * size for size in sizes]
    parts = [candidate.counts for candidate in candidates]
    theirs = np.frombuffer(b"".join([part[:end] for part, end in zip(parts, ends, strict=True)]), "<u4")
    times = np.frombuffer(b"".join([part[end:] for part, end in zip(parts, ends, strict=True)]), np.uint8)
    # Which of many thousand terms are asked for: by their lower half, then the few left whole.
    maybe = np.zeros(1 << 16, np.bool_)
    maybe[signs & 0xFFFF] = True
    at = np.flatnonzero(maybe[theirs & 0xFFFF])
    term = np.minimum(np.searchsorted(signs, theirs[at]), len(signs) - 1)
    same = signs[term] == theirs[at]
    at, term = at[same], term[same]
    owner = np.repeat(np.arange(len(sizes)), sizes)[at]
    lengths = np.array([candidate.length for candidate in candidates], np.float32)
    damping = SATURATION * (1 - LENGTH + LENGTH * lengths / usual)
    count = times[at].astype(np.float32)
    parts_of_score = worth[term] * count * (SATURATION + 1) / (count + damping[owner])
    scores = np.bincount(owner, parts_of_score, len(sizes))
    held = np.bincount(owner, worth[term], len(sizes))
    return scores.astype(np.float32), held.astype(np.float32)
