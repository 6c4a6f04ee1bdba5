"""How much must be counted before a stage may be left."""

import math

from holdfast.rooms.experiments.rules.canary.counts import Counts

_Z = 1.6449 + 0.8416
"""One-sided 5 %, power 80 %."""
_LEAST_SHARE_OF_LIMIT = 0.1


def least(baseline: Counts, treatment_share: float, limit: float) -> int:
    """Units of the treatment so that twice the baseline's rate would be seen with power 80 %.

    Of counts, the square root has a spread of 1/2 whatever the rate, hence n = z^2 / (4 p (sqrt 2 - 1)^2),
    more where control is small too. A baseline that is almost without errors is taken as a tenth of the
    limit: twice nothing is nothing to look for.
    """
    rate = (baseline.bad + 0.5) / (baseline.n + 1.0) if baseline.n else limit
    rate = min(max(rate, _LEAST_SHARE_OF_LIMIT * limit), 0.5)
    larger = 1.0 if treatment_share >= 1.0 else 1.0 / (1.0 - treatment_share)
    return math.ceil(larger * _Z**2 / (4.0 * rate * (math.sqrt(2.0) - 1.0) ** 2))
