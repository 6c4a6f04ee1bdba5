"""Where a rate may be, at whatever moment one looks: a confidence sequence.

The mixture of binomial likelihoods over a Beta(a, b), divided by the likelihood of a rate, is an e-process
for that rate; rates whose e-value has reached 1/alpha are out (Robbins 1970; Howard et al. 2021).
"""

import math

from holdfast.rooms.experiments.rules.canary.counts import Counts

ALPHA = 0.05
_A, _B = 0.5, 30.0
"""Beta(0.5, 30) has its mean at 1.6 %: narrow where rates of errors are, and never far off elsewhere."""
_ROUNDS = 60


def log_against(counts: Counts, rate: float) -> float:
    """The log e-value against this rate."""
    bad, well = counts.bad, counts.n - counts.bad
    return (
        _log_beta(_A + bad, _B + well) - _log_beta(_A, _B) - bad * math.log(rate) - well * math.log1p(-rate)
    )


def below(counts: Counts, rate: float, alpha: float = ALPHA) -> bool:
    """Whether the upper bound is below `rate`."""
    return counts.n > 0 and counts.rate < rate and log_against(counts, rate) >= -math.log(alpha)


def above(counts: Counts, rate: float, alpha: float = ALPHA) -> bool:
    """Whether the lower bound is above `rate`."""
    return counts.n > 0 and counts.rate > rate and log_against(counts, rate) >= -math.log(alpha)


def interval(counts: Counts, alpha: float = ALPHA) -> tuple[float, float]:
    """The lower and upper bound; of nothing counted, everything is possible."""
    if counts.n == 0:
        return 0.0, 1.0
    rate = counts.rate
    lower = 0.0 if counts.bad == 0 else _edge(counts, 0.0, rate, alpha)
    upper = 1.0 if counts.bad == counts.n else _edge(counts, 1.0, rate, alpha)
    return lower, upper


def _edge(counts: Counts, out: float, inside: float, alpha: float) -> float:
    """Where the e-value reaches 1/alpha, between a rate that is out and one that is in."""
    level = -math.log(alpha)
    for _ in range(_ROUNDS):
        middle = (out + inside) / 2
        if middle in (0.0, 1.0, out, inside):
            break
        if log_against(counts, middle) >= level:
            out = middle
        else:
            inside = middle
    return inside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
