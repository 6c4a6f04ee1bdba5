"""Maximal marginal relevance: the next pick is the best that is not like what was picked already.

Carbonell & Goldstein, SIGIR 1998, written as relevance minus a penalty so that the penalty can be
shown as one part of a score.
"""

import numpy as np
from numpy.typing import NDArray


def spread_out(
    relevance: NDArray[np.float64], likeness: NDArray[np.float32], count: int, strength: float
) -> tuple[list[int], list[float]]:
    """The order of at most `count` picks and the penalty each took.

    relevance: (m,) on 0..1. likeness: (m, m), 0..1, symmetric. strength: 0 keeps the order of relevance,
    1 lets a perfect likeness cost as much as the whole scale of relevance.
    """
    count = min(count, relevance.size)
    if strength <= 0:
        order = np.argsort(-relevance, kind="stable")[:count]
        return [int(place) for place in order], [0.0] * count
    left = relevance.copy()
    nearest = np.zeros(relevance.size, np.float32)
    picks: list[int] = []
    penalties: list[float] = []
    for _ in range(count):
        place = int(np.argmax(left - strength * nearest))
        picks.append(place)
        penalties.append(float(strength * nearest[place]))
        left[place] = -np.inf
        np.maximum(nearest, likeness[place], out=nearest)
    return picks, penalties
