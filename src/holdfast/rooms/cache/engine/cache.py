"""The cache of one process: the port `Cache`, over memory and, where there is one, the second tier.

A key names one computation, whoever asks: callers of one key share one value and one load, so what the
answer depends on (user, tenant, model) must stand in the key. Variants that the door assigned to the
request stand in it by themselves, unless the kind says otherwise (`rules/arms.py`). Values are shared
objects: who changes what it got changes it for everyone, unless the kind is `isolated`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import current
from holdfast.ports.cache import Factory
from holdfast.ports.services import Meter
from holdfast.rooms.cache.engine.arms import arms_now, tags_with
from holdfast.rooms.cache.engine.asking import Asking
from holdfast.rooms.cache.engine.batches import Batches
from holdfast.rooms.cache.engine.counts import Export, Tally
from holdfast.rooms.cache.engine.decorator import CachedCall, decorate
from holdfast.rooms.cache.engine.flights import Flights, inside
from holdfast.rooms.cache.engine.keeper import Keeper
from holdfast.rooms.cache.engine.loading import Loader, Want
from holdfast.rooms.cache.engine.remote import Remote
from holdfast.rooms.cache.engine.values import Decode, Encode, decode_value, encode_value
from holdfast.rooms.cache.rules.arms import APART, key_of, tag_of
from holdfast.rooms.cache.rules.entry import EVERYTHING, KEY, PREFIX, TAG, Entry, HybridClock, Marker
from holdfast.rooms.cache.rules.eviction import MAX_HITS
from holdfast.rooms.cache.rules.freshness import State
from holdfast.rooms.cache.rules.problems import BadCall, check_key, check_prefix
from holdfast.rooms.cache.rules.settings import Config

T = TypeVar("T")


class CacheEngine:
    """Implements the port `Cache`, and `Hears` for the second tier.

    `order` and `now_us` give the stamps: with a second tier, the clock that all nodes share. Made on any
    thread; async calls may come from several loops, each with loads of its own.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        meter: Meter,
        rng: Random,
        remote: Remote | None = None,
        order: HybridClock | None = None,
        now_us: Callable[[int], int] | None = None,
        encode: Encode = encode_value,
        decode: Decode = decode_value,
    ) -> None:
        self.config = config
        self.keeper = Keeper(
            config,
            clock=clock,
            chance=rng.random,
            order=order or HybridClock(),
            now_us=now_us or (lambda lean: int(clock.wall() * 1e6)),
            encode=encode,
            decode=decode,
        )
        self.flights = Flights()
        self.varies: Callable[[], bool] = bool
        """Whether requests are assigned variants anywhere: then dropping a key is told for all its arms."""
        self._has_arms = False
        self.export = Export(meter, lambda: list(self.keeper.tallies.values()))
        self._remote: Remote | None = None
        self._entries = self.keeper.memory.entries
        self._markers = self.keeper.markers
        self._now = clock.monotonic
        self._build()
        if remote is not None:
            self.connect(remote)

    def _build(self) -> None:
        self._loader = Loader(self.keeper, self.flights, self._remote, lease_wait_s=self.config.lease_wait_s)
        self._asking = Asking(self.keeper, self._loader, self._remote)
        self._batches = Batches(self.keeper, self.flights, self._loader, self._asking, self._remote)

    def connect(self, remote: Remote) -> None:
        """Use a second tier from now on; until it says `joined`, nothing is heard from others."""
        self._remote = remote
        self._build()
        self.keeper.cut_off()

    # -- one key ---------------------------------------------------------------------------------

    async def get_or_set(
        self,
        key: str,
        factory: Factory[T],
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
        returns: Any = None,
    ) -> T:
        """The value; when there is none, one call of `factory` for everyone who waits, on any node.

        The factory may return `Cached` or `Absent`. Its error goes to everyone who waits, once, and is not
        kept. Raises LoadTimeout when nothing comes in time and no last good value stands in.
        """
        # The hit is written out here: one frame, one look-up, no call but the clock's and the context's.
        ctx = current()
        plain, arms = key, ""
        if ctx.variants if ctx is not None else inside():
            key, arms = self._of_arm(key, kind)
        try:
            entry = self._entries[key]
        except (KeyError, TypeError):
            pass
        else:
            if (
                entry.checked == self._markers.count
                and self._now() < entry.plain_until
                and (entry.returns is returns or returns is None)
            ):
                tally = entry.tally
                tally.hits += 1
                if entry.hits < MAX_HITS:
                    entry.hits += 1
                if ctx is not None:
                    facts = ctx.event.facts
                    if facts is None:
                        ctx.event.facts = {"cache": tally.fact}
                    else:
                        facts["cache"] = tally.fact
                return entry.value  # type: ignore[no-any-return] # what the factory of this key returned
        check_key(plain)
        all_tags = tags_with(_tags(tags), plain, arms)
        want = Want(key, self.keeper.kind(kind), factory, ttl_s, all_tags, returns, arms)
        return await self._asking.obtain(want)  # type: ignore[no-any-return] # likewise

    def _of_arm(self, key: str, kind: str) -> tuple[str, str]:
        """Where the entry lies for who asks now, and for which arms that is."""
        check_key(key)
        arms = arms_now(self.keeper.kind(kind))
        if not arms:
            return key, ""
        self._has_arms = True
        return f"{key}{APART}{arms}", arms

    async def get(
        self, key: str, *, kind: str = "default", otherwise: Any = None, returns: Any = None
    ) -> Any:
        """The value, or `otherwise`; neither a stale value nor a remembered absence counts."""
        check_key(key)
        of_kind = self.keeper.kind(kind)
        arms = arms_now(of_kind)
        entry = self.fresh(key_of(key, arms))
        if entry is not None and self.is_plain(entry, returns):
            return self.hit(entry)
        found = await self._batches.get_many((key,), of_kind, returns, arms)
        return found.get(key, otherwise)

    async def set(
        self,
        key: str,
        value: Any,
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
        returns: Any = None,
    ) -> None:
        """Keep it here and in the second tier; a load under way no longer replaces it."""
        await self.set_many({key: value}, kind=kind, ttl_s=ttl_s, tags=tags, returns=returns)

    # -- many keys -------------------------------------------------------------------------------

    async def get_many(
        self, keys: Sequence[str], *, kind: str = "default", returns: Any = None
    ) -> dict[str, Any]:
        """What is there and fresh, by key; one round trip for all that memory does not have."""
        found = self.keeper.kind(kind)
        return await self._batches.get_many(_keys(keys), found, returns, arms_now(found))

    async def set_many(
        self,
        values: Mapping[str, Any],
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
        returns: Any = None,
    ) -> None:
        """Keep them all, in one round trip. What other variants hold under the same keys is dropped."""
        keys, found = _keys(list(values)), self.keeper.kind(kind)
        arms = arms_now(found)
        self._has_arms = self._has_arms or bool(arms)
        if self._reaches_arms():
            await self._tell(self._everyone_s(keys, self.keeper.marker_stamp()))
        await self._batches.set_many(values, found, ttl_s=ttl_s, tags=_tags(tags), returns=returns, arms=arms)

    async def get_or_set_many(
        self,
        keys: Sequence[str],
        factory: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]],
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
        returns: Any = None,
    ) -> Mapping[str, T]:
        """The values by key, in the order asked; one call of `factory` with those that are missing.

        A key that the factory leaves out is absent: it is left out here too, and remembered as such.
        """
        found = self.keeper.kind(kind)
        arms = arms_now(found)
        self._has_arms = self._has_arms or bool(arms)
        return await self._batches.get_or_set_many(
            _keys(keys), factory, found, ttl_s=ttl_s, tags=_tags(tags), returns=returns, arms=arms
        )

    # -- invalidation ----------------------------------------------------------------------------

    async def invalidate(
        self,
        *,
        keys: Sequence[str] = (),
        tags: Sequence[str] = (),
        prefix: str | None = None,
        everything: bool = False,
    ) -> None:
        """Drop entries here and on every node, of every variant; a load that began before stores nothing."""
        stamp = self.keeper.marker_stamp()
        markers = self._everyone_s(_keys(keys), stamp)
        markers += [Marker(TAG, tag, stamp) for tag in _tags(tags)]
        if prefix is not None:
            check_prefix(prefix)
            markers.append(Marker(PREFIX, prefix, stamp))
        if everything:
            markers.append(Marker(EVERYTHING, "", stamp))
        if not markers:
            raise BadCall("nothing to invalidate", hint="name keys, tags, a prefix, or everything=True")
        await self._tell(markers)

    def _everyone_s(self, keys: Sequence[str], stamp: int) -> list[Marker]:
        """What kills the entries of these keys: those that all share, and where there are any, each arm's."""
        markers = [Marker(KEY, key, stamp) for key in keys]
        if self._reaches_arms():
            markers += [Marker(TAG, tag_of(key), stamp) for key in keys]
        return markers

    def _reaches_arms(self) -> bool:
        """Whether some process may hold entries of arms; once it may, it may until this one ends."""
        self._has_arms = self._has_arms or self.varies()
        return self._has_arms

    async def _tell(self, markers: Sequence[Marker]) -> None:
        self.heard(markers)
        if self._remote is not None:
            await self._remote.mark(markers)

    def heard(self, markers: Sequence[Marker]) -> None:
        """Take invalidations in: what they name is dead here from now on."""
        self.keeper.hear(markers)
        for marker in markers:
            if marker.scope == KEY:
                entry = self._entries.get(marker.name)
                if entry is not None and entry.born <= marker.stamp:
                    self.keeper.memory.drop(entry)

    def replaced(self, key: str, born: int) -> None:
        """Another node has stored a newer value: ours is dead, and an older load is not kept."""
        self.keeper.outdate(key, born)
        self._loader.outdate(key, born)

    def cut_off(self) -> None:
        """Nothing is heard from now on: what is held is served for `cut_off_ttl_s`, no longer."""
        self.keeper.cut_off()

    def joined(self) -> None:
        """We hear again: what was held from before is asked for anew before it is served."""
        self.keeper.joined()

    # -- decorator -------------------------------------------------------------------------------

    def cached(
        self,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] | Callable[..., Sequence[str]] = (),
        key: Callable[..., str] | None = None,
        ignore: Sequence[str] = (),
    ) -> Callable[[Callable[..., Awaitable[T]]], CachedCall[T]]:
        """Remember what an async function returns, by its arguments.

        The key is made of the function's full name and all arguments, told apart by type (1, "1", 1.0 and
        True are four), with defaults filled in; `ignore` names arguments the answer does not depend on.
        Nothing is taken from the request: user and tenant must be arguments. `key` and `tags` may be
        functions of the same arguments. The return annotation, where there is one, is the type that
        values are given as. `.invalidate(...)`, `.key(...)` and `.uncached(...)` take the arguments too.
        """
        return decorate(self, kind=kind, ttl_s=ttl_s, tags=tags, key=key, ignore=ignore)

    # -- for people ------------------------------------------------------------------------------

    def fresh(self, key: str) -> Entry | None:
        """The entry when memory holds it fresh, without a loop and without counting. From any thread."""
        entry = self._entries.get(key)
        if entry is None or self.keeper.judge(entry, self._now()) is not State.FRESH:
            return None
        return entry

    def fresh_for(self, key: str, kind: str) -> Entry | None:
        """The fresh entry of whoever asks, by its variants."""
        return self.fresh(key_of(key, arms_now(self.keeper.kind(kind))))

    def is_plain(self, entry: Entry, returns: Any = None) -> bool:
        """Whether a hit on it needs no second look: no early refresh, no value decoded for the caller."""
        return self._now() < entry.plain_until and (entry.returns is returns or returns is None)

    def hit(self, entry: Entry) -> Any:
        """The value of an entry that is fresh and plain, counted."""
        return self._asking.give(entry, None)

    def peek(self, key: str) -> Entry | None:
        """What lies under the key, fresh or not, without counting or changing anything."""
        return self._entries.get(key)

    def explain(self, key: str) -> dict[str, Any]:
        """Why this key is answered as it is, for the admin addresses. Never its value."""
        found: dict[str, Any] = {"key": key, "state": "absent", "loading": len(self.flights.all_of(key))}
        arms = [stored for stored in list(self._entries) if stored.startswith(key + APART)]
        if arms:
            found["variants"] = [stored[len(key) + 1 :].split(APART) for stored in arms]
        entry = self._entries.get(key)
        if entry is None:
            return found
        now = self._now()
        killed_by = self.keeper.killer(entry)
        state = self.keeper.judge(entry, now).name.lower()
        return {
            **found,
            "state": f"dead by {killed_by}" if killed_by else state,
            "kind": entry.kind,
            "tags": list(entry.tags),
            "born_us": entry.born,
            "fresh_for_s": round(entry.fresh_until - now, 3),
            "kept_for_s": round(entry.stale_until - now, 3),
            "retry_in_s": round(max(0.0, entry.retry_at - now), 3),
            "load_s": round(entry.load_s, 6),
            "size_bytes": entry.size_bytes,
            "negative": entry.is_negative,
            "hits_of_late": entry.hits,
        }

    def tallies(self) -> list[Tally]:
        """What was counted, by kind; kinds that nobody has used are left out."""
        return [
            tally for tally in self.keeper.tallies.values() if tally.misses or tally.hits or tally.entries
        ]

    def stats(self) -> dict[str, Any]:
        """What is in memory and what was counted, for health and the admin addresses."""
        memory = self.keeper.memory
        return {
            "entries": len(memory.entries),
            "size_bytes": memory.size_bytes,
            "max_bytes": self.config.max_bytes,
            "max_entries": self.config.max_entries,
            "markers": len(self._markers),
            "loading": len(self.flights),
            "cut_off": self.keeper.is_cut_off,
            "kinds": [tally.figures() for tally in self.tallies()],
        }

    async def stop(self) -> None:
        """Cancel the loads of this loop; the entries stay."""
        await self.flights.stop()
        await asyncio.sleep(0)


def _keys(keys: Sequence[str]) -> Sequence[str]:
    if isinstance(keys, str):
        raise BadCall(f"keys is the text {keys!r:.60}, not a list of keys", hint="write keys=[key]")
    for key in keys:
        check_key(key)
    return keys


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tags, str):
        raise BadCall(f"tags is the text {tags!r:.60}, not a list of tags", hint="write tags=[tag]")
    for tag in tags:
        if not isinstance(tag, str):
            raise BadCall(f"the tag {tag!r:.60} is not a str", hint="write it out, e.g. f'user:{user_id}'")
    return tuple(tags)
