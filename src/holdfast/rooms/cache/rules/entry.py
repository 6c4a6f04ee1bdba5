"""The nouns of the cache: an entry, the marker that kills it, and the stamps that order the two.

Stamps are integer microseconds since the epoch by the clock that all nodes share, made strictly growing on
each node (a hybrid logical clock: Kulkarni et al. 2014): what a node does after it has heard of an
invalidation bears a later stamp than that invalidation, however far its own clock is behind.
"""

from typing import Any

import msgspec

KEY, TAG, PREFIX, EVERYTHING = "key", "tag", "prefix", "all"


class Entry(msgspec.Struct, eq=False, gc=False):
    """One value as it is kept in process. Times are seconds of this process's monotonic clock."""

    key: str
    value: Any
    kind: str
    born: int
    """The stamp at which its load began: a marker that is not older concerns it."""
    fresh_until: float
    """Until then it is served as it is."""
    stale_until: float
    """Until then it may stand in, marked stale, while a new one is loaded or when none can be."""
    # What every hit reads stands together: fewer lines of the processor's cache.
    checked: int = 0
    """Up to which count of markers it has been compared with them."""
    hits: int = 0
    """How often it was asked for since eviction last looked at it, at most 15."""
    plain_until: float = 0.0
    """Until then a hit needs no second look: no early refresh is due, and the value is given as it is."""
    tally: Any = None
    """Where the hits of its kind are counted in this process."""
    returns: Any = None
    """The type that `value` was decoded as; None: as JSON has it."""
    retry_at: float = 0.0
    """A load has failed: not before then is the next one tried."""
    tags: tuple[str, ...] = ()
    body: bytes | None = None
    """The value as it travels: JSON, or the bytes themselves."""
    is_bytes: bool = False
    load_s: float = 0.0
    """What its load took: how early a refresh is worth while (XFetch)."""
    size_bytes: int = 0
    is_negative: bool = False
    """Whether it says that there is nothing."""


class Marker(msgspec.Struct, frozen=True, array_like=True):
    """Everything under `name` that began loading at or before `stamp` is dead."""

    scope: str
    """`key`, `tag`, `prefix` or `all`."""
    name: str
    stamp: int


class HybridClock:
    """Strictly growing stamps that follow the shared clock and everything heard from others."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def stamp(self, now_us: int) -> int:
        """A stamp later than every other that this node has given out or heard."""
        self._last = last = max(self._last + 1, now_us)
        return last

    def witness(self, stamp: int) -> None:
        """Another node's stamp: ours come after it from now on."""
        if stamp > self._last:
            self._last = stamp
