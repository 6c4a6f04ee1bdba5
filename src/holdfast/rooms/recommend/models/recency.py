"""What somebody did lately says more about what comes next: weights that fall with every newer event.

By rank, not by age: a visitor who comes back after a year is still best described by his last session.
On MovieLens-100k a half-life of 10 events lifts Recall@20 by 8 % (`benchmarks/recommend_offline.py`).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.models.collaborative import FloatArray, IntArray

FAINTEST = np.float32(1e-6)
"""No event fades to nothing: a history stays a history."""


def fading(stamps: ArrayLike, half_life_events: float) -> FloatArray:
    """A weight in (0, 1] for each event of one history: 1 for the newest, halved every `half_life_events`.

    `stamps` are only compared; of equal ones the later in the array is the newer. `inf` weighs all alike.
    """
    when = np.asarray(stamps, dtype=np.float64).ravel()
    return _weights(_newer_events(when, np.zeros(when.size, dtype=np.int64)), half_life_events)


def faded(interactions: csr_matrix, timestamps: NDArray[np.float64], half_life_events: float) -> csr_matrix:
    """`interactions` with each cell's weight multiplied by its fading within its user's row."""
    user = np.repeat(np.arange(interactions.shape[0]), np.diff(interactions.indptr))
    weights = interactions.data * _weights(_newer_events(timestamps, user), half_life_events)
    return csr_matrix((weights, interactions.indices, interactions.indptr), shape=interactions.shape)


def _newer_events(stamps: NDArray[np.float64], user: IntArray) -> IntArray:
    """How many events of the same user are newer; `user` never falls."""
    order = np.lexsort((np.arange(stamps.size), stamps, user))
    newer = np.empty(stamps.size, dtype=np.int64)
    newer[order] = np.searchsorted(user, user, side="right") - 1 - np.arange(stamps.size)
    return newer


def _weights(newer: IntArray, half_life_events: float) -> FloatArray:
    if not half_life_events > 0:
        raise BadInput(f"a half-life of {half_life_events} events", hint="give one above zero, or inf")
    return np.maximum(np.exp2(-newer / half_life_events).astype(np.float32), FAINTEST)
