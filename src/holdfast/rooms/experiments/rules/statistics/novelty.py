"""Whether an effect wears off: what units do in their later days against their first days.

Kept sums have a unit's later total as `y` and its first total as `d`. The days differ in length and units in
how long they have been there; but both arms alike, so the treatment's factor over control is compared:

    ln(later treatment / later control) - ln(first treatment / first control)

whose variance follows from units' own later and first totals together (delta method).
"""

from math import exp, log, sqrt

import msgspec

from holdfast.rooms.experiments.rules.statistics.sums import Moments

FIRST_DAYS = 3
"""A unit's days that count as its first."""
MOST_WIDTH = 10.0
"""Of half an interval of logarithms: one that goes from nothing to the 20,000-fold says nothing."""


class Change(msgspec.Struct, frozen=True):
    """How the effect changed, with its interval, as shares."""

    first: float
    later: float
    change: float
    low: float
    high: float
    z: float
    """Standard errors between the two, on the scale of logarithms."""


def change(control: Moments, treatment: Moments, reach: float) -> Change | None:
    """Later against first, its interval `reach` standard errors wide on both sides.

    None where an arm did nothing in one of them, or its totals are all noise.
    """
    if min(control.y, control.d, treatment.y, treatment.d) <= 0:
        return None
    later, first = log(treatment.y / control.y), log(treatment.d / control.d)
    error = sqrt(_variance(control) + _variance(treatment))
    width = reach * error
    if not 0 < width < MOST_WIDTH:
        return None
    moved = later - first
    low, high = exp(moved - width) - 1, exp(moved + width) - 1
    return Change(exp(first) - 1, exp(later) - 1, exp(moved) - 1, low, high, moved / error)


def _variance(arm: Moments) -> float:
    """Of ln(mean later / mean first)."""
    return max(0.0, arm.yy / arm.y**2 - 2 * arm.yd / (arm.y * arm.d) + arm.dd / arm.d**2) / arm.n
