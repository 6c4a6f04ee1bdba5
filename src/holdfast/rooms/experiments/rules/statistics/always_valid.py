"""Intervals that hold at every look at once, however many there are (asymptotic confidence sequences).

Equation 9 of Waudby-Smith et al., "Time-uniform central limit theory and asymptotic confidence sequences"
(arXiv 2103.06476): with t units and a standard error s of the estimate, the interval is

    estimate +- s * sqrt((t r2 + 1) / (t r2) * ln((t r2 + 1) / alpha^2))

r2 says where the interval is narrowest; it is tuned at the number of units that is expected.
"""

from math import exp, inf, log, sqrt

TUNED_AT = 5_000.0
"""Units of both arms, where nothing else is expected (GrowthBook's default)."""


def rho_squared(alpha: float, at: float = TUNED_AT) -> float:
    """The mixture's spread for which the interval is narrowest at `at` units (after equation 10)."""
    return (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / at


def reach(n: float, alpha: float, at: float = TUNED_AT) -> float:
    """Half the width of the two-sided interval after n units of both arms, in standard errors."""
    if n <= 0:
        return inf
    scaled = n * rho_squared(alpha, at)
    return sqrt((scaled + 1) / scaled * (log(scaled + 1) - 2 * log(alpha)))


def one_sided(n: float, alpha: float, at: float = TUNED_AT) -> float:
    """How far a bound on one side lies, in standard errors (the same paper's one-sided form).

    The mixture is over one side only, and P(Z > x) <= exp(-x^2 / 2) / 2 gives the closed form.
    """
    if n <= 0:
        return inf
    scaled = n * rho_squared(min(2 * alpha, 0.99), at)
    return sqrt(2 * (scaled + 1) / scaled * log(1 + sqrt(scaled + 1) / (2 * alpha)))


def p_value(z: float, n: float, alpha: float, at: float = TUNED_AT) -> float:
    """The least alpha whose interval excludes no effect: valid at any look.

    The mixture stays as it was tuned for `alpha`.
    """
    if n <= 0:
        return 1.0
    scaled = n * rho_squared(alpha, at)
    exponent = 0.5 * z * z * scaled / (scaled + 1)
    return min(1.0, sqrt(scaled + 1) * exp(-min(exponent, 700.0)))
