"""Two arms' means against each other without supposing that they spread alike (Welch).

Conversions use it too: a unit's total is 0 or 1, and beyond some hundreds of units Welch and the
two-proportion z-test with unpooled variance are the same thing; one way for every mean keeps CUPED and strata
open to all.
"""

from math import inf, sqrt

import msgspec

from holdfast.rooms.experiments.rules.statistics.distributions import t_beyond, t_two_sided


class Arms(msgspec.Struct, frozen=True):
    """Two estimates with the variances of their units: what every comparison of means comes down to."""

    control: float
    treatment: float
    control_variance: float
    """Of one unit, not of the mean."""
    treatment_variance: float
    control_n: float
    treatment_n: float

    @property
    def difference(self) -> float:
        """Treatment minus control."""
        return self.treatment - self.control

    @property
    def standard_error(self) -> float:
        """Of the difference."""
        return sqrt(self.control_variance / self.control_n + self.treatment_variance / self.treatment_n)

    @property
    def freedom(self) -> float:
        """Welch's and Satterthwaite's degrees of freedom."""
        control = self.control_variance / self.control_n
        treatment = self.treatment_variance / self.treatment_n
        if control + treatment == 0:
            return self.control_n + self.treatment_n - 2
        parts = control**2 / (self.control_n - 1) + treatment**2 / (self.treatment_n - 1)
        return (control + treatment) ** 2 / parts if parts else inf

    @property
    def z(self) -> float:
        """How many standard errors the difference is from nothing."""
        error, difference = self.standard_error, self.difference
        if error == 0:
            return 0.0 if difference == 0 else inf * (1 if difference > 0 else -1)
        return difference / error


def p_value(arms: Arms) -> float:
    """Two-sided p of one look. Only for the last one."""
    return t_two_sided(arms.z, arms.freedom)


def reach(arms: Arms, alpha: float) -> float:
    """Half the width of the interval of one look, in standard errors."""
    return t_beyond(alpha, arms.freedom)


def cohens_d(arms: Arms) -> float | None:
    """The difference over the pooled standard deviation of units; None where nothing spreads."""
    freedom = arms.control_n + arms.treatment_n - 2
    pooled = (
        (arms.control_n - 1) * arms.control_variance + (arms.treatment_n - 1) * arms.treatment_variance
    ) / freedom
    return arms.difference / sqrt(pooled) if pooled > 0 else None


class Relative(msgspec.Struct, frozen=True):
    """A lift over the control's figure, with its interval."""

    value: float
    low: float
    high: float


def relative(
    difference: float,
    control: float,
    variance: float,
    control_variance: float,
    covariance: float,
    reach: float,
) -> Relative | None:
    """The lift `difference / control` with Fieller's interval; None where control is not apart from zero.

    `variance` is that of the difference, `control_variance` of control's figure, `covariance` between the
    two: control's noise is in both, and leaving that out made others' intervals too short. Fieller's interval
    holds exactly those lifts r for which `difference - r * control` is within `reach` standard errors of
    nothing, so it excludes zero exactly when the absolute one does.
    """
    if reach == inf:
        return None
    square = reach * reach
    a = control * control - square * control_variance
    if a <= 0:
        return None
    b = difference * control - square * covariance
    # b * b - a * c, multiplied out: where little of it is left, the difference of the two was all rounding.
    spread = control * control * variance - 2 * control * difference * covariance
    spread += difference * difference * control_variance
    apart = square * (spread - square * (variance * control_variance - covariance * covariance))
    root = sqrt(max(0.0, apart))
    low, high = (b - root) / a, (b + root) / a
    value = difference / abs(control)
    if control < 0:
        low, high = -high, -low
    return Relative(value, min(low, value), max(high, value))
