"""The semantic cache's memory: which questions were answered, bounded, in this process.

It holds no question and no answer: of each question what it says as a digest, its vector and the key under
which the exact cache has the answer.
"""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import mul
from random import Random

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.rooms.llm.rules.semantic import MAX_CHARS, THRESHOLD, Facts, facts
from holdfast.rooms.llm.rules.vectors import vector

Embed = Callable[[str], Sequence[float]]
"""A text's vector, of length 1 and always of the same number of dimensions."""

ENTRY_BYTES = 700
"""An entry beside its vector: measured with tracemalloc, dictionaries included, rounded up."""


class Hit(msgspec.Struct, frozen=True):
    """A question that says the same: its answer lies under `key` in the exact cache."""

    key: str
    similarity: float


class SemanticCounts(msgspec.Struct):
    """What has happened, for metrics."""

    hits: int = 0
    misses: int = 0
    refused: int = 0
    """Candidates that said the same and were too far away."""
    added: int = 0
    evicted: int = 0
    """Taken out as bad hits."""
    dropped: int = 0
    """Pushed out by newer ones."""
    judged: int = 0
    false: int = 0
    """Hits of the sample whose answer was found to be wrong: `false / judged` is the rate to watch."""


class _Entry:
    __slots__ = ("key", "vector")

    def __init__(self, key: str, numbers: "array[float]") -> None:
        self.key = key
        self.vector = numbers


class SemanticStore:
    """Finds the answered question that says the same within a scope. For one event loop; nothing waits.

    At most `max_entries` and about `max_bytes`; the least recently used goes first. `sample_share` of the
    hits, drawn by `rng`, should be answered by the model as well and judged.
    """

    def __init__(
        self,
        max_entries: int = 10_000,
        max_bytes: int = 64 * 1024 * 1024,
        threshold: float = THRESHOLD,
        sample_share: float = 0.01,
        rng: Random | None = None,
        embed: Embed = vector,
    ) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._threshold = threshold
        self._sample_share = sample_share
        self._random = (rng or Random()).random  # noqa: S311 - draws a sample, no secret
        self._embed = embed
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._places: dict[str, set[bytes]] = {}
        self.size_bytes = 0
        self.counts = SemanticCounts()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, scope: str, text: str) -> Hit | None:
        """The entry of this scope that says what `text` says and is near enough; None: ask the model."""
        place = _place(scope, text)
        entry = None if place is None else self._entries.get(place)
        if place is None or entry is None:
            self.counts.misses += 1
            return None
        similarity = self._similarity(entry, text)
        if similarity < self._threshold:
            self.counts.misses += 1
            self.counts.refused += 1
            return None
        self._entries.move_to_end(place)
        self.counts.hits += 1
        return Hit(entry.key, similarity)

    def add(self, scope: str, text: str, key: str) -> bool:
        """Remember that the answer to `text` lies under `key`; False for a text too long for that."""
        place = _place(scope, text)
        if place is None:
            return False
        self._drop(place)
        entry = _Entry(key, array("f", self._embed(text)))
        self._entries[place] = entry
        self._places.setdefault(key, set()).add(place)
        self.size_bytes += _size(entry)
        self.counts.added += 1
        while len(self._entries) > self._max_entries or self.size_bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))
            self.counts.dropped += 1
        return True

    def evict(self, key: str) -> int:
        """Forget every question that leads to `key` (a bad hit, a lost answer); how many there were."""
        places = list(self._places.get(key, ()))
        for place in places:
            self._drop(place)
        self.counts.evicted += len(places)
        return len(places)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._places.clear()
        self.size_bytes = 0

    def should_sample(self) -> bool:
        """Whether this hit is one of the sample that is checked against the model."""
        return self._random() < self._sample_share

    def judged(self, is_false: bool) -> None:
        """A hit of the sample has been checked."""
        self.counts.judged += 1
        self.counts.false += is_false

    @property
    def false_hit_rate(self) -> float | None:
        """Of the sampled hits, the share that was wrong; None before the first was judged."""
        return self.counts.false / self.counts.judged if self.counts.judged else None

    def _similarity(self, entry: _Entry, text: str) -> float:
        asked = self._embed(text)
        if len(asked) != len(entry.vector):  # another embedder's vector is no neighbour
            return -1.0
        return float(sum(map(mul, entry.vector, asked)))

    def _drop(self, place: bytes) -> None:
        entry = self._entries.pop(place, None)
        if entry is None:
            return
        self.size_bytes -= _size(entry)
        places = self._places[entry.key]
        places.discard(place)
        if not places:
            del self._places[entry.key]


def _size(entry: _Entry) -> int:
    return ENTRY_BYTES + len(entry.key) + entry.vector.itemsize * len(entry.vector)


def _place(scope: str, text: str) -> bytes | None:
    """Where a question stands: its scope and all that it says. Equal places are the verification itself."""
    if len(text) > MAX_CHARS:
        return None
    said = _told(facts(text))
    return hashlib.sha256(scope.encode("utf-8", "surrogatepass") + b"\0" + said).digest()


def _told(said: Facts) -> bytes:
    parts = [sorted(part) if isinstance(part, frozenset) else part for part in msgspec.structs.astuple(said)]
    try:
        return encode_json(parts)
    except UnicodeEncodeError:  # a lone surrogate: Python's own escapes tell every text apart
        return b"~" + ascii(parts).encode()
