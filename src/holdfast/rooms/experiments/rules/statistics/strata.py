"""When units came: post-stratification by day of the week and time of day.

A unit's stratum is settled by its first exposure and never changes. Each stratum's difference counts by its
share of all units, so arms that were filled at different times are compared at the same times.
"""

from collections.abc import Sequence
from math import sqrt

import msgspec

from holdfast.rooms.experiments.rules.statistics.welch import Arms

PARTS = ("night", "morning", "afternoon", "evening")
"""Six hours each, from midnight."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def stratum(weekday: int, hour: int) -> str:
    """The name of a time in the experiment's own zone: `mon-morning`. Monday is 0."""
    return f"{DAYS[weekday]}-{PARTS[hour // 6]}"


class Weighed(msgspec.Struct, frozen=True):
    """A difference over strata."""

    difference: float
    standard_error: float
    plain: float
    """The difference of the same units, not weighed: whoever lies in no stratum that can be compared is in
    neither, or one such unit would be taken for arms that were filled at different times."""
    strata: int
    covered: float
    """The share of units whose stratum has at least two units in both arms."""


def post_stratified(strata: Sequence[Arms], everybody: float) -> Weighed | None:
    """The strata's differences, each by its share of units; None where no stratum can be compared."""
    units = sum(arms.control_n + arms.treatment_n for arms in strata)
    if not strata or units == 0:
        return None
    shares = [(arms.control_n + arms.treatment_n) / units for arms in strata]
    difference = sum(share * arms.difference for share, arms in zip(shares, strata, strict=True))
    variance = sum(share**2 * arms.standard_error**2 for share, arms in zip(shares, strata, strict=True))
    treatment = _mean([(arms.treatment_n, arms.treatment) for arms in strata])
    control = _mean([(arms.control_n, arms.control) for arms in strata])
    covered = units / everybody if everybody else 0.0
    return Weighed(difference, sqrt(variance), treatment - control, len(strata), covered)


def _mean(parts: Sequence[tuple[float, float]]) -> float:
    return sum(n * mean for n, mean in parts) / sum(n for n, _ in parts)
