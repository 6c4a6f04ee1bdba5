"""Canary against a concurrent baseline: an e-process that needs no rate, only that both had the same weather.

Given that an error happened while `t` units were counted in the treatment and `c` in control, it lies in the
treatment with probability t/(t + c) when both arms are alike, and t r/(t r + c) when the treatment errs `r`
times as often. Each batch is judged by its own `t` and `c`, so a shared incident, a change of traffic or of
shares moves nothing. Given the number of errors, where they lie is hypergeometric, which a binomial dominates
in convex order (Hoeffding 1963): the mean of the likelihood ratio is at most one.
Source: Lindon & Malek, NeurIPS 2022, arXiv 2011.03567.
"""

import math

from holdfast.rooms.experiments.rules.canary.counts import Counts

RATIOS = (1.25, 1.6, 2.2, 3.5, 6.0, 11.0, 25.0, 40.0)
WEIGHTS = (0.02, 0.04, 0.08, 0.20, 0.38, 0.18, 0.06, 0.04)
"""How plausible each is before looking. Most lies where a few hundred requests decide: below, time is needed
anyway, and above, four errors are enough whatever the weight."""
START = (0.0,) * len(RATIOS)
_LOG_WEIGHTS = tuple(map(math.log, WEIGHTS))
LEAST = 5
"""Units of each arm in a batch that is compared. Fewer wait: in a second with one request of the treatment
and none of control an error says nothing, and all evidence of a quiet site would be lost."""


def enough(treatment: Counts, control: Counts) -> bool:
    """Whether a batch can be compared; looks at how many there are, never at how they went."""
    return treatment.n >= LEAST and control.n >= LEAST


def step(treatment: Counts, control: Counts) -> tuple[float, ...]:
    """What a batch adds to the log e-value of each ratio."""
    share = treatment.n / (treatment.n + control.n)
    bad, well = treatment.bad, control.bad
    steps = []
    for ratio in RATIOS:
        # p_r/p_0 = r / (1 + s(r - 1)) and (1 - p_r)/(1 - p_0) = 1 / (1 + s(r - 1)), with s the share.
        lean = math.log1p(share * (ratio - 1.0))
        steps.append(bad * math.log(ratio) - (bad + well) * lean)
    return tuple(steps)


def log_mixture(logs: tuple[float, ...]) -> float:
    """The log of the weighed mean of e-values."""
    high = max(logs)
    total = sum(math.exp(log + weight - high) for log, weight in zip(logs, _LOG_WEIGHTS, strict=True))
    return high + math.log(total)
