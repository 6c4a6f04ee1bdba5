"""What this node holds and may serve: entries in memory, measured against every marker it has heard."""

import copy
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.rooms.cache.engine.counts import Tally
from holdfast.rooms.cache.engine.memory import Memory
from holdfast.rooms.cache.engine.values import Decode, Encode, pack, unpack, weigh
from holdfast.rooms.cache.rules import freshness, kinds
from holdfast.rooms.cache.rules.entry import Entry, HybridClock, Marker
from holdfast.rooms.cache.rules.freshness import Absent, Cached, State
from holdfast.rooms.cache.rules.kinds import Kind
from holdfast.rooms.cache.rules.markers import Markers
from holdfast.rooms.cache.rules.problems import BadValue
from holdfast.rooms.cache.rules.settings import Config

_REPLACEMENTS = 1_024
"""Of so many keys it is known how new the value in the second tier is: far more than change while one
answer of it is on its way."""


_OF_MANY_TYPES = 1_024
"""Of so many keys that are asked for as several types the body is kept beside the value."""


class Keeper:
    """Builds entries, keeps them and says what each is good for now."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        chance: Callable[[], float],
        order: HybridClock,
        now_us: Callable[[int], int],
        encode: Encode,
        decode: Decode,
    ) -> None:
        self.kinds = kinds.merge(config.kinds)
        self.tallies = {name: Tally(name) for name in self.kinds}
        self.memory = Memory(config, self.kinds)
        self.markers = Markers(config.max_markers)
        self.now = clock.monotonic
        self.chance = chance
        self._order = order
        self._now_us = now_us
        self._encode = encode
        self._decode = decode
        self._max_value_bytes = config.max_value_bytes
        self._cut_off_ttl_s = config.cut_off_ttl_s
        self._lock = Lock()
        self._replaced: dict[str, int] = {}
        self._of_many_types: set[str] = set()
        self._cut_off_at: float | None = None
        self._cut_off_count = 0
        self._trusted_count = 0

    def kind(self, name: str) -> Kind:
        """The kind of that name; raises UnknownKind."""
        return kinds.find(self.kinds, name)

    def stamp(self) -> int:
        """A stamp for what begins now: not later than it does.

        Nodes know the time to within a round trip. A load that begins before another node invalidates must be
        older than the marker by whatever clocks: so what begins has the earliest time that it can be.
        """
        with self._lock:
            return self._order.stamp(self._now_us(-1))

    def marker_stamp(self) -> int:
        """A stamp for what invalidates now: not earlier than it does."""
        with self._lock:
            return self._order.stamp(self._now_us(1))

    def build(
        self,
        key: str,
        kind: Kind,
        found: Any,
        *,
        born: int,
        ttl_s: float | None,
        tags: Sequence[str],
        load_s: float = 0.0,
        returns: Any = None,
    ) -> Entry:
        """The entry of a value, or of `Cached` or `Absent`, as it travels and as callers get it."""
        if isinstance(found, Cached):
            ttl_s = ttl_s if found.ttl_s is None else found.ttl_s
            tags = (*tags, *found.tags)
            found = found.value
        negative = found is None or isinstance(found, Absent)
        if negative:
            # A time to live that was asked for is meant for values.
            ttl_s = found.ttl_s if isinstance(found, Absent) else None
        fresh_s = freshness.lifetime(kind, ttl_s, self.chance(), negative=negative)
        now = self.now()
        entry = Entry(key, None, kind.name, born, now + fresh_s, 0.0, tags=tuple(tags), load_s=load_s)
        entry.stale_until = entry.fresh_until + freshness.standby_s(kind, negative=negative)
        entry.is_negative = negative
        if negative:
            entry.body = b"null"
        else:
            entry.body, entry.is_bytes = pack(found, self._encode)
        entry.value = unpack(entry, returns, self._decode)
        entry.returns = returns
        return entry

    def is_kept(self, entry: Entry) -> bool:
        """Whether an entry just built is worth keeping at all; counts the ones that are too large."""
        if entry.body is not None and len(entry.body) > self._max_value_bytes:
            self.tallies[entry.kind].refused += 1
            return False
        return entry.stale_until > self.now() and entry.fresh_until > self.now()

    def keep(self, entry: Entry, since: int | None = None) -> bool:
        """Hold it in memory unless a marker kills it; the entry given stays as it travels.

        `since` is the count of markers when its load began: where we were cut off at that time, what was
        invalidated meanwhile is not known, and it is asked for anew before it is served.
        """
        count = self.markers.count
        if self.killer(entry):
            return False
        kind = self._kind_of(entry)
        held = copy.copy(entry)
        held.tally = self.tallies[kind.name]
        held.checked = count if since is None or since >= self._trusted_count else since
        held.size_bytes = weigh(entry, keeps_body=kind.isolated)
        keeps_body = kind.isolated or entry.key in self._of_many_types
        if self._cut_off_at is not None:
            self._limit(held, self.now())
        held.plain_until = freshness.early_from(held.fresh_until, held.load_s, kind.early_beta)
        if kind.isolated:
            held.value = None
        if not keeps_body:
            held.body = None
        elif not kind.isolated:
            held.size_bytes += len(entry.body or b"")
        if kind.isolated or held.is_negative:
            held.plain_until = float("-inf")
        return self.memory.put(held)

    def adopt(self, entry: Entry, returns: Any) -> Entry | None:
        """What the second tier gave, made ready and kept; None when a marker kills it. Raises BadValue."""
        if self.killer(entry):
            return None
        try:
            entry.value = unpack(entry, returns, self._decode)
            entry.returns = returns
        except BadValue:
            self.tally(entry).poisoned += 1
            raise
        if entry.born >= self._replaced.get(entry.key, 0):
            self.keep(entry)
        return entry

    def forget(self, key: str, born: int) -> None:
        """Let go of what lies under the key when it is older."""
        entry = self.memory.entries.get(key)
        if entry is not None and entry.born < born:
            self.memory.drop(entry)

    def outdate(self, key: str, born: int) -> None:
        """Another node has stored a value born then: an older one goes, or is not kept when it arrives.

        What was read from the second tier before may arrive after the news: they take different ways.
        """
        with self._lock:
            self._replaced.pop(key, None)
            self._replaced[key] = born
            if len(self._replaced) > _REPLACEMENTS:
                del self._replaced[next(iter(self._replaced))]
        self.forget(key, born)

    def _kind_of(self, entry: Entry) -> Kind:
        """Its kind, or the default one where another node knows kinds that this one does not."""
        return self.kinds.get(entry.kind) or self.kinds["default"]

    def tally(self, entry: Entry) -> Tally:
        """Where what happens to this entry is counted."""
        return self.tallies[self._kind_of(entry).name]

    def value(self, entry: Entry, returns: Any) -> Any:
        """What a caller gets of it: the shared value, or one decoded for it alone.

        Of one type for all who ask for it; who names none gets the one that somebody else has named.
        Raises BadValue where it is not of the type.
        """
        is_other = returns is not None and entry.returns is not returns and entry.returns != returns
        if entry.body is None:
            if is_other and not self._fits(entry, returns):
                raise BadValue(
                    f"what is kept of {entry.key!r:.100} cannot be given as {returns!r:.100}",
                    hint="ask for one key as one type",
                )
        elif is_other or entry.value is None or self._kind_of(entry).isolated:
            return unpack(entry, returns, self._decode)
        return entry.value

    def _fits(self, entry: Entry, returns: Any) -> bool:
        """Whether an entry in memory can be given as that type; from now on the type that it is kept as."""
        if entry.value is None or entry.is_bytes or entry.returns == returns:
            entry.returns = returns
            return True
        if entry.returns is None:
            # As JSON has it, nothing is lost on the way back to JSON: memory need not hold both.
            try:
                entry.value = self._decode(self._encode(entry.value), returns)
            except BadValue:
                return False
            entry.returns = returns
            return True
        if entry.body is None and len(self._of_many_types) < _OF_MANY_TYPES:
            # The type may have dropped what the other needs. It is had anew, with its body this time.
            self._of_many_types.add(entry.key)
        return entry.body is not None

    def killer(self, entry: Entry) -> str:
        """The scope of the marker that kills it, or nothing."""
        return self.markers.killer(entry.key, entry.tags, entry.born)

    def judge(self, entry: Entry, now: float) -> State:
        """What it is good for now; one that a marker kills is dropped and has ENDED."""
        if entry.checked != self.markers.count and not self._holds(entry):
            self.memory.drop(entry)
            return State.ENDED
        return freshness.state(entry, self._kind_of(entry), now)

    def find(self, key: str, returns: Any = None) -> Entry | None:
        """The entry that lives under the key, fresh or not, fit to be given as the type `returns`.

        None when there is none, when it is dead or cannot be read as that.
        """
        entry = self.memory.entries.get(key)
        if entry is None or self.judge(entry, self.now()) is State.ENDED:
            return None
        if returns is not None and entry.returns is not returns and not self._fits(entry, returns):
            return None
        return entry

    def _holds(self, entry: Entry) -> bool:
        """Compare it with what was heard since the last time."""
        count = self.markers.count
        if entry.checked < self._trusted_count or self.killer(entry):
            return False
        if self._cut_off_at is not None and entry.checked < self._cut_off_count:
            self._limit(entry, self._cut_off_at)
        entry.checked = count
        return True

    def _limit(self, entry: Entry, since: float) -> None:
        """Nothing is heard: what others invalidate is not known, so nobody is served for long."""
        until = since + self._cut_off_ttl_s
        entry.fresh_until = min(entry.fresh_until, until)
        entry.stale_until = min(entry.stale_until, until)
        entry.plain_until = min(entry.plain_until, until)

    def hear(self, markers: Sequence[Marker]) -> None:
        """Take invalidations in, ours or others': what they name is dead from now on."""
        with self._lock:
            for marker in markers:
                self._order.witness(marker.stamp)
                self.markers.hear(marker)

    def cut_off(self) -> None:
        """Nothing is heard from now on."""
        with self._lock:
            if self._cut_off_at is None:
                self._cut_off_at = self.now()
                self.markers.count += 1
                self._cut_off_count = self.markers.count

    def joined(self) -> None:
        """We hear again: nothing that was held until now is served before it has been asked for anew."""
        with self._lock:
            self._cut_off_at = None
            self.markers.count += 1
            self._trusted_count = self.markers.count

    @property
    def is_cut_off(self) -> bool:
        return self._cut_off_at is not None

    def sweep(self, limit: int) -> int:
        """Let go of what has ended or is dead, looking at `limit` entries; how many."""
        now = self.now()
        return self.memory.sweep(lambda entry: now >= entry.stale_until or bool(self.killer(entry)), limit)
