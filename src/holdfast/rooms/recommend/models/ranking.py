"""Which items a ranking puts on top, and what that is worth against what users did next.

All items are ranked, never a sample (Krichene and Rendle, "On Sampled Metrics for Item Recommendation",
KDD 2020: samples reorder the models); several cut-offs; the mean over users that have something to find.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from holdfast.rooms.recommend.models.collaborative import FloatArray, IntArray
from holdfast.rooms.recommend.models.interactions import checked

CUTS = (10, 20)
BATCH_BYTES = 64 << 20
"""Dense scores held at once while ranking."""

Rank = Callable[[csr_matrix], FloatArray]
"""Histories (users x items) to scores of the same shape: a model's `score_many`."""


class Quality(msgspec.Struct, frozen=True):
    """What a ranking is worth; recall and NDCG by cut-off, 0..1."""

    recall: dict[int, float]
    ndcg: dict[int, float]
    coverage: float
    """The share of items that stand in somebody's list at the longest cut-off."""
    users: int
    """Users that had something to find."""


def recall_ndcg(
    rank: Rank,
    train: csr_matrix,
    held: csr_matrix,
    cuts: Sequence[int] = CUTS,
    *,
    seen: csr_matrix | None = None,
) -> Quality:
    """Rank all items for every user with something held out, from the user's row of `train`.

    What stands in `seen` is left out of the lists (default: `train`).

    Recall is hits over what is held out, NDCG has binary gains and the ideal list cut to the same length:
    the definitions of the LightGCN and GF-CF papers.
    """
    train, held = checked(train), checked(held)
    seen = train if seen is None else checked(seen)
    longest = min(max(cuts), held.shape[1]) if held.shape[1] else 0
    users = np.flatnonzero(np.diff(held.indptr))
    sums = {cut: np.zeros(2) for cut in cuts}
    shown = np.zeros(held.shape[1], dtype=bool)
    batch = max(1, BATCH_BYTES // (4 * max(held.shape[1], 1)))
    for start in range(0, users.size, batch):
        chosen = users[start : start + batch]
        top = _top(rank(train[chosen]), seen[chosen], longest)
        shown[top] = True
        hits = _hits(top, held[chosen])
        for cut in cuts:
            sums[cut] += _gains(hits[:, :cut], np.diff(held.indptr)[chosen])
    count = max(users.size, 1)
    return Quality(
        recall={cut: float(sums[cut][0] / count) for cut in cuts},
        ndcg={cut: float(sums[cut][1] / count) for cut in cuts},
        coverage=float(shown.mean()) if shown.size else 0.0,
        users=int(users.size),
    )


def _top(scores: FloatArray, seen: csr_matrix, length: int) -> IntArray:
    """The `length` best columns of each row, best first; equal scores by column."""
    scores = np.array(scores, dtype=np.float32)
    scores[np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)), seen.indices] = -np.inf
    found = np.sort(np.argpartition(-scores, length - 1, axis=1)[:, :length], axis=1)
    order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(found, order, axis=1), dtype=np.int64)


def _hits(top: IntArray, held: csr_matrix) -> NDArray[np.bool_]:
    wanted = np.zeros(held.shape, dtype=bool)
    wanted[np.repeat(np.arange(held.shape[0]), np.diff(held.indptr)), held.indices] = True
    return np.asarray(np.take_along_axis(wanted, top, axis=1))


def _gains(hits: NDArray[np.bool_], wanted: IntArray) -> NDArray[np.float64]:
    discounts = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(discounts)[np.minimum(wanted, hits.shape[1]) - 1]
    return np.asarray([(hits.sum(axis=1) / wanted).sum(), (hits @ discounts / ideal).sum()])
