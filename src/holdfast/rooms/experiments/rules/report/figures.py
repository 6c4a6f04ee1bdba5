"""How figures are written: enough digits to decide by, no more, and never NaN."""

from datetime import UTC, datetime, timedelta

from holdfast.rooms.experiments.rules.report.page import Clock, Figure
from holdfast.rooms.experiments.rules.report.scales import finite

NONE = "–"
MINUS = "\u2212"
_FIRST, _LAST = -62_135_596_800, 253_402_300_799
"""Years 1 and 9999, as far as the calendar goes."""


def number(value: float | None, decimals: int | None = None, signed: bool = False) -> str:
    """12,345.6; a true minus sign; very large and very small ones with a power of ten."""
    value = finite(value)
    if value is None:
        return NONE
    size = abs(value)
    if size >= 1e12 or 0 < size < 1e-6:
        written = f"{size:.2e}"
    else:
        written = f"{size:,.{_decimals(size) if decimals is None else decimals}f}"
    if decimals is None and "." in written and "e" not in written:
        written = written.rstrip("0").rstrip(".")
    zero = not written.strip("0.,")
    sign = MINUS if value < 0 and not zero else "+" if signed and not zero else ""
    return sign + written


def percent(value: float | None, signed: bool = False, decimals: int | None = None) -> str:
    """0.0123 as 1.23 %."""
    value = finite(value)
    if value is None:
        return NONE
    value *= 100
    if decimals is None:
        decimals = _percent_decimals(abs(value))
    return f"{number(value, decimals, signed)} %"


def settled(value: float | None, signed: bool = False) -> str:
    """A share that somebody chose, as they would write it: 5 %, 0.5 %."""
    value = finite(value)
    if value is None:
        return NONE
    sign = MINUS if value < 0 else "+" if signed and value > 0 else ""
    return f"{sign}{abs(value) * 100:.6g} %"


def chosen(value: float | None) -> str:
    """A number that somebody chose, without empty digits: 0.8."""
    value = finite(value)
    return NONE if value is None else f"{value:g}".replace("-", MINUS, 1)


def of_scale(value: float | None, scale: str, unit: str = "", signed: bool = False) -> str:
    """A metric's figure in its own scale."""
    if finite(value) is None:
        return NONE
    if scale == "share":
        return percent(value, signed)
    if scale == "seconds":
        return f"{number(value, signed=signed)} s"
    return f"{number(value, signed=signed)} {unit}".rstrip()


def interval(figure: Figure, scale: str = "share", unit: str = "", signed: bool = False) -> str:
    """From .. to; an open side as -∞ or ∞; nothing where neither side is known."""
    low, high = finite(figure.low), finite(figure.high)
    if low is None and high is None:
        return ""
    left = f"{MINUS}∞" if low is None else of_scale(low, scale, unit, signed)
    right = "∞" if high is None else of_scale(high, scale, unit, signed)
    return f"{left} … {right}"


def stamp(at_s: float | None, clock: Clock, seconds: bool = False) -> str:
    """A moment in the clock's hours: 2026-11-27 14:05."""
    moment = _moment(at_s, clock)
    return NONE if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def tick_stamp(at_s: float, clock: Clock, step_s: float) -> str:
    """A moment beneath an axis: as much of it as tells ticks `step_s` apart from each other."""
    moment = _moment(at_s, clock)
    if moment is None:
        return NONE
    if step_s >= 86_400:
        return moment.strftime("%m-%d")
    return moment.strftime("%H:%M:%S" if step_s < 60 else "%H:%M")


def duration(seconds: float | None, korean: bool = False) -> str:
    """About how long: 3 d 4 h, 5 min, 12 s."""
    seconds = finite(seconds)
    if seconds is None:
        return NONE
    units = ("일", "시간", "분", "초") if korean else ("d", "h", "min", "s")
    gap = "" if korean else " "
    left, parts = round(max(seconds, 0)), []
    for size, unit in zip((86_400, 3600, 60, 1), units, strict=True):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count:,}{gap}{unit}")
    return " ".join(parts[:2]) or f"0{gap}{units[-1]}"


def times(value: float | None) -> str:
    """How many times as much: 7.0x with its sign."""
    value = finite(value)
    return NONE if value is None else f"{number(value, 0 if value >= 10 else 1)}×"


def _moment(at_s: float | None, clock: Clock) -> datetime | None:
    at_s = finite(at_s)
    if at_s is None or not _FIRST <= at_s + clock.offset_s <= _LAST:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at_s + clock.offset_s)


def _decimals(size: float) -> int:
    if size >= 1000 or size == int(size):
        return 0
    return 1 if size >= 100 else 2 if size >= 1 else 3 if size >= 0.01 else 6


def _percent_decimals(size: float) -> int:
    if size in (0, 100):
        return 0
    return 1 if size >= 10 else 2 if size >= 0.1 else 3
