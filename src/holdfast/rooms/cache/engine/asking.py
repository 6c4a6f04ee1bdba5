"""What a caller who finds no fresh value gets, and how long it waits for that."""

import asyncio
from typing import Any

from holdfast.kernel.context import Ctx, current_ctx
from holdfast.ports.shared import SharedDown
from holdfast.rooms.cache.engine.counts import SHARED
from holdfast.rooms.cache.engine.flights import Flight
from holdfast.rooms.cache.engine.keeper import Keeper
from holdfast.rooms.cache.engine.loading import Loader, Want
from holdfast.rooms.cache.engine.remote import Remote
from holdfast.rooms.cache.rules import freshness
from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.rules.eviction import MAX_HITS
from holdfast.rooms.cache.rules.freshness import State
from holdfast.rooms.cache.rules.problems import LoadTimeout


class Asking:
    """The second look: everything but a plain hit."""

    def __init__(self, keeper: Keeper, loader: Loader, remote: Remote | None) -> None:
        self._keeper = keeper
        self._loader = loader
        self._remote = remote
        self._looked_up: set[str] = set()

    async def obtain(self, want: Want) -> Any:
        """The value: fresh, stale where that is allowed, or loaded. Raises what the factory raised."""
        keeper, loader = self._keeper, self._loader
        is_first = True
        while True:
            held = keeper.find(want.key, want.returns)
            if held is not None and self.is_served(held, want):
                return self.give(held, want.returns)
            if is_first:
                keeper.tallies[want.kind.name].misses += 1
                is_first = False
                if held is None and self._may_look(want.key):
                    found = await self._look(want)
                    if found is not None:
                        return self.shared(found)
                    continue  # memory may have been filled meanwhile
            marks = keeper.markers.count
            flight = loader.join(want)
            outcome = await self.wait(flight, want.kind.soft_s if held is not None else 0.0)
            if outcome is not None:
                if flight.was_killed and marks != flight.marks:
                    continue  # it began before an invalidation that this caller came after
                return self.result(flight, outcome, want.returns)
            return self.late(want.key, want.returns)

    def _may_look(self, key: str) -> bool:
        """Whether to read the second tier before a load is opened: it is there, and nobody else asks."""
        remote = self._remote
        return (
            remote is not None
            and remote.is_up
            and key not in self._looked_up
            and self._loader.under_way(asyncio.get_running_loop(), key) is None
        )

    async def _look(self, want: Want) -> Entry | None:
        """What the second tier has, fresh: a read costs a third of what the right to load costs.

        Whoever asks meanwhile opens or joins a load, so this caller may leave without harm to anyone.
        """
        assert self._remote is not None
        self._looked_up.add(want.key)
        try:
            [entry] = await self._remote.fetch((want.key,))
        except SharedDown:
            return None
        finally:
            self._looked_up.discard(want.key)
        if entry is None or self._keeper.now() >= entry.fresh_until:
            return None
        return self._loader.take(entry, want.kind.name, want.returns)

    def is_served(self, held: Entry, want: Want) -> bool:
        """Whether this entry answers at once; begins a load behind it where one is due."""
        keeper = self._keeper
        now = keeper.now()
        state = keeper.judge(held, now)
        if state is State.FRESH:
            kind = want.kind
            if now >= held.retry_at and freshness.is_early(
                now, held.fresh_until, held.load_s, kind.early_beta, keeper.chance()
            ):
                self._loader.refresh(want)
            return True
        if now < held.retry_at:
            return state is not State.ENDED
        if state is State.STALE:
            self._loader.refresh(want)
            return True
        return False

    async def wait(self, flight: Flight, soft_s: float) -> Any:
        """What came of a flight, or None when the soft deadline or the request's own comes first."""
        ctx = current_ctx()
        within_s = soft_s or None
        remaining_s = None if ctx is None else ctx.remaining_s()
        if remaining_s is not None and (within_s is None or remaining_s < within_s):
            within_s = remaining_s
        return await flight.wait(within_s)

    def late(self, key: str, returns: Any) -> Any:
        """A deadline has passed: the last good value, or LoadTimeout; the load goes on."""
        held = self._keeper.find(key, returns)
        if held is not None:
            return self.give(held, returns)
        raise LoadTimeout(
            f"{key!r:.100} was not loaded before the deadline of this request",
            hint="ask again: the load goes on",
            retry_after_s=1.0,
        )

    def result(self, flight: Flight, outcome: Any, returns: Any) -> Any:
        """The value of an outcome, noted on the request's record; raises where it is an error."""
        if isinstance(outcome, Exception):
            # The same exception is raised for everyone: each begins with the traceback of the load.
            raise outcome.with_traceback(flight.trace)
        if outcome.tally is not None:
            return self.give(outcome, returns)
        ctx = current_ctx()
        if ctx is not None:
            note(ctx, f"{SHARED if flight.was_shared else 'load'}:{outcome.kind}")
        return self._keeper.value(outcome, returns)

    def give(self, held: Entry, returns: Any) -> Any:
        """The value of an entry in memory, counted as what it is: a hit, nothing, or stale."""
        keeper = self._keeper
        tally = held.tally
        ctx = current_ctx()
        if keeper.now() >= held.fresh_until:
            tally.stale += 1
            if ctx is not None:
                note(ctx, f"stale:{tally.kind}")
                ctx.event.note(cache_stale=tally.kind)
        else:
            tally.hits += 1
            if held.is_negative:
                tally.negative += 1
            if ctx is not None:
                note(ctx, tally.fact)
        if held.hits < MAX_HITS:
            held.hits += 1
        return keeper.value(held, returns)

    def shared(self, entry: Entry) -> Any:
        """The value of an entry that the second tier has just given, decoded for this caller."""
        ctx = current_ctx()
        if ctx is not None:
            note(ctx, f"{SHARED}:{entry.kind}")
        return entry.value


def note(ctx: Ctx, fact: str) -> None:
    """Say on the request's record which tier answered, for which kind; of several the last."""
    ctx.event.note(cache=fact)
