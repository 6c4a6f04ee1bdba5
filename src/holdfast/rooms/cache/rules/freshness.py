"""How long a value lives, and what may be done with it at a given moment.

An entry is fresh until `fresh_until`; then stale: for `stale_s` it is served while a load runs behind
(RFC 5861 stale-while-revalidate), and until `stale_until` it stands in when no new value can be had
(stale-if-error). Shortly before its end it is refreshed early, by chance, the sooner the longer its load
took: XFetch, from "Optimal Probabilistic Cache Stampede Prevention", Vattani, Chierichetti and
Lowenstein, PVLDB 8(8), 2015.
"""

import math
from enum import IntEnum

import msgspec

from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.rules.kinds import Kind

_LEAST_CHANCE = 1e-6
"""Below this chance of an early refresh none is drawn: ln(1e6) = 13.8 load times before the end."""


class State(IntEnum):
    """What an entry is good for."""

    FRESH = 0
    STALE = 1
    """Served at once, while a load runs behind."""
    STANDBY = 2
    """Only when no new value can be had."""
    ENDED = 3


class Cached(msgspec.Struct, frozen=True):
    """What a factory may return to choose its entry's life from the value it found."""

    value: object
    ttl_s: float | None = None
    """Seconds; 0 keeps nothing, None leaves it to the call."""
    tags: tuple[str, ...] = ()
    """Beside those of the call."""


class Absent(msgspec.Struct, frozen=True):
    """What a factory may return to say that there is nothing; callers get None."""

    ttl_s: float | None = None
    """Seconds to remember that; None leaves it to the kind."""


def lifetime(kind: Kind, ttl_s: float | None, chance: float, *, negative: bool = False) -> float:
    """Seconds that an entry stays fresh: what was asked for, or the kind's, spread; `chance` is in [0, 1).

    >>> lifetime(Kind("k", ttl_s=100, jitter=0.1), None, 0.0)
    90.0
    """
    if ttl_s is None:
        ttl_s = kind.negative_ttl_s if negative else kind.ttl_s
    return ttl_s * (1 + kind.jitter * (2 * chance - 1))


def state(entry: Entry, kind: Kind, now: float) -> State:
    """What the entry is good for at `now`, markers aside."""
    if now < entry.fresh_until:
        return State.FRESH
    if now >= entry.stale_until:
        return State.ENDED
    return State.STALE if now < entry.fresh_until + kind.stale_s else State.STANDBY


def standby_s(kind: Kind, *, negative: bool) -> float:
    """Seconds after its freshness for which an entry is kept; nothing at all does not stand in."""
    return kind.stale_s if negative else max(kind.stale_s, kind.fail_safe_s)


def early_from(fresh_until: float, load_s: float, beta: float) -> float:
    """Before this moment the chance of an early refresh is nil."""
    return fresh_until + load_s * beta * math.log(_LEAST_CHANCE)


def is_early(now: float, fresh_until: float, load_s: float, beta: float, chance: float) -> bool:
    """XFetch: whether this reader refreshes before the end; `chance` is in [0, 1)."""
    return now - load_s * beta * math.log(1.0 - chance) >= fresh_until
