"""Many comparisons: p-values that count how many there are."""

from collections.abc import Sequence


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values: below alpha, at most a chance of alpha that even one of all is false."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, at in enumerate(order):
        highest = max(highest, (len(ps) - rank) * ps[at])
        adjusted[at] = min(1.0, highest)
    return adjusted


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values: of those below alpha, at most a share of alpha is false on average."""
    order = sorted(range(len(ps)), key=ps.__getitem__, reverse=True)
    adjusted = [0.0] * len(ps)
    lowest = 1.0
    for rank, at in enumerate(order):
        lowest = min(lowest, ps[at] * len(ps) / (len(ps) - rank))
        adjusted[at] = lowest
    return adjusted
