"""The slot that is not the model's: drawn at random, with the probability of the draw written down.

Only what was shown with a known probability can later be counted without the model's own bias
(inverse propensity scoring; Joachims et al., WSDM 2017).
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Urn:
    """Items to draw from, each with its weight; what one caller may not be shown is left out of a draw.

    The running sum over the catalogue is made once, so that a draw takes the time of what is left out.
    """

    __slots__ = ("_reached", "_weights")

    def __init__(self, weights: NDArray[np.float64]) -> None:
        """weights: (n_items,), 0 for what nobody may be shown."""
        self._weights = weights
        self._reached = np.cumsum(weights)

    def draw(self, u: float, taken: Ints) -> tuple[int, float] | None:
        """`draw` over the weights without those of `taken`: rising places, each once."""
        if self._weights.size == 0:
            return None
        gone = self._weights[taken]
        before = np.concatenate([[0.0], np.cumsum(gone)])
        total = float(self._reached[-1] - before[-1])
        # Where next to nothing is left, the difference of two large sums is noise.
        if total > 1e-6 * float(self._reached[-1]):
            open_until = self._reached[taken] - before[1:]
            passed = int(np.searchsorted(open_until, u * total, side="right"))
            place = int(np.searchsorted(self._reached, u * total + before[passed], side="right"))
            if place < self._weights.size and self._weights[place] > 0 and not np.any(taken == place):
                return place, float(self._weights[place]) / total
        left = self._weights.copy()
        left[taken] = 0.0
        return draw(left, u)

    def draw_many(self, us: tuple[float, ...], taken: Ints) -> tuple[tuple[int, float], ...]:
        """One draw for each of `us`, one after the other without putting back; fewer when it is empty."""
        found: list[tuple[int, float]] = []
        for u in us:
            drawn = self.draw(u, taken)
            if drawn is None:
                break
            found.append(drawn)
            taken = np.insert(taken, np.searchsorted(taken, drawn[0]), drawn[0])
        return tuple(found)


def draw(weights: NDArray[np.float64], u: float) -> tuple[int, float] | None:
    """The entry that `u` in [0, 1) falls on and its probability; None when all weights are 0.

    Over all of [0, 1), entry i comes with probability weights[i] / sum(weights): the probabilities sum to 1.
    """
    if weights.size == 0:
        return None
    reached = np.cumsum(weights)
    total = float(reached[-1])
    if total <= 0:
        return None
    place = int(np.searchsorted(reached, u * total, side="right"))
    place = min(place, weights.size - 1)
    if weights[place] <= 0:
        # Rounding at the very end of the range may land past the last entry with a weight.
        place = int(np.flatnonzero(weights)[-1])
    return place, float(weights[place]) / total


def slots_of(limit: int, slots: int, single_share: float, u: float) -> tuple[int, float]:
    """How many of `limit` places are drawn this time, and the probability of that decision.

    With two places or more, always `slots` of them (never all). A single place cannot be both the best
    and the random one, so it is drawn with probability `single_share`.
    """
    if slots <= 0 or limit <= 0:
        return 0, 1.0
    if limit >= 2:
        return min(slots, limit - 1), 1.0
    return (1, single_share) if u < single_share else (0, 1.0 - single_share)
