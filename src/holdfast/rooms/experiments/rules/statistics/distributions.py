"""The distributions that tests need. Those of scipy are asked for when they are used, not when loaded."""

from functools import cache
from math import erfc, sqrt
from statistics import NormalDist
from typing import Any

from holdfast.kernel.errors import Misconfigured

_NORMAL = NormalDist()


@cache
def special() -> Any:
    """`scipy.special`; raises Misconfigured with the line to install."""
    try:
        from scipy import special as found
    except ImportError as missing:
        raise Misconfigured(
            "the statistics of A/B tests need scipy", hint="pip install 'holdfast[experiments]'"
        ) from missing
    return found


@cache
def numeric() -> Any:
    """`numpy`; raises Misconfigured with the line to install."""
    try:
        import numpy as found
    except ImportError as missing:
        raise Misconfigured(
            "the statistics of A/B tests need numpy", hint="pip install 'holdfast[experiments]'"
        ) from missing
    return found


def normal_above(z: float) -> float:
    """P(Z > z), exact far into the tail."""
    return 0.5 * erfc(z / sqrt(2))


def normal_at(share: float) -> float:
    """The z below which a share of the standard normal lies; 0 < share < 1.

    Of a tail above one half, ask for the other tail and turn the sign: 1 - 1e-20 is 1.
    """
    return _NORMAL.inv_cdf(share)


def two_sided(z: float) -> float:
    """P(|Z| > |z|)."""
    return erfc(abs(z) / sqrt(2))


def t_two_sided(t: float, freedom: float) -> float:
    """P(|T| > |t|) of Student's t."""
    return float(2 * special().stdtr(freedom, -abs(t)))


def t_beyond(alpha: float, freedom: float) -> float:
    """The t that |T| passes with probability alpha."""
    return float(-special().stdtrit(freedom, alpha / 2))


def chi_square_above(value: float, freedom: float) -> float:
    """P(chi-square > value)."""
    return float(special().chdtrc(freedom, value))
