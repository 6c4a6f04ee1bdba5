"""Maximal marginal relevance: the next passage is the best that does not say what was said already.

Carbonell and Goldstein, SIGIR 1998. Overlapping chunks and copies of a document would fill an answer.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BALANCE = 0.3
"""What a likeness of 1 costs, of the whole scale of relevance."""
COPY = 0.9
"""Likeness from which on it is the same passage again: it comes when there is nothing else."""


def likeness(packed: Sequence[bytes]) -> npt.NDArray[np.float32]:
    """How alike chunks are, 0 to 1, by the terms they share: the cosine of their sets of packed terms."""
    sizes = [len(counts) // 5 for counts in packed]
    signs = np.frombuffer(b"".join([c[: 4 * n] for c, n in zip(packed, sizes, strict=True)]), "<u4")
    known, place = np.unique(signs, return_inverse=True)
    has = np.zeros((len(packed), len(known)), np.float32)
    has[np.repeat(np.arange(len(packed)), sizes), place] = 1.0
    lengths = np.sqrt(has.sum(1, keepdims=True))
    has /= np.maximum(lengths, 1.0)
    alike: npt.NDArray[np.float32] = has @ has.T
    return alike


def spread(
    scores: Sequence[float], alike: npt.NDArray[np.float32], most: int, balance: float = BALANCE
) -> list[int]:
    """The places of at most `most` picks, in order; the first is always the best score.

    `scores` may be on any scale: what counts is how far each is between the lowest and the highest.
    """
    given = np.asarray(scores, np.float64)
    if not given.size:
        return []
    low, high = given.min(), given.max()
    left = (given - low) / (high - low) if high > low else np.ones(given.size)
    nearest = np.zeros(given.size)
    picks: list[int] = []
    for _ in range(min(most, given.size)):
        at = int(np.argmax(left - balance * nearest))
        picks.append(at)
        left[at] = -np.inf
        np.maximum(nearest, alike[at], out=nearest)
        copies = (alike[at] >= COPY) & (left >= 0.0)
        left[copies] -= 2.0 if balance else 0.0
    return picks
