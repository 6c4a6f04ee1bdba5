"""What everybody takes: what any other model has to beat, and the answer while there is no data."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from holdfast.rooms.recommend.models.collaborative import (
    Arrays,
    FloatArray,
    IntArray,
    Sketch,
    checked_history,
    checked_item,
)
from holdfast.rooms.recommend.models.interactions import checked


class Popularity:
    """The share of users who took each item, the same for every history that is not empty."""

    name: ClassVar[str] = "popularity"

    def __init__(self, shares: FloatArray) -> None:
        self.shares = shares
        """Shape (n_items,), in 0..1: what to show somebody of whom nothing is known."""

    @classmethod
    def fit(cls, interactions: csr_matrix) -> Self:
        """Count users an item; weights do not matter."""
        log = checked(interactions)
        taken = np.bincount(log.indices, minlength=log.shape[1])
        return cls((taken / max(log.shape[0], 1)).astype(np.float32))

    @property
    def n_items(self) -> int:
        return int(self.shares.size)

    def score(self, history: IntArray, weights: FloatArray) -> FloatArray:
        items, _ = checked_history(history, weights, self.n_items)
        return self.shares.copy() if items.size else np.zeros(self.n_items, dtype=np.float32)

    def sketch(
        self, history: IntArray, weights: FloatArray, allowed: NDArray[np.bool_] | None = None
    ) -> Sketch:
        return Sketch(self.score(history, weights))

    def score_many(self, histories: csr_matrix) -> FloatArray:
        known = np.diff(histories.indptr) > 0
        return np.outer(known, self.shares).astype(np.float32)

    def explain(self, history: IntArray, weights: FloatArray, item: int) -> FloatArray:
        """Equal parts: no event of the history matters more than another."""
        items, _ = checked_history(history, weights, self.n_items)
        share = self.shares[checked_item(item, self.n_items)]
        return np.full(items.size, share / max(items.size, 1), dtype=np.float32)

    def explain_many(self, history: IntArray, weights: FloatArray, items: IntArray) -> FloatArray:
        known, _ = checked_history(history, weights, self.n_items)
        return np.repeat(self.shares[items, np.newaxis] / max(known.size, 1), known.size, axis=1)

    def similar(self, item: int) -> FloatArray:
        """The popular ones: popularity knows of no likeness."""
        found = self.shares.copy()
        found[checked_item(item, self.n_items)] = 0.0
        return found

    def arrays(self) -> Arrays:
        return {"shares": self.shares}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        return cls(arrays["shares"])
