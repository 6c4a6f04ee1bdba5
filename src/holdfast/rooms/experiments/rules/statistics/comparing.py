"""An estimate becomes a comparison: its interval, what is found, and at the last look its p-value."""

from math import sqrt
from typing import Any

import msgspec

from holdfast.rooms.experiments.rules.statistics import always_valid, welch
from holdfast.rooms.experiments.rules.statistics.distributions import (
    normal_at,
    t_beyond,
    t_two_sided,
    two_sided,
)
from holdfast.rooms.experiments.rules.statistics.estimates import Cell, Estimate
from holdfast.rooms.experiments.rules.statistics.results import (
    Comparison,
    FinalComparison,
    Finding,
    Measured,
    Method,
)

LEAST_UNITS = 100
"""Of each arm, below which nothing is found: means are not yet normal."""
LEAST_CONVERTED = 10
"""Units of the smaller arm that would have converted, and that would not, if both arms were alike. Ten of
both together were too few: an arm of a tenth of the units had one or none of them, hence next to no variance,
and one A/A test in ten found something. The arm's own count would not do: it depends on how it went."""
FARTHEST = 99.0
"""Standard errors that are written for more."""


class Judged(msgspec.Struct, frozen=True):
    """How an estimate is to be read."""

    method: Method
    reach: float
    """Half the interval, in standard errors."""
    level: float
    finding: Finding
    p: float | None = None
    adjusted_p: float | None = None
    middle: float | None = None
    """The median-unbiased effect, in standard errors."""


def enough(measured: Measured, estimate: Estimate) -> bool:
    """Whether there is so much of it that it may decide anything."""
    arms = estimate.arms
    if min(arms.control_n, arms.treatment_n) < LEAST_UNITS or arms.standard_error == 0:
        return False
    if measured.metric.kind != "conversion":
        return True
    control, treatment = estimate.control, estimate.treatment
    converted = control.value * control.units + treatment.value * treatment.units
    rarer = min(converted, estimate.units - converted) / estimate.units
    return rarer * min(control.units, treatment.units) >= LEAST_CONVERTED * (1 - 1e-9)


def normal_z(arms: welch.Arms) -> float:
    """The z that is as rare as Welch's t: boundaries made for z keep their promise in small samples."""
    t = max(-FARTHEST, min(FARTHEST, arms.z))
    if arms.freedom > 1e7 or t == 0:
        return t
    half = t_two_sided(t, arms.freedom) / 2
    if half < 1e-300:
        return t
    return -normal_at(half) if t > 0 else normal_at(half)


def student_reach(z: float, freedom: float) -> float:
    """The boundary `z` in Welch's own standard errors."""
    if freedom > 1e7:
        return z
    tail = two_sided(z)
    return t_beyond(tail, freedom) if tail > 1e-300 else z


def direction(measured: Measured, difference: float) -> Finding:
    """Whether a difference in this direction is for the better."""
    if difference == 0:
        return "unclear"
    return "better" if (difference > 0) == (measured.metric.better == "up") else "worse"


class Guarded(msgspec.Struct, frozen=True):
    """A guardrail's comparison with control's figure less the margin."""

    margin: float
    """In the metric's own unit."""
    z: float
    """Above 0: better than the margin allows."""


def guarded(measured: Measured, estimate: Estimate) -> Guarded:
    """How far the treatment is on the right side of `control -+ margin * control`.

    The margin is a share of control's own figure, whose noise is allowed for.
    """
    arms = estimate.arms
    sign = 1.0 if measured.metric.better == "up" else -1.0
    margin = measured.margin * abs(arms.control)
    slope = 1 - sign * measured.margin * (1 if arms.control >= 0 else -1)
    control = arms.control_variance / arms.control_n
    treatment = arms.treatment_variance / arms.treatment_n
    error = sqrt(treatment + slope**2 * control + (1 - slope) ** 2 * estimate.shared)
    ahead = sign * arms.difference + margin
    if error == 0:
        return Guarded(margin, 0.0)
    return Guarded(margin, ahead / error)


def comparison(
    measured: Measured, cell: Cell, arm: str, estimate: Estimate, judged: Judged, tuned_at: float
) -> Comparison:
    """The comparison as it is shown. With a p-value only where the judgement has one."""
    arms = estimate.arms
    difference, error, z = arms.difference, arms.standard_error, arms.z
    width = judged.reach * error
    lift = estimate.lift(judged.reach)
    shown: dict[str, Any] = {
        "metric": measured.metric.name,
        "arm": arm,
        "role": measured.role,
        "attribute": cell[0],
        "value": cell[1],
        "control": estimate.control,
        "treatment": estimate.treatment,
        "absolute": difference,
        "low": difference - width,
        "high": difference + width,
        "relative": lift and lift.value,
        "relative_low": lift and lift.low,
        "relative_high": lift and lift.high,
        "level": judged.level,
        "method": judged.method,
        "estimator": estimate.estimator,
        "standard_error": error,
        "z": max(-FARTHEST, min(FARTHEST, z)),
        "cohens_d": estimate.cohens_d,
        "noise_removed": estimate.noise_removed,
        "always_valid_p": always_valid.p_value(z, estimate.units, 1 - judged.level, tuned_at),
        "finding": judged.finding,
        "margin": guarded(measured, estimate).margin if measured.role == "guardrail" else None,
    }
    if judged.p is None or judged.adjusted_p is None:
        return Comparison(**shown)
    unbiased = None if judged.middle is None else judged.middle * error
    return FinalComparison(**shown, p=judged.p, adjusted_p=judged.adjusted_p, unbiased=unbiased)
