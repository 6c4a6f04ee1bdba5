"""CUPED: what a unit did before the experiment explains part of what it does in it, and is taken away.

Only a past that was over before the unit was exposed may be used. The slope theta is one for all arms; the
past's mean is that of all arms together, so adjusted figures stay on the metric's own scale.
"""

from collections.abc import Sequence

import msgspec

from holdfast.rooms.experiments.rules.statistics.sums import Moments


class Adjustment(msgspec.Struct, frozen=True):
    """How figures are adjusted: y - theta * (x - mean)."""

    theta: float
    mean: float
    """Of the past, over all arms."""
    variance: float
    """Of that mean: both adjusted figures share this noise, so it is in no difference but in each figure."""


def adjustment(arms: Sequence[Moments]) -> Adjustment | None:
    """The slope over the units of all arms; None where the past does not spread."""
    units = sum(arm.n for arm in arms)
    if units < 2:
        return None
    x, y = (
        sum(arm.n * mean for arm, mean in zip(arms, means, strict=True)) / units for means in _means(arms)
    )
    spread = sum((arm.n - 1) * arm.xx + arm.n * (arm.x - x) ** 2 for arm in arms)
    if spread <= 0 or not any(arm.xx > 0 for arm in arms):
        return None
    shared = sum((arm.n - 1) * arm.yx + arm.n * (arm.y - y) * (arm.x - x) for arm in arms)
    return Adjustment(shared / spread, x, spread / (units - 1) / units)


def _means(arms: Sequence[Moments]) -> tuple[list[float], list[float]]:
    return [arm.x for arm in arms], [arm.y for arm in arms]


def adjusted(arm: Moments, by: Adjustment) -> Moments:
    """The arm with its past taken away."""
    variance = arm.yy - 2 * by.theta * arm.yx + by.theta**2 * arm.xx
    return Moments(arm.n, arm.y - by.theta * (arm.x - by.mean), max(0.0, variance))


def noise_removed(before: float, after: float) -> float:
    """The share of a variance that is gone."""
    return 1 - after / before if before > 0 else 0.0
