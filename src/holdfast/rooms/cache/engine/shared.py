"""The second tier over the shared store: one value, one lease and one invalidation for all nodes.

A claim is one script: the value, or the lease to load it, or how long another node holds that. Stamps of
loads and of markers come from the server, so that they compare whatever the nodes' own clocks say. While
the store is away each node is on its own; what it would have written and said is kept (`shared_journal`)
and made up for with the original stamps (`shared_link`).
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from random import Random
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.ports.shared import Shared, SharedDown, SharedRefused
from holdfast.rooms.cache.engine.remote import Hears, Lease
from holdfast.rooms.cache.engine.shared_journal import Journal
from holdfast.rooms.cache.engine.shared_known import Known
from holdfast.rooms.cache.engine.shared_leases import Leases, Waiting
from holdfast.rooms.cache.engine.shared_link import Link
from holdfast.rooms.cache.rules.entry import KEY, Entry, HybridClock, Marker
from holdfast.rooms.cache.store.calls import SharedCalls
from holdfast.rooms.cache.store.wire import Life, Poisoned, Unreadable, decode_entry, encode_entry

_TRIES = 4
_AT_ONCE = 128
_INLINE_BYTES = 256 << 10
"""Larger bodies are packed in a thread; the packers drop the interpreter's lock."""
_FIRST_POLL_S, _LONGEST_POLL_S = 0.01, 0.25
_GRACE_S = 60.0
_RECENT_S = 10.0


@dataclass(slots=True)
class Counts:
    """What happened between this node and the shared store since the start."""

    leases: int = 0
    busy: int = 0
    """Claims that found another node loading."""
    dead: int = 0
    """Values found there that a marker had killed."""
    overtaken: int = 0
    """Writes refused: the lease had passed on, or something newer stood."""
    poisoned: int = 0
    unreadable: int = 0
    refused: int = 0
    """Errors of the server's own: out of memory, not permitted."""
    too_large: int = 0


class SharedTier:
    """A `Remote` over one Shared; `start` it on the loop that it serves, `stop` it there.

    lease_s: after so long without renewal a lease is free again. max_load_s: a lease is renewed no longer
    than that. max_lifetime_s: no value lives longer, so no marker has to. skew_us: how far the servers'
    clocks may be apart. compress_above: bytes of a body, None for never.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        hears: Hears,
        clock: Clock,
        rng: Random,
        node_id: str,
        namespace: str = "holdfast",
        stamps: HybridClock | None = None,
        lease_s: float = 3.0,
        max_load_s: float = 120.0,
        max_lifetime_s: float = 7 * 86_400.0,
        max_value_bytes: int = 8 << 20,
        compress_above: int | None = 4_096,
        journal_bytes: int = 16 << 20,
        max_markers: int = 10_000,
        max_tags: int = 65_536,
        skew_us: int = 1_000,
    ) -> None:
        self._shared = shared
        self._clock = clock
        self._rng = rng
        self._stamps = stamps or HybridClock()
        self._lease_s = lease_s
        self._tomb_s = max_load_s + _GRACE_S
        self._max_lifetime_us = round(max_lifetime_s * 1e6)
        self._max_value_bytes = max_value_bytes
        self._compress_above = compress_above
        self._skew_us = skew_us
        self._tokens: Iterator[str] = (f"{node_id}.{rng.getrandbits(32):08x}.{n:x}" for n in count())
        self.counts = Counts()
        self._calls = calls = SharedCalls(
            shared,
            namespace=namespace,
            node_id=node_id,
            lease_ms=round(lease_s * 1e3),
            tomb_ms=round(self._tomb_s * 1e3),
            life_ms=round(max_lifetime_s * 1e3),
        )
        self._journal = Journal(max_bytes=journal_bytes, max_markers=max_markers, recent_s=_RECENT_S)
        self._leases = Leases(max_load_s)
        self._waiting = Waiting(clock.monotonic)
        self._known = Known(calls, hears, self._stamps, max_markers=max_markers, max_tags=max_tags)
        self._link = Link(
            *(shared, calls, self._known, self._journal, self._leases, self._waiting),
            clock=clock,
            node_id=node_id,
            turn_s=lease_s / 3,
            send=self._send_again,
        )

    @property
    def is_up(self) -> bool:
        return self._shared.is_up

    async def start(self) -> None:
        """Hear the others from now on; returns at once, whether the store is there or not."""
        self._link.start()

    async def stop(self) -> None:
        """Give back what we hold and say what is still unsaid, in a second or two at most."""
        await self._link.stop()

    # Reading.

    async def fetch(self, keys: Sequence[str]) -> list[Entry | None]:
        nothing: list[Entry | None] = [None] * len(keys)
        if not keys or not self._shared.is_up:
            return nothing
        try:
            if not self._known.is_current:
                await self._known.learn_wide()
            entries = [
                self._read(key, blob) for key, blob in zip(keys, await self._calls.get(keys), strict=True)
            ]
            tags = {tag for entry in entries if entry is not None for tag in entry.tags}
            if tags and (unknown := self._known.unknown(tags)):
                await self._known.learn(unknown, self._shared.clock_us(1))
        except (SharedDown, SharedRefused):
            return nothing
        return [None if entry is None or self._is_dead(entry) else entry for entry in entries]

    async def claim(self, key: str, *, refresh: bool = False) -> Entry | Lease | None:
        if not self._shared.is_up:
            raise SharedDown("the shared store is away")
        known = self._known
        token = next(self._tokens)
        floor = known.floor
        for _ in range(_TRIES):
            found = await self._ask(key, token, floor, refresh)
            if isinstance(found, int):
                self.counts.busy += 1
                return None
            if isinstance(found, list):
                return self._hold(key, token, int(found[0]), bool(found[1]))
            entry = self._read(key, found)
            if entry is None:
                floor = self._shared.clock_us(1)
                continue
            if not known.is_current or (entry.tags and known.unknown(entry.tags)):
                await self._learn(entry)
            if not self._is_dead(entry):
                return entry
            floor = max(floor, entry.born)
        raise SharedDown("what is there keeps changing and cannot be read")

    async def _ask(self, key: str, token: str, floor: int, refresh: bool) -> bytes | int | list[Any]:
        """Claim once. One that fails or is cancelled may have been granted: its token is given back later."""
        waiting, busy_s = self._waiting, None
        waiting.ask(key)
        try:
            found = await self._calls.claim(key, token, floor, self._skew_us, refresh)
            if isinstance(found, int):
                busy_s = found / 1e3
            return found
        except SharedRefused as error:
            self.counts.refused += 1
            raise SharedDown(f"the shared store refuses a claim: {error}") from error
        except (SharedDown, asyncio.CancelledError):
            self._leases.abandon(key, token)
            raise
        finally:
            waiting.answered(key, busy_s)

    def _hold(self, key: str, token: str, born: int, was_poisoned: bool) -> Lease:
        self.counts.leases += 1
        self.counts.poisoned += was_poisoned
        # Not our own clock's stamp: were that ahead of the server's, the load would escape a marker that
        # the server takes in after it began.
        lease = Lease(key, token, max(born, self._known.latest + 1))
        self._stamps.witness(lease.born)
        self._leases.hold(lease, self._clock.monotonic())
        return lease

    async def _learn(self, entry: Entry) -> None:
        """Make sure that we know the markers that concern it. Raises SharedDown."""
        try:
            if not self._known.is_current:
                await self._known.learn_wide()
            if entry.tags:
                await self._known.learn(self._known.unknown(entry.tags), self._shared.clock_us(1))
        except SharedRefused as error:
            raise SharedDown(f"the shared store refuses to tell its markers: {error}") from error

    def _read(self, key: str, blob: object) -> Entry | None:
        """The entry; poison is counted and removed, unless it has been replaced meanwhile."""
        if blob is None:
            return None
        try:
            entry = decode_entry(blob, key, self._life(), self._max_value_bytes)
        except Unreadable:
            self.counts.unreadable += 1
            return None
        except Poisoned:
            self.counts.poisoned += 1
            self._link.spawn(self._discard(key, blob))
            return None
        return entry if entry.stale_until > self._clock.monotonic() else None

    def _is_dead(self, entry: Entry) -> bool:
        if self._known.kills(entry):
            self.counts.dead += 1
            return True
        return False

    async def _discard(self, key: str, blob: object) -> None:
        try:
            await self._calls.discard(key, blob)
        except (SharedDown, SharedRefused):
            return  # it is found again by whoever reads it next

    def _life(self) -> Life:
        return Life(self._shared.clock_us(), self._clock.monotonic())

    async def filled(self, key: str, within_s: float) -> None:
        # Those who wait for a lease to end come one after the other, not all at once.
        if self._known.is_current:
            await self._waiting.wait(key, within_s, self._rng.uniform(0.0, 0.05 * self._lease_s))
            return
        until, pause_s = self._clock.monotonic() + within_s, _FIRST_POLL_S
        while (left := until - self._clock.monotonic()) > 0:
            await asyncio.sleep(min(left, pause_s * self._rng.uniform(0.5, 1.0)))
            pause_s = min(1.6 * pause_s, _LONGEST_POLL_S)
            try:
                if not await self._calls.is_leased(key):
                    return
            except (SharedDown, SharedRefused):
                return

    # Writing.

    async def store(self, entries: Sequence[Entry], lease: Lease | None = None) -> bool:
        stored = True
        for start in range(0, len(entries), _AT_ONCE):
            some = entries[start : start + _AT_ONCE]
            if len(some) == 1:
                stored = await self._store(some[0], lease) and stored
            else:
                stored = all(await asyncio.gather(*(self._store(entry, lease) for entry in some))) and stored
        return stored

    async def _store(self, entry: Entry, lease: Lease | None) -> bool:
        if lease is not None and lease.key != entry.key:
            lease = None
        if lease is not None:
            self._leases.release(lease.token)
        try:
            outcome = await self._write(entry, "" if lease is None else lease.token)
        except (SharedDown, asyncio.CancelledError) as error:
            self._journal.miss_write(entry, replaces=lease is None)
            if lease is not None:
                self._leases.abandon(lease.key, lease.token)
            if isinstance(error, asyncio.CancelledError):
                raise
            return False
        except SharedRefused:
            self.counts.refused += 1
            outcome = None
        if outcome is None:
            await self._do_without(entry, lease)
        elif not outcome:
            self.counts.overtaken += 1
        return bool(outcome)

    async def _do_without(self, entry: Entry, lease: Lease | None) -> None:
        """It cannot be stored: others may load it, and must not get what it replaces."""
        if lease is not None:
            await self.give_back(lease)
        else:
            await self._link.say([Marker(KEY, entry.key, entry.born - 1)], live=False)

    async def _write(self, entry: Entry, token: str) -> bool | None:
        """True: stored; False: overtaken; None: it is not to be stored. Raises SharedDown, SharedRefused."""
        size = len(entry.body or b"")
        if size > self._max_value_bytes:
            self.counts.too_large += 1
            return None
        life = self._life()
        if life.shared_us - entry.born > self._tomb_s * 1e6:
            return None  # its tombstone may be gone: nobody could tell that it is dead
        life_us = min(life.at(entry.stale_until), entry.born + self._max_lifetime_us) - life.shared_us
        if life_us < 1_000 or self._known.kills(entry):
            return None
        if size > _INLINE_BYTES and self._compress_above is not None:
            blob = await asyncio.to_thread(encode_entry, entry, life, self._compress_above)
        else:
            blob = encode_entry(entry, life, self._compress_above)
        return await self._calls.store(entry.key, token, blob, entry.born, life_us // 1_000) == 1

    async def _send_again(self, entry: Entry, replaces: bool) -> bool:
        """A write that was missed; whether it stands now."""
        try:
            outcome = await self._write(entry, "")
        except (SharedDown, asyncio.CancelledError) as error:
            self._journal.miss_write(entry, replaces=replaces)
            if isinstance(error, asyncio.CancelledError):
                raise
            return False
        except SharedRefused:
            self.counts.refused += 1
            outcome = None
        if outcome is None and replaces:
            await self._link.say([Marker(KEY, entry.key, entry.born - 1)], live=False)
        return bool(outcome)

    async def give_back(self, lease: Lease) -> None:
        self._leases.release(lease.token)
        try:
            await self._calls.give_back(lease.key, lease.token)
        except (SharedDown, SharedRefused):
            self._leases.abandon(lease.key, lease.token)

    async def mark(self, markers: Sequence[Marker]) -> None:
        for marker in markers:
            self._known.own(marker)
        # Whoever leaves meanwhile does not take the invalidation with him.
        await asyncio.shield(self._link.spawn(self._link.say(markers, live=True)))

    def state(self) -> Mapping[str, Any]:
        """Up and joined, since when, what is still to be made up for: for health and statistics."""
        now, link = self._clock.monotonic(), self._link
        return {
            "is_up": self._shared.is_up,
            "is_joined": self._known.is_current,
            "cut_off_for_s": None if link.cut_at is None else round(now - link.cut_at, 3),
            "last_joined_s": None if link.joined_at is None else round(now - link.joined_at, 3),
            "journal_writes": self._journal.writes,
            "journal_markers": self._journal.markers,
            "journal_bytes": self._journal.size_bytes,
            "lost_writes": self._journal.lost,
            "collapsed": self._journal.collapsed,
            "replayed": link.replayed,
            "garbled": link.garbled + self._known.garbled,
            "leases_held": len(self._leases),
            "waiting": len(self._waiting),
            **asdict(self.counts),
        }
