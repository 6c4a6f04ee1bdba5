"""A queue's rate over all workers: so many starts in any period, kept as one number.

GCRA (generic cell rate algorithm): the *theoretical arrival time* `tat_ms` is when the queue would be through
with what was granted. It is never exceeded in any window of the period, wherever the window begins, a burst
included.
"""

import re

import msgspec

from holdfast.kernel.errors import BadInput

_RATE = re.compile(r"\s*(\d{1,9})\s*(?:/|per)\s*(\d{0,9}(?:\.\d{1,3})?)\s*(ms|s|m|min|h|d)\s*", re.ASCII)
_UNIT_MS = {"ms": 1.0, "s": 1e3, "m": 6e4, "min": 6e4, "h": 3.6e6, "d": 8.64e7}


class Rate(msgspec.Struct, frozen=True):
    """At most `count` starts in any `period_ms`, `burst` of them at once."""

    count: int
    period_ms: float
    burst: int

    @property
    def spacing_ms(self) -> float:
        """Between two starts when many wait: chosen so that a burst and what follows it stay within
        `count`."""
        return self.period_ms / (self.count - self.burst + 1)


class Grant(msgspec.Struct, frozen=True):
    """How many may start now, the number to keep, and when the next may start if not all could."""

    granted: int
    tat_ms: float
    retry_at_ms: int | None = None


def parse_rate(text: str, burst: int | None = None) -> Rate | None:
    """The rate that a setting says, `1000/60s` or `5/m`; None for an empty one.

    A burst of a tenth is allowed at once where none is given.
    """
    if not text.strip():
        return None
    found = _RATE.fullmatch(text)
    count = int(found[1]) if found else 0
    period_ms = float(found[2] or 1) * _UNIT_MS[found[3]] if found else 0.0
    if count < 1 or period_ms <= 0:
        raise BadInput(f"the rate {text[:40]!r} cannot be read", hint="write 1000/60s, 5/s or 100/m")
    return Rate(count, period_ms, max(1, min(count, burst or count // 10)))


def grant(wanted: int, tat_ms: float, now_ms: int, rate: Rate) -> Grant:
    """Grant up to `wanted` starts at `now_ms`; `tat_ms` is what the last grant gave, 0 at first.

    A clock that stepped back leaves a number far ahead: it is taken as a burst just used, so that the queue
    goes on after one period at most instead of standing still.
    """
    spacing_ms = rate.spacing_ms
    tolerance_ms = rate.burst * spacing_ms
    begin_ms = min(max(tat_ms, now_ms), now_ms + tolerance_ms)
    # A hair of tolerance: sums of fractions must not lose a start that is due.
    room = int((now_ms + tolerance_ms - begin_ms) / spacing_ms + 1e-6)
    granted = max(0, min(wanted, room))
    kept_ms = begin_ms + granted * spacing_ms
    if granted >= wanted:
        return Grant(granted, kept_ms)
    return Grant(granted, kept_ms, max(now_ms + 1, int(kept_ms + spacing_ms - tolerance_ms) + 1))


def give_back(count: int, tat_ms: float, now_ms: int, rate: Rate) -> float:
    """The number to keep when `count` of the starts that were just granted are not made."""
    return max(float(now_ms), tat_ms - count * rate.spacing_ms)


def limit(text: str) -> str:
    """`text` when it is a rate, or empty; raises BadInput."""
    parse_rate(text)
    return text.strip()
