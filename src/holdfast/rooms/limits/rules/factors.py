"""What makes a limit larger or smaller: the tier, the hour, the load. Pure: time and zone are given."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

import msgspec

from holdfast.rooms.limits.rules.policy import FREE

QUARTER_S = 900
"""No zone's offset from UTC is finer than a quarter of an hour, so no band begins or ends within one."""


class Band(msgspec.Struct, frozen=True):
    """A stretch of the local day, half-open: from `since` o'clock up to, not including, `until`."""

    since: int
    until: int
    factor: float

    def covers(self, hour: int) -> bool:
        """Whether local `hour` lies in it; a band may pass midnight (23 to 6)."""
        if self.since <= self.until:
            return self.since <= hour < self.until
        return hour >= self.since or hour < self.until


BANDS: Sequence[Band] = (Band(9, 18, 0.8), Band(23, 6, 1.5))

STEPS = 20
"""Load is looked at in steps of 1/20, so that effective limits are few and can be kept."""
_KNEES = (math.inf, 0.9, 0.8, 0.7)
"""Load from which on a priority's limits shrink; critical ones never do."""
_FLOORS = (1.0, 0.5, 0.25, 0.1)
"""The factor at full load and beyond, by priority."""


def hour_factor(bands: Sequence[Band], hour: int) -> float:
    """The factor of the first band that covers local `hour`; 1 where none does."""
    return next((band.factor for band in bands if band.covers(hour)), 1.0)


def local_hour(wall_s: float, zone: tzinfo) -> int:
    """The hour of the day, 0 to 23, in `zone` at `wall_s` epoch seconds."""
    return datetime.fromtimestamp(wall_s, zone).hour


def until_next_quarter_s(wall_s: float) -> float:
    """Seconds until the next quarter of an hour: until then `local_hour` stays what it is."""
    return QUARTER_S - wall_s % QUARTER_S


def tier_of(tiers: Mapping[str, float], tier: str) -> str:
    """The table's name of the tier, whatever its case; FREE for none or an unknown one."""
    upper = tier.upper()
    return upper if upper in tiers else FREE


def load_step(load: float) -> int:
    """The load, 0 (idle) to 1 (full) and beyond, as a step from 0 to STEPS, rounded down."""
    if not load > 0:  # also where it is no number
        return 0
    return STEPS if load >= 1 else int(load * STEPS + 1e-9)


def load_factor(priority: int, step: int) -> float:
    """1 up to the priority's knee, from there straight down to its floor at full load.

    high: from 0.9 to 0.5; normal: from 0.8 to 0.25; low: from 0.7 to 0.1; critical: always 1.

    >>> [load_factor(3, step) for step in (13, 14, 17, 20)]
    [1.0, 1.0, 0.55, 0.1]
    """
    load, knee, floor = step / STEPS, _KNEES[priority], _FLOORS[priority]
    if load <= knee:
        return 1.0
    return round(1.0 - (1.0 - floor) * (load - knee) / (1.0 - knee), 6)


def same_until(step: int) -> tuple[float, float]:
    """The loads, from and up to, within which no limit differs from what it is at `step`."""
    lowest = round(min(_KNEES) * STEPS)
    low = -math.inf if step <= lowest else step / STEPS
    high = math.inf if step >= STEPS else (max(step, lowest) + 1) / STEPS
    return low, high
