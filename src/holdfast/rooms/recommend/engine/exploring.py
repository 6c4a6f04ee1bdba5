"""The exploration slots of an answer, drawn from everything its caller may be shown."""

import numpy as np
from numpy.typing import NDArray

from holdfast.rooms.recommend.engine.knowledge import Counts
from holdfast.rooms.recommend.rules.eligibility import Gate
from holdfast.rooms.recommend.rules.explore import Urn


class Exploring:
    """Draws; keeps the urn for as long as neither what is available nor the counts change."""

    def __init__(self) -> None:
        self._urn = Urn(np.zeros(0))
        self._made_of: tuple[NDArray[np.bool_], Counts] | None = None

    def draw(self, counts: Counts, gate: Gate, us: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
        """Item and probability for each of `us` in [0, 1); fewer when there is nothing left to show."""
        if not us:
            return ()
        made_of = self._made_of
        if made_of is None or made_of[0] is not gate.available or made_of[1] is not counts:
            self._urn = Urn(_weights(counts, gate.available))
            self._made_of = gate.available, counts
        return self._urn.draw_many(us, gate.taken())


def _weights(counts: Counts, available: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The odds of what is available; items that came after the count were taken by nobody."""
    odds = counts.odds[: available.size]
    newer = np.ones(available.size - odds.size)
    return np.where(available, np.concatenate([odds, newer]), 0.0)
