"""Maximal marginal relevance: the next passage is the best that does not say what was said already.

Carbonell and Goldstein, SIGIR 1998. Overlapping chunks and copies of a document would fill an answer.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from holdfast.rooms.knowledge.rules.unpacking import unpacked

BALANCE = 0.3
"""What a likeness of 1 costs, of the whole scale of relevance."""
COPY = 0.9
"""Likeness from which on it is the same passage again: it comes when there is nothing else."""


class Rows(Protocol):
    """How alike each of some chunks is to all of them: a row a chunk."""

    def __getitem__(self, at: int, /) -> npt.NDArray[np.float32]: ...


class Likeness:
    """How alike chunks are, 0 to 1, by the terms they share: the cosine of their sets of packed terms.

    A row is made when it is asked for, which is once a pick.
    """

    def __init__(self, packed: Sequence[bytes]) -> None:
        sizes, signs, _ = unpacked(packed)
        # Terms by number, so that those of one chunk can be marked and found in all at once.
        known, self._terms = np.unique(signs, return_inverse=True)
        self._marks = np.zeros(len(known), np.bool_)
        self._bounds = np.cumsum([0, *sizes])
        self._sizes = np.maximum(1, sizes)

    def __getitem__(self, at: int) -> npt.NDArray[np.float32]:
        own = self._terms[self._bounds[at] : self._bounds[at + 1]]
        self._marks[own] = True
        marked = np.cumsum(self._marks[self._terms], dtype=np.int32)
        self._marks[own] = False
        shared = np.diff(np.append(np.int32(0), marked)[self._bounds])
        row: npt.NDArray[np.float32] = (shared / np.sqrt(self._sizes * self._sizes[at])).astype(np.float32)
        return row


def spread(scores: Sequence[float], alike: Rows, most: int, balance: float = BALANCE) -> list[int]:
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
        row = alike[at]
        np.maximum(nearest, row, out=nearest)
        copies = (row >= COPY) & (left >= 0.0)
        left[copies] -= 2.0 if balance else 0.0
    return picks
