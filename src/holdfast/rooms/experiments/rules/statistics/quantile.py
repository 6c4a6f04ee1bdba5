"""Quantiles of units' totals from a histogram that merges by addition.

Bins are log-linear: each power of two is cut into `PARTS` equal bins, mirrored for totals below zero, with a
bin of its own for zero. A bin is at most 1/PARTS of its lower edge wide and stands for its middle, so a
quantile is off by at most 1/(2 * PARTS) of itself: 0.4 %. When a unit's total moves, `bin_of(old)` loses one
and `bin_of(new)` gains one.

The interval is that of order statistics: the ranks n*q -+ z*sqrt(n*q*(1-q)) bracket the quantile whatever the
distribution; their distance gives the standard error, with which two arms are compared as if normal.
"""

from collections.abc import Mapping
from math import ceil, frexp, ldexp, sqrt

import msgspec

from holdfast.rooms.experiments.rules.statistics.distributions import normal_at

PARTS = 128
"""Bins of each power of two."""
ERROR = 1 / (2 * PARTS)
"""Most that a quantile is off by, as a share of itself."""
_LOWEST = -64
"""Powers of two below this count as zero."""
_HIGHEST = 128


def bin_of(total: float) -> int:
    """The bin of a unit's total: rises with it; 0 is zero, below zero is mirrored."""
    size, power = frexp(abs(total))
    if size == 0.0 or power <= _LOWEST:
        return 0
    if power > _HIGHEST:
        size, power = 1 - 2**-53, _HIGHEST
    at = (power - _LOWEST - 1) * PARTS + int((size - 0.5) * 2 * PARTS) + 1
    return at if total > 0 else -at


def middle_of(number: int) -> float:
    """What a bin stands for."""
    if number == 0:
        return 0.0
    power, part = divmod(abs(number) - 1, PARTS)
    size = ldexp(0.5 + (part + 0.5) / (2 * PARTS), power + _LOWEST + 1)
    return size if number > 0 else -size


def units(bins: Mapping[int, int]) -> int:
    """How many units are in it."""
    return sum(bins.values())


class Quantile(msgspec.Struct, frozen=True):
    """A quantile with its interval."""

    value: float
    low: float
    high: float
    standard_error: float


def estimate(bins: Mapping[int, int], share: float, alpha: float = 0.05) -> Quantile:
    """The quantile at `share` of the units in these bins; at least one unit."""
    n = units(bins)
    z = -normal_at(alpha / 2)
    spread = z * sqrt(n * share * (1 - share))
    ranks = (n * share, n * share - spread, n * share + spread + 1)
    value, low, high = _at_ranks(bins, [min(n, max(1, ceil(rank))) for rank in ranks])
    return Quantile(value, low, high, max(high - low, 0.0) / (2 * z))


def _at_ranks(bins: Mapping[int, int], ranks: list[int]) -> list[float]:
    """The totals at these ranks, the lowest being 1."""
    found = [0.0] * len(ranks)
    waiting = sorted(range(len(ranks)), key=ranks.__getitem__)
    seen = 0
    at = 0
    for number in sorted(bins):
        seen += bins[number]
        while at < len(waiting) and ranks[waiting[at]] <= seen:
            found[waiting[at]] = middle_of(number)
            at += 1
    return found
