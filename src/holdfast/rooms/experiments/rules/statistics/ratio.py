"""Ratios of two totals of a unit: clicks over views. The delta method: a unit is one draw, not a view."""

from math import isfinite

from holdfast.rooms.experiments.rules.statistics.sums import LOST, Moments


def ratio(arm: Moments) -> float | None:
    """All units' numerators over all units' denominators; None of nothing below the line."""
    if arm.d == 0:
        return None
    found = arm.y / arm.d
    return found if isfinite(found) else None


def linear(arm: Moments, slope: float) -> Moments:
    """The moments of units' parts in the ratio `slope`.

    A part is (y - slope * d) / mean d, moved to have the ratio as its mean: its variance over n is the delta
    method's variance of the ratio.
    """
    lost = LOST * (arm.yy + slope * slope * arm.dd)
    return Moments(
        arm.n,
        slope,
        max(lost, arm.yy - 2 * slope * arm.yd + slope * slope * arm.dd) / arm.d**2,
        x=arm.x,
        xx=arm.xx,
        yx=(arm.yx - slope * arm.dx) / arm.d,
    )
