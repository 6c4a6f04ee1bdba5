"""From figures to places on a picture: domains, ticks that people would choose, labels that keep apart."""

import math
import unicodedata
from collections.abc import Iterable, Sequence

import msgspec

_TIME_STEPS = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
    604_800, 1_209_600, 2_592_000, 7_776_000, 31_536_000,
)  # fmt: skip
_LARGEST = 1e300
"""Beyond it the width of a domain would overflow."""


class Span(msgspec.Struct, frozen=True):
    """A stretch of figures laid on a stretch of a picture, linearly."""

    low: float
    high: float
    first: float
    last: float

    def at(self, value: float) -> float:
        """Where `value` lies; what is outside lies on the border."""
        if self.high <= self.low:
            return (self.first + self.last) / 2
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.first + part * (self.last - self.first)


def finite(value: float | None) -> float | None:
    """The value, or None where it is no number that can be drawn."""
    if value is None or not math.isfinite(value):
        return None
    return min(max(float(value), -_LARGEST), _LARGEST)


def domain(values: Iterable[float | None], include: Sequence[float] = ()) -> tuple[float, float]:
    """The least stretch that holds all values and what is to be included; never of no width."""
    kept = [kept for value in (*values, *include) if (kept := finite(value)) is not None]
    if not kept:
        return 0.0, 1.0
    low, high = min(kept), max(kept)
    if low == high:
        reach = abs(low) * 0.5 or 1.0
        return low - reach, high + reach
    return low, high


def time_domain(stamps: Iterable[float | None]) -> tuple[float, float]:
    """The time from the first to the last stamp; an hour around a single one."""
    kept = [kept for stamp in stamps if (kept := finite(stamp)) is not None]
    low, high = domain(kept)
    if not kept or min(kept) < max(kept):
        return low, high
    return kept[0] - 1800.0, kept[0] + 1800.0


def nice_step(width: float, count: int = 5) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that parts `width` into at most `count` steps."""
    wanted = max(width / max(count, 1), 1e-300)
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(
        step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0, 20.0) if step * power >= wanted * (1 - 1e-9)
    )


def ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Round values from low to high, at most `count` + 1 of them."""
    if high <= low:
        return (low,)
    step = nice_step(high - low, count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(number * step for number in range(first, last + 1))


def decimals_of(marks: Sequence[float]) -> int:
    """How many digits after the point tell the marks apart and none of them wrongly."""
    if len(marks) < 2:
        return 2
    step = abs(marks[1] - marks[0])
    return next((count for count in range(12) if abs(round(step, count) - step) <= step * 1e-6), 12)


def time_ticks(low: float, high: float, offset_s: int = 0, count: int = 8) -> tuple[float, ...]:
    """Full seconds, minutes, hours or days of the clock that is `offset_s` ahead of UTC."""
    if high <= low:
        return (low,)
    width = high - low
    step = next((step for step in _TIME_STEPS if width / step <= count), math.ceil(width / count))
    first, last = math.ceil((low + offset_s) / step), math.floor((high + offset_s) / step)
    return tuple(float(number * step - offset_s) for number in range(first, last + 1)) or (low,)


def width_of(text: str, size: float) -> float:
    """About how wide a line of text is: Hangul and its kin are square, other letters a little over half."""
    return sum(size if unicodedata.east_asian_width(sign) in "WF" else size * 0.58 for sign in text)


def shortened(text: str, size: float, width: float) -> str:
    """The text, or as much of it as fits with an ellipsis."""
    if width_of(text, size) <= width:
        return text
    kept = text
    while kept and width_of(kept + "…", size) > width:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def spread(places: Sequence[float], gap: float, low: float, high: float) -> tuple[float, ...]:
    """Places moved no further than they must to stand `gap` apart, in their order, within low..high.

    Where there is no room for all, they stand evenly.
    """
    count = len(places)
    if count > 1 and gap * (count - 1) > high - low:
        gap = (high - low) / (count - 1)
    order = sorted(range(count), key=lambda at: (places[at], at))
    moved = [0.0] * count
    floor = low
    for rank, at in enumerate(order):
        ceiling = high - gap * (count - 1 - rank)
        moved[at] = min(max(places[at], floor), ceiling)
        floor = moved[at] + gap
    return tuple(moved)
