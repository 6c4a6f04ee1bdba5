"""One arm against the limit: evidence that its rate is above the limit now.

A mixture over multiples of the limit and over the moments when it may have begun to be so, half of it on the
beginning of the epoch. It is capped a little above what decides: a cap only takes evidence away, so it stays
valid, and an arm that is well again comes down in the time that its traffic needs, however long it was ill.
"""

import math

from holdfast.rooms.experiments.rules.canary import detector
from holdfast.rooms.experiments.rules.canary.counts import Counts

MULTIPLES = (1.4, 2.0, 3.0, 5.0, 10.0, 30.0)
WEIGHTS = (0.15, 0.25, 0.2, 0.2, 0.1, 0.1)
FROM_START = 0.5
START = (math.log(FROM_START),) * len(MULTIPLES)
_LOG_WEIGHTS = tuple(map(math.log, WEIGHTS))
CAP_ABOVE = 3.0
_MOST = 0.98
"""A multiple of the limit is no rate above this."""


def fresh(from_s: float, to_s: float, horizon_s: float) -> float:
    """The share of budget for arms that begin to be bad in this time of the epoch."""
    return (1.0 - FROM_START) * detector.mass(from_s, to_s, horizon_s)


def moved(
    logs: tuple[float, ...], counts: Counts, fresh: float, limit: float, cap: float
) -> tuple[float, ...]:
    """The evidence after a batch of one arm."""
    steps = []
    for multiple in MULTIPLES:
        rate = min(multiple * limit, limit + (1.0 - limit) * _MOST)
        steps.append(
            counts.bad * math.log(rate / limit)
            + (counts.n - counts.bad) * math.log((1.0 - rate) / (1.0 - limit))
        )
    return tuple(min(cap, log) for log in detector.moved(logs, tuple(steps), fresh))


def log_mixture(logs: tuple[float, ...]) -> float:
    """The log of the weighed mean."""
    high = max(logs)
    return high + math.log(
        sum(math.exp(log + weight - high) for log, weight in zip(logs, _LOG_WEIGHTS, strict=True))
    )
