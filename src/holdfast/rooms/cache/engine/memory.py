"""L1: what this process holds, bounded by bytes and by count, each kind within its part."""

from collections.abc import Callable, Iterator, Mapping
from threading import Lock

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.rules.eviction import Policy, SiftedFifo
from holdfast.rooms.cache.rules.kinds import Kind
from holdfast.rooms.cache.rules.settings import Config


class _Part:
    """A share of the memory with an order of leaving of its own."""

    __slots__ = ("largest", "max_bytes", "max_entries", "policy")

    def __init__(self, policy: Policy, max_bytes: int, max_entries: int, largest_share: float) -> None:
        self.policy = policy
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self.largest = int(max_bytes * largest_share)


class Memory:
    """The entries by key. Reading is one look-up in `entries`; what changes it holds a lock.

    `evicted` hears of each entry that is given up for room, with True, and of each that is dropped, with
    False. Any thread may call.
    """

    def __init__(
        self,
        config: Config,
        kinds: Mapping[str, Kind],
        policy: Callable[[int, int], Policy] = SiftedFifo,
    ) -> None:
        self.entries: dict[str, Entry] = {}
        self._lock = Lock()
        own = {kind.name: kind.max_bytes for kind in kinds.values() if kind.max_bytes}
        left = config.max_bytes - sum(own.values())
        if left <= 0:
            raise Misconfigured(
                f"the kinds {', '.join(sorted(own))} ask for {sum(own.values())} bytes of "
                f"cache.max_bytes = {config.max_bytes}, and nothing is left for the others",
                hint="raise cache.max_bytes or lower the kinds' max_bytes",
            )

        def part(size: int) -> _Part:
            count = max(1, config.max_entries * size // config.max_bytes)
            return _Part(policy(size, count), size, count, config.largest_share)

        self._rest = part(left)
        self._parts = {name: part(size) for name, size in own.items()}
        self._sweeping: Iterator[str] | None = None

    @property
    def size_bytes(self) -> int:
        """Estimated bytes of everything in it."""
        return sum(part.policy.size_bytes for part in self._all())

    def _all(self) -> list[_Part]:
        return [self._rest, *self._parts.values()]

    def put(self, entry: Entry) -> bool:
        """Keep it, in place of an older one; False: it is too large, or something newer is there."""
        part = self._parts.get(entry.kind, self._rest)
        with self._lock:
            old = self.entries.get(entry.key)
            if old is not None and old.born > entry.born:
                return False
            if entry.size_bytes > part.largest:
                entry.tally.refused += 1
                if old is not None:
                    self._drop(old)
                return False
            if old is not None and old.kind == entry.kind:
                self._count(old, -1)
                part.policy.replace(old, entry)
            else:
                if old is not None:
                    self._drop(old)
                part.policy.add(entry)
            self.entries[entry.key] = entry
            self._count(entry, 1)
            self._make_room(part)
            return entry.key in self.entries

    def _make_room(self, part: _Part) -> None:
        policy = part.policy
        while policy.size_bytes > part.max_bytes or len(policy) > part.max_entries:
            gone = policy.evict()
            del self.entries[gone.key]
            self._count(gone, -1)
            gone.tally.evictions += 1

    def drop(self, entry: Entry) -> None:
        """Let go of this very entry; nothing happens where it has been replaced or is gone."""
        with self._lock:
            if self.entries.get(entry.key) is entry:
                self._drop(entry)

    def _drop(self, entry: Entry) -> None:
        del self.entries[entry.key]
        self._parts.get(entry.kind, self._rest).policy.remove(entry)
        self._count(entry, -1)

    @staticmethod
    def _count(entry: Entry, sign: int) -> None:
        entry.tally.entries += sign
        entry.tally.size_bytes += sign * entry.size_bytes

    def sweep(self, is_over: Callable[[Entry], bool], limit: int) -> int:
        """Look at the next `limit` entries in turn and let go of those that are over; how many."""
        dropped = 0
        for _ in range(limit):
            if self._sweeping is None:
                self._sweeping = iter(list(self.entries))
            key = next(self._sweeping, None)
            if key is None:
                self._sweeping = None
                break
            entry = self.entries.get(key)
            if entry is not None and is_over(entry):
                self.drop(entry)
                dropped += 1
        return dropped

    def hottest(self, limit: int) -> list[Entry]:
        """Entries that have been asked for again, the most proven first."""
        with self._lock:
            found = [entry for part in self._all() for entry in part.policy if entry.hits]
        return sorted(found, key=lambda entry: entry.hits, reverse=True)[:limit]
