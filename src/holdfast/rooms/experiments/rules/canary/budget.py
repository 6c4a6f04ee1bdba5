"""How the chance of a false rollback is split, settled before anything is counted.

alpha of the release
└─ over its deciding gates, equally
   ├─ 0.95: worse than the baseline. ONE e-process, the weighed sum of e-processes that begin with each epoch
   │        (relative.py; 0.7, of which the first epoch 0.8) and of those that begin at any other moment
   │        (detector.py; 0.3). Weights add up to at most one, so the mean of the sum is <= 1 while both arms
   │        are alike, and by Ville's inequality the chance that it ever reaches 1/(0.95 alpha) is at
   │        most 0.95 alpha, whenever and however often one looks.
   └─ 0.05: above the limit (absolute.py), again one weighed sum over all epochs and moments.

The union bound over gates and over these two gives alpha for the whole release, all stages and all time. What
else rolls back is no statistics: a plain crash, and a stage that ran out of time. That the baseline is over
the limit never rolls back, so it costs no budget: it counts from 1/alpha on.
"""

import math

import msgspec

from holdfast.rooms.experiments.rules.releases import Gate, Release

RELATIVE_SHARE = 0.95
ABSOLUTE_SHARE = 0.05
FIRST_EPOCH = 0.8
SHORTEST_HORIZON_S = 3600.0


class Terms(msgspec.Struct, frozen=True):
    """What one gate of one release is judged by. Thresholds are logs of 1/alpha."""

    limit: float
    warn: float
    horizon_s: float
    """Planned time of all stages: late defects are looked for over this time first of all."""
    relative_at: float
    absolute_at: float
    shared_at: float
    """From here on the baseline itself is over the limit."""


def terms_of(release: Release, gate: Gate) -> Terms:
    """The terms of a gate; they follow from the definition alone, so they never move while it runs."""
    deciding = max(1, sum(not each.observe_only for each in release.gates))
    alpha = release.alpha / deciding
    return Terms(
        limit=gate.limit,
        warn=gate.warn,
        horizon_s=max(SHORTEST_HORIZON_S, sum(stage.dwell_s for stage in release.stages)),
        relative_at=-math.log(RELATIVE_SHARE * alpha),
        absolute_at=-math.log(ABSOLUTE_SHARE * alpha),
        shared_at=-math.log(alpha),
    )


def log_epoch_share(epoch: int) -> float:
    """The log of an epoch's share: 0.8, 0.1, 0.05, ... add up to one however many epochs there are.

    The first has most: there traffic is least, and most bad releases are found.
    """
    return math.log(FIRST_EPOCH) if epoch == 0 else math.log(1.0 - FIRST_EPOCH) - epoch * math.log(2.0)
