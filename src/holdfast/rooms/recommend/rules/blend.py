"""Scores of different origin on one scale, and how much each origin counts.

Raw scores of a collaborative filter, of text similarity and of declared interests have nothing in
common but their order, so each is mapped onto 0..1 over the request's own candidates before they are
added. The map is affine: that is what lets an explanation of the raw score stay exact after it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from holdfast.rooms.recommend.rules.problems import BadWeights

SOURCES = ("collaborative", "content", "persona", "popularity")
PERSONAL = ("collaborative", "content", "persona")

Floats = NDArray[np.float32]


class Scale(NamedTuple):
    """`score = raw * factor + offset` puts a raw score on the common scale."""

    factor: float
    offset: float

    def of(self, raw: Any) -> Any:
        return raw * self.factor + self.offset


INDIFFERENT = Scale(0.0, 0.5)
"""A source that cannot tell the candidates apart says one half of each."""


def scale_over(raw: Floats) -> Scale:
    """The map that takes the smallest of `raw` to 0 and the largest to 1; INDIFFERENT when all are equal."""
    if raw.size == 0:
        return INDIFFERENT
    low, high = float(raw.min()), float(raw.max())
    spread = high - low
    # A NaN or an infinity anywhere reaches `spread`; so does a spread too small to divide by.
    if not np.isfinite(spread) or spread <= 1e-12 * max(1.0, abs(low), abs(high)):
        return INDIFFERENT
    return Scale(1.0 / spread, -low / spread)


def weights_by_evidence(
    events: int, k: float, priors: Mapping[str, float], present: Mapping[str, bool]
) -> dict[str, float]:
    """The share of each source, summing to 1: collaborative gets n/(n+k), the others split what is left.

    What a source that is not `present` would have got goes to the personal ones that are, in proportion:
    popularity never gains by what is missing, or one event would still be answered with everybody's list.
    With no personal source at all, popularity is all there is.
    """
    grown = events / (events + k) if events > 0 else 0.0
    total = sum(priors.values())
    shares = {name: (1.0 - grown) * priors[name] / total if total > 0 else 0.0 for name in priors}
    shares["collaborative"] = grown
    found = {name: shares.get(name, 0.0) if present.get(name) else 0.0 for name in SOURCES}
    personal = sum(found[name] for name in PERSONAL)
    if personal <= 0:
        return {**dict.fromkeys(SOURCES, 0.0), "popularity": 1.0}
    for name in PERSONAL:
        found[name] *= (1.0 - found["popularity"]) / personal
    return found


def weights_asked(asked: Mapping[str, float]) -> dict[str, float]:
    """The caller's own weights, made to sum to 1; raises BadWeights for unknown names, below 0, or sum 0."""
    unknown = sorted(set(asked) - set(SOURCES))
    if unknown:
        raise BadWeights(f"unknown source {unknown[0]!r}", hint=f"sources are {', '.join(SOURCES)}")
    values = {name: float(asked.get(name, 0.0)) for name in SOURCES}
    if not all(np.isfinite(value) and value >= 0 for value in values.values()):
        raise BadWeights("a weight is below 0 or not a number", hint="send weights of 0 or more")
    total = sum(values.values())
    if not np.isfinite(total) or total <= 0:
        raise BadWeights("the weights sum to 0", hint="give at least one source a weight above 0")
    return {name: value / total for name, value in values.items()}
