"""EASE: a linear autoencoder in closed form, strongest on catalogues of a few thousand items.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019: with the Gram matrix G = X'X and
P = (G + lambda I)^-1, the item-item weights are B = -P / diag(P), zero on the diagonal. Memory is
4 items^2 bytes and the fit O(items^3), hence the limit.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from holdfast.kernel.errors import TooLarge
from holdfast.rooms.recommend.models.collaborative import (
    Arrays,
    FloatArray,
    IntArray,
    Sketch,
    checked_history,
    checked_item,
    merged,
)
from holdfast.rooms.recommend.models.interactions import checked

MAX_ITEMS = 6_000
"""144 MB kept, three times 288 MB while fitting, some seconds on two cores."""
RIDGE = 300.0


class Ease:
    """Item-item weights that predict each item from all the others at once."""

    name: ClassVar[str] = "ease"

    def __init__(self, pull: FloatArray) -> None:
        self._pull = pull
        """[i, j]: how much having i speaks for j."""

    @classmethod
    def fit(cls, interactions: csr_matrix, *, ridge: float = RIDGE, max_items: int = MAX_ITEMS) -> Self:
        """Invert the Gram matrix; TooLarge above `max_items` items. `ridge` > 0 is the paper's lambda."""
        log = checked(interactions)
        size = log.shape[1]
        if size > max_items:
            raise TooLarge(
                f"EASE over {size} items would take {12 * size * size / 1e9:.1f} GB and minutes",
                hint=f"use gfcf, or raise the limit of {max_items} items",
            )
        gram = (log.T @ log).toarray().astype(np.float64)
        gram[np.diag_indices(size)] += ridge
        return cls(_zero_diagonal_weights(gram))

    @property
    def n_items(self) -> int:
        return int(self._pull.shape[0])

    def score(self, history: IntArray, weights: FloatArray) -> FloatArray:
        items, strengths = merged(*checked_history(history, weights, self.n_items))
        return np.asarray(strengths @ self._pull[items], dtype=np.float32)

    def sketch(
        self, history: IntArray, weights: FloatArray, allowed: NDArray[np.bool_] | None = None
    ) -> Sketch:
        return Sketch(self.score(history, weights))

    def score_many(self, histories: csr_matrix) -> FloatArray:
        return np.asarray(histories.astype(np.float32) @ self._pull, dtype=np.float32)

    def explain(self, history: IntArray, weights: FloatArray, item: int) -> FloatArray:
        items, strengths = checked_history(history, weights, self.n_items)
        return np.asarray(strengths * self._pull[items, checked_item(item, self.n_items)], dtype=np.float32)

    def explain_many(self, history: IntArray, weights: FloatArray, items: IntArray) -> FloatArray:
        known, strengths = checked_history(history, weights, self.n_items)
        return np.asarray(
            self._pull[known[np.newaxis, :], items[:, np.newaxis]] * strengths, dtype=np.float32
        )

    def similar(self, item: int) -> FloatArray:
        """What having `item` alone speaks for; negative where it speaks against."""
        return np.array(self._pull[checked_item(item, self.n_items)])

    def arrays(self) -> Arrays:
        return {"pull": self._pull}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        return cls(arrays["pull"])


def _zero_diagonal_weights(gram: NDArray[np.float64]) -> FloatArray:
    """B of the regularised Gram matrix, through its Cholesky factor: half the work of a general inverse."""
    if gram.size == 0:
        return np.zeros(gram.shape, dtype=np.float32)
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    inverse, also_failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    assert not failed, "a Gram matrix plus a positive ridge is positive definite"
    assert not also_failed
    diagonal = np.diag(inverse).copy()
    pull = np.tril(inverse, -1)
    pull += pull.T
    pull /= -diagonal
    return np.ascontiguousarray(pull, dtype=np.float32)
