"""Degree-normalised item-item weights and a spectral low-pass filter in closed form, for large catalogues.

Shen et al., "How Powerful is Graph Convolution for Recommendation?", CIKM 2021 (GF-CF): a history x scores
x S + alpha x D^-c V V' D^c, where S = M'M for the degree-normalised interactions M and V are the largest
eigenvectors. The paper normalises users and items by the square root of their degree everywhere. We keep the
form and free the exponents: `Shape` holds them, with what each was tuned to and how.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

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
from holdfast.rooms.recommend.models.neighbours import neighbour_weights
from holdfast.rooms.recommend.models.sparse import (
    entries,
    entries_many,
    put_together,
    take_apart,
    weighted_rows,
)
from holdfast.rooms.recommend.models.spectrum import top_eigenpairs
from holdfast.rooms.recommend.rules.shortlist import largest

NEIGHBOUR_BYTES = 384 << 20
"""Room for S: all of it at 41,000 items and 810,000 events; beyond, each row keeps its largest weights."""
CALIBRATION_USERS = 256
SHORTLIST = 512
"""Items that a sketch scores in full. On Gowalla its best 20 share 99.8 % with those of the whole score, and
Recall@20 is the same to four digits (`benchmarks/recommend_offline.py` shows both)."""


class Shape(msgspec.Struct, frozen=True):
    """The exponents and weights of the filter.

    Tuned by hand on slices of training sets, on a coarse grid of each value. On Gowalla's (a fifth or a
    quarter of each user's events held out at random, and drawn so that items' popularity or users' taste
    drifts; 2,500 users) and on MovieLens-100k's (the latest fifth held out) these values lie on the plateau
    of each; the paper's (0.5 throughout) are 5 to 10 % of NDCG@20 below. Gowalla's test set does not repeat
    that gain: there both are alike, because its later events are far more popular than its earlier ones.
    More eigenvectors gave up to 1 % on the slices and cost their share of every score's time.
    """

    user: float = 0.35
    """Users are divided by degree^user: below 0.5, people with much to say keep some of their weight."""
    enter: float = 0.5
    """Items of the history are divided by degree^enter."""
    leave: float = 0.4
    """Items being scored are divided by degree^leave: below 0.5 leans towards what is popular."""
    basis: float = 0.3
    """Items are divided by degree^basis before the eigenvectors are taken."""
    rank: int = 256
    """Eigenvectors kept: 4 bytes an item each, all read for every score."""
    alpha: float = 0.3
    """Weight of the spectral part, in units of the spread that both parts have over the training users."""


class Gfcf:
    """Item-item neighbours plus the smooth part of the whole graph."""

    name: ClassVar[str] = "gfcf"

    def __init__(self, near: csr_matrix, basis: FloatArray, enter: FloatArray, lift: FloatArray) -> None:
        self._near = near
        self._basis = basis
        self._enter = enter
        self._lift = lift

    @classmethod
    def fit(
        cls,
        interactions: csr_matrix,
        *,
        shape: Shape | None = None,
        budget_bytes: int = NEIGHBOUR_BYTES,
        seed: int = 0,
    ) -> Self:
        """Two sparse products and one small eigenproblem; `budget_bytes` bounds the item-item part."""
        log, shape = checked(interactions), shape or Shape()
        user = np.maximum(np.asarray(log.sum(axis=1), dtype=np.float32).ravel(), 1e-6)
        item = np.maximum(np.asarray(log.sum(axis=0), dtype=np.float32).ravel(), 1e-6)
        by_user = (diags(user**-shape.user) @ log).tocsr().astype(np.float32)
        enter = _power(item, -shape.enter)
        near = neighbour_weights(by_user, enter, _power(item, -shape.leave), budget_bytes)
        by_both = (by_user @ diags(_power(item, -shape.basis))).tocsr().astype(np.float32)
        basis, _ = top_eigenpairs(by_both, shape.rank, seed=seed)
        model = cls(near, basis, enter, _power(item, shape.leave))
        model._lift *= np.float32(shape.alpha * model._spread_ratio(log))
        return model

    @property
    def n_items(self) -> int:
        return int(self._near.shape[0])

    def score(self, history: IntArray, weights: FloatArray) -> FloatArray:
        items, strengths = merged(*checked_history(history, weights, self.n_items))
        if items.size == 0:
            return np.zeros(self.n_items, dtype=np.float32)
        found = self._basis @ ((strengths * self._enter[items]) @ self._basis[items])
        found *= self._lift
        found += weighted_rows(self._near, items, strengths)
        return np.asarray(found, dtype=np.float32)

    def sketch(
        self, history: IntArray, weights: FloatArray, allowed: NDArray[np.bool_] | None = None
    ) -> Sketch:
        """Neighbours everywhere, the spectral part only for the SHORTLIST that the neighbours put first.

        The spectral part reads the whole basis for every user (4 bytes x rank an item), most of it for items
        that nobody like this user has taken.
        """
        items, strengths = merged(*checked_history(history, weights, self.n_items))
        near = weighted_rows(self._near, items, strengths)
        taste = (strengths * self._enter[items]) @ self._basis[items]

        def exact(wanted: IntArray) -> FloatArray:
            smooth = (self._basis.take(wanted, axis=0) @ taste) * self._lift[wanted]
            return np.asarray(near[wanted] + smooth, dtype=np.float32)

        if self.n_items <= SHORTLIST:
            return Sketch(exact(np.arange(self.n_items)))
        short = largest(near if allowed is None else near[: allowed.size] * allowed[: near.size], SHORTLIST)
        near[short] = exact(short)
        return Sketch(near, exact, short)

    def score_many(self, histories: csr_matrix) -> FloatArray:
        near, smooth = self._parts(histories)
        smooth += near
        return smooth

    def explain(self, history: IntArray, weights: FloatArray, item: int) -> FloatArray:
        items, strengths = checked_history(history, weights, self.n_items)
        target = self._basis[checked_item(item, self.n_items)] * self._lift[item]
        smooth = (self._basis[items] @ target) * self._enter[items]
        return np.asarray(strengths * (smooth + entries(self._near, items, item)), dtype=np.float32)

    def explain_many(self, history: IntArray, weights: FloatArray, items: IntArray) -> FloatArray:
        known, strengths = checked_history(history, weights, self.n_items)
        targets = self._basis[items] * self._lift[items, np.newaxis]
        found = targets @ (self._basis[known] * self._enter[known, np.newaxis]).T
        found += entries_many(self._near, known, items)
        return np.asarray(found * strengths, dtype=np.float32)

    def similar(self, item: int) -> FloatArray:
        """As a history of `item` alone."""
        found = self.score(np.asarray([checked_item(item, self.n_items)]), np.ones(1, dtype=np.float32))
        found[item] = 0.0
        return found

    def arrays(self) -> Arrays:
        dense = {"basis": self._basis, "enter": self._enter, "lift": self._lift}
        return {**dense, **take_apart("near", self._near)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        # Plain views: every look into a memory map would make another memory map.
        dense = (np.asarray(arrays[name]) for name in ("basis", "enter", "lift"))
        return cls(put_together("near", arrays), *dense)

    def _parts(self, histories: csr_matrix) -> tuple[FloatArray, FloatArray]:
        rows = histories.astype(np.float32)
        mixed = (rows @ diags(self._enter)).tocsr() @ self._basis
        smooth = np.asarray(mixed @ self._basis.T, dtype=np.float32)
        smooth *= self._lift
        return (rows @ self._near).toarray(), smooth

    def _spread_ratio(self, log: csr_matrix) -> float:
        """By how much the neighbours' scores spread wider than the spectral ones, over a sample of users."""
        sample = np.linspace(0, log.shape[0] - 1, min(CALIBRATION_USERS, log.shape[0])).astype(np.int64)
        near, smooth = self._parts(log[sample]) if sample.size else (np.zeros(1), np.zeros(1))
        return float(near.std() / smooth.std()) if smooth.size and near.std() and smooth.std() else 1.0


def _power(degree: FloatArray, exponent: float) -> FloatArray:
    return np.asarray(degree**exponent, dtype=np.float32)
