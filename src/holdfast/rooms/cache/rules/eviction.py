"""Which entry leaves when the memory is full: S3-FIFO, by bytes and by count, every step O(1).

Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023. New keys
enter a small queue and leave it soon unless asked for again, so that a scan passes through without
disturbing the main queue; a ghost queue remembers the keys that left, and one that comes back goes to
the main queue at once. A hit costs one increment of `Entry.hits`, no move and no lock.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

from holdfast.rooms.cache.rules.entry import Entry

SMALL_SHARE = 0.1
"""Of the bytes and of the count, for keys that were asked for once."""
MAX_HITS = 3


class Policy(Protocol):
    """An order of leaving. Holds the entries it was given; knows nothing of keys' values, time or markers."""

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


class S3Fifo:
    """The policy of the L1: small, main and ghost queue."""

    __slots__ = ("_ghost", "_ghost_limit", "_main", "_small", "_small_bytes", "_small_limit", "size_bytes")

    def __init__(self, max_bytes: int, max_entries: int, small_share: float = SMALL_SHARE) -> None:
        self.size_bytes = 0
        self._small: OrderedDict[str, Entry] = OrderedDict()
        self._main: OrderedDict[str, Entry] = OrderedDict()
        self._ghost: OrderedDict[int, None] = OrderedDict()
        self._small_bytes = 0
        self._small_limit = (int(max_bytes * small_share), max(1, int(max_entries * small_share)))
        self._ghost_limit = max_entries

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __iter__(self) -> Iterator[Entry]:
        """The main queue first: what has proved itself."""
        yield from self._main.values()
        yield from self._small.values()

    def add(self, entry: Entry) -> None:
        self.size_bytes += entry.size_bytes
        entry.hits = 0
        ghost = hash(entry.key)
        if ghost in self._ghost:
            del self._ghost[ghost]
            self._main[entry.key] = entry
        else:
            self._small[entry.key] = entry
            self._small_bytes += entry.size_bytes

    def replace(self, old: Entry, new: Entry) -> None:
        """The same key with a new value: it keeps its place and its hits."""
        queue = self._main
        if old.key in self._small:
            queue = self._small
            self._small_bytes += new.size_bytes - old.size_bytes
        self.size_bytes += new.size_bytes - old.size_bytes
        new.hits = old.hits
        queue[new.key] = new

    def remove(self, entry: Entry) -> None:
        self.size_bytes -= entry.size_bytes
        if self._small.pop(entry.key, None) is not None:
            self._small_bytes -= entry.size_bytes
        else:
            del self._main[entry.key]

    def evict(self) -> Entry:
        limit_bytes, limit_count = self._small_limit
        small, main = self._small, self._main
        while small and (not main or self._small_bytes > limit_bytes or len(small) > limit_count):
            key, entry = small.popitem(last=False)
            self._small_bytes -= entry.size_bytes
            if not entry.hits:
                self._remember(hash(key))
                self.size_bytes -= entry.size_bytes
                return entry
            entry.hits = 0
            main[key] = entry
        while True:
            key, entry = main.popitem(last=False)
            if not entry.hits:
                self.size_bytes -= entry.size_bytes
                return entry
            entry.hits -= 1
            main[key] = entry

    def _remember(self, ghost: int) -> None:
        self._ghost[ghost] = None
        if len(self._ghost) > self._ghost_limit:
            self._ghost.popitem(last=False)
