"""Log-linear histograms: any positive number within 3.2 % in a small dictionary that adds up.

Each power of two is cut into sixteen equal buckets, so a bucket's midpoint is at most 1/32 of the
value away from it (the layout of HdrHistogram and of OpenTelemetry's log-linear proposals). A bucket
holds the values in `(lower, upper]`, upper edge included, as Prometheus' `le` means it.
"""

from bisect import bisect_left
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from math import ceil, frexp, ldexp, nan

SMALLEST = 2.0**-30
"""About a nanosecond. This and everything below, zero included, share the lowest bucket."""
LARGEST = 2.0**60
"""An exbibyte, or 36 thousand million years. Everything above shares the highest bucket."""
RELATIVE_ERROR = 1 / 32

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BYTES = tuple(2.0**power for power in range(8, 31, 2))
RATIOS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
NUMBERS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0)


def index_of(value: float) -> int:
    """The bucket of `value`; grows with it. NaN has none and raises ValueError."""
    if value > LARGEST:
        value = LARGEST
    elif value <= SMALLEST:
        value = SMALLEST
    mantissa, exponent = frexp(value)
    return (exponent << 4) + ceil(mantissa * 32.0)


LOWEST = index_of(SMALLEST)
HIGHEST = index_of(LARGEST)


def edges(index: int) -> tuple[float, float]:
    """`(lower, upper]` of a bucket; the lowest begins at zero."""
    octave = (index - 17) >> 4
    step = index - (octave << 4)
    lower = 0.0 if index <= LOWEST else ldexp((step - 1) / 32, octave)
    return lower, ldexp(step / 32, octave)


def estimate(index: int) -> float:
    """The value that stands for a bucket: its midpoint; of the lowest, zero."""
    if index <= LOWEST:
        return 0.0
    lower, upper = edges(index)
    return (lower + upper) / 2


def quantile(counts: Mapping[int, int], share: float) -> float:
    """The nearest-rank quantile within RELATIVE_ERROR; NaN of nothing. `share` in 0..1."""
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"a quantile lies in 0..1, not at {share}")
    total = sum(counts.values())
    if total == 0:
        return nan
    rank = max(1, ceil(share * total))
    for index in sorted(counts):
        rank -= counts[index]
        if rank <= 0:
            return estimate(index)
    raise AssertionError("the counts of a histogram are never negative")


def merge(into: MutableMapping[int, int], other: Mapping[int, int]) -> None:
    """Add `other` to `into`, bucket by bucket: the histogram of both sets of values."""
    for index, count in other.items():
        into[index] = into.get(index, 0) + count


@lru_cache(maxsize=64)
def positions(bounds: tuple[float, ...]) -> tuple[int, ...]:
    """For each bucket from LOWEST to HIGHEST the position of its `le` in `bounds` (the last: +Inf).

    A bucket goes by its midpoint. That is exact for bounds on a bucket's edge (1, 2.5, 5, 10, powers
    of two, whole numbers up to 32) and off by at most RELATIVE_ERROR of the bound elsewhere.
    """
    return tuple(bisect_left(bounds, estimate(index)) for index in range(LOWEST, HIGHEST + 1))


def cumulative(counts: Mapping[int, int], bounds: tuple[float, ...]) -> list[int]:
    """Classic Prometheus buckets: how many values are `<= bound` for each bound, then for +Inf."""
    place = positions(bounds)
    found = [0] * (len(bounds) + 1)
    for index, count in counts.items():
        found[place[index - LOWEST]] += count
    running = 0
    for position, count in enumerate(found):
        running += count
        found[position] = running
    return found


def bounds_for(unit: str) -> tuple[float, ...]:
    """The classic bounds of a metric by its unit. Frozen: a changed bound breaks dashboards."""
    return {"seconds": SECONDS, "bytes": BYTES, "ratio": RATIOS}.get(unit, NUMBERS)
