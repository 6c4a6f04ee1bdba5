"""Which entry leaves when the memory is full, by bytes and by count; every step amortised O(1).

Two queues as in S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache
eviction", SOSP 2023): new keys enter a small one, so that a scan passes through without disturbing the
main one. In the place of its ghost queue a sketch of frequencies decides, as in TinyLFU (Einziger, Friedman
and Manes, ACM Transactions on Storage 13(4), 2017): a key leaves the small queue for the main one only when
it was asked for more often than the one that it would push out. The counts are halved as time goes on, so
that what was popular once does not stay for ever. A hit costs one increment: no move, no lock.

Measured on synthetic traces of a thousand requests for each entry that fits (benchmarks/cache.py), in
hundredths of Belady's optimum, against S3-FIFO with its ghosts: +2 on Zipf with scans, +9 on loops, -1 where
popularity shifts every 250 requests an entry, -5 where it shifts every 75.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

from holdfast.rooms.cache.rules.entry import Entry

SMALL_SHARE = 0.05
"""Of the bytes and of the count, for keys that have not proved themselves."""
MAX_HITS = 15
"""Hits of an entry are counted so far between two looks of eviction."""
_COUNTERS_PER_ENTRY = 128
_MAX_COUNTERS = 1 << 22
_MEMORY_SPAN = 60
"""After so many counted requests for each entry that fits, all counts are halved."""
_MOST = 31
"""Counts end here, so that five halvings forget anything."""
_SECOND_CHANCES = 10
"""Entries of the main queue looked at for one eviction, at most."""


class Policy(Protocol):
    """An order of leaving. Holds the entries it was given; knows nothing of values, time or markers."""

    size_bytes: int

    def add(self, entry: Entry) -> None:
        """Take an entry whose key is not in it."""
        ...

    def replace(self, old: Entry, new: Entry) -> None:
        """The same key has a new value."""
        ...

    def remove(self, entry: Entry) -> None:
        """It has been dropped."""
        ...

    def evict(self) -> Entry:
        """Give up one entry; only called while there is one."""
        ...

    def __iter__(self) -> Iterator[Entry]:
        """The most proven first."""
        ...

    def __len__(self) -> int: ...


class Sketch:
    """How often each key was asked for of late: a count-min sketch of two rows in one table of bytes.

    Counts may be too high where keys share both cells, never too low.
    """

    __slots__ = ("_halved", "_limit", "_mask", "_seen", "_table")

    def __init__(self, capacity: int) -> None:
        cells = 1 << max(10, min(capacity * _COUNTERS_PER_ENTRY, _MAX_COUNTERS) - 1).bit_length()
        self._table = bytearray(cells)
        self._mask = cells - 1
        self._seen = 0
        self._limit = max(1_000, capacity * _MEMORY_SPAN)
        self._halved = bytes(count >> 1 for count in range(256))

    def add(self, key: str, times: int = 1) -> None:
        """It was asked for."""
        digest = hash(key)
        one, two = digest & self._mask, (digest >> 23) & self._mask
        table = self._table
        least = min(_MOST, min(table[one], table[two]) + times)
        # Only the lower cell grows ("conservative update"): the other counts somebody else.
        if table[one] < least:
            table[one] = least
        if table[two] < least:
            table[two] = least
        self._seen += times
        if self._seen >= self._limit:
            self._seen //= 2
            self._table = table.translate(self._halved)

    def count(self, key: str) -> int:
        digest = hash(key)
        table = self._table
        return min(table[digest & self._mask], table[(digest >> 23) & self._mask])


class SiftedFifo:
    """The policy of the L1: a small and a main queue, and a sketch that sifts what passes between them."""

    __slots__ = (
        "_main",
        "_main_bytes",
        "_main_limit",
        "_sketch",
        "_small",
        "_small_bytes",
        "_small_limit",
        "size_bytes",
    )

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        self.size_bytes = 0
        self._small: OrderedDict[str, Entry] = OrderedDict()
        self._main: OrderedDict[str, Entry] = OrderedDict()
        self._small_bytes = 0
        self._main_bytes = 0
        self._small_limit = (int(max_bytes * SMALL_SHARE), max(1, int(max_entries * SMALL_SHARE)))
        self._main_limit = (max_bytes - self._small_limit[0], max_entries - self._small_limit[1])
        self._sketch = Sketch(max_entries)

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __iter__(self) -> Iterator[Entry]:
        yield from self._main.values()
        yield from self._small.values()

    def add(self, entry: Entry) -> None:
        entry.hits = 0
        self._sketch.add(entry.key)
        self._small[entry.key] = entry
        self._small_bytes += entry.size_bytes
        self.size_bytes += entry.size_bytes
        if self._is_small_full():
            # While there is room: one at a time, or the first eviction would move all that came so far.
            oldest = next(iter(self._small.values()))
            if self._fits_main(oldest):
                self._small.popitem(last=False)
                self._small_bytes -= oldest.size_bytes
                self._looked_at(oldest)
                self._promote(oldest)

    def _is_small_full(self) -> bool:
        most_bytes, most = self._small_limit
        return self._small_bytes > most_bytes or len(self._small) > most

    def replace(self, old: Entry, new: Entry) -> None:
        """The new value keeps the place and the hits of the old one."""
        grown = new.size_bytes - old.size_bytes
        self.size_bytes += grown
        new.hits = old.hits
        if new.key in self._small:
            self._small[new.key] = new
            self._small_bytes += grown
        else:
            self._main[new.key] = new
            self._main_bytes += grown

    def remove(self, entry: Entry) -> None:
        self.size_bytes -= entry.size_bytes
        if self._small.pop(entry.key, None) is not None:
            self._small_bytes -= entry.size_bytes
        else:
            del self._main[entry.key]
            self._main_bytes -= entry.size_bytes

    def evict(self) -> Entry:
        while self._small and (not self._main or self._is_small_full()):
            candidate = self._small.popitem(last=False)[1]
            self._small_bytes -= candidate.size_bytes
            asked = self._looked_at(candidate)
            if self._fits_main(candidate):
                self._promote(candidate)
                continue
            if not self._main:
                return self._gone(candidate)
            victim = self._victim()
            if asked <= self._sketch.count(victim.key):
                self._promote(victim)  # it stays, and is asked again last
                return self._gone(candidate)
            self._promote(candidate)
            return self._gone(victim)
        return self._gone(self._victim())

    def _looked_at(self, entry: Entry) -> int:
        """Take its hits over into the sketch; how often it was asked for of late."""
        if entry.hits:
            self._sketch.add(entry.key, entry.hits)
            entry.hits = 0
        return self._sketch.count(entry.key)

    def _fits_main(self, entry: Entry) -> bool:
        most_bytes, most = self._main_limit
        return len(self._main) < most and self._main_bytes + entry.size_bytes <= most_bytes

    def _promote(self, entry: Entry) -> None:
        self._main[entry.key] = entry
        self._main_bytes += entry.size_bytes

    def _victim(self) -> Entry:
        """The oldest of the main queue that was not asked for since it was last looked at."""
        main = self._main
        for _ in range(_SECOND_CHANCES):
            key, entry = main.popitem(last=False)
            if not entry.hits:
                break
            self._sketch.add(key, entry.hits)
            entry.hits = 0
            main[key] = entry
        else:
            entry = main.popitem(last=False)[1]
        self._main_bytes -= entry.size_bytes
        return entry

    def _gone(self, entry: Entry) -> Entry:
        self.size_bytes -= entry.size_bytes
        return entry
