"""Defects that come late: a Shiryaev-Roberts sum of e-processes, one beginning at every moment.

`R <- (R + m) L`: `m` is the share of budget spent on defects that begin just now, `L` the likelihood ratio of
what was counted. Twelve healthy hours leave `R` where they found it, so a late defect is found as fast as one
that is there from the start, at the price of about log(horizon) nats. All shares add up to one, hence the sum
is itself an e-process: a false alarm ever has probability <= alpha (in the usual words: the average run
length to a false alarm, chosen beforehand, is at least horizon/(0.9 alpha)).
Source: Shin, Ramdas & Rinaldo, E-detectors, arXiv 2203.03532.
"""

import math

from holdfast.rooms.experiments.rules.canary import relative

STAGE_SHARE = 0.7
"""Of the relative evidence: what begins with an epoch; the rest is for what begins later."""
WITHIN_HORIZON = 0.9
"""Of the late budget: what is spent evenly over the planned time. The rest falls off as 1/t^2, for ever."""
NOTHING = -1e9
"""The log of a sum that is empty. Finite, because JSON has no infinity."""
START = (NOTHING,) * len(relative.RATIOS)


def mass(from_s: float, to_s: float, horizon_s: float) -> float:
    """The share of the late budget that belongs to this time."""
    return _spent(to_s, horizon_s) - _spent(from_s, horizon_s)


def _spent(at_s: float, horizon_s: float) -> float:
    if at_s <= horizon_s:
        return WITHIN_HORIZON * at_s / horizon_s
    return 1.0 - (1.0 - WITHIN_HORIZON) * horizon_s / at_s


def moved(logs: tuple[float, ...], steps: tuple[float, ...], fresh: float) -> tuple[float, ...]:
    """The sums after a batch: those that begin with it are in it."""
    if fresh <= 0.0:
        return tuple(map(sum, zip(logs, steps, strict=True)))
    log_fresh = math.log(fresh)
    found = []
    for log, step in zip(logs, steps, strict=True):
        high, low = (log, log_fresh) if log > log_fresh else (log_fresh, log)
        found.append(high + math.log1p(math.exp(low - high)) + step)
    return tuple(found)
