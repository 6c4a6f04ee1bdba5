"""How a value that is not in memory is had: from the second tier, or by one call of the factory."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

import msgspec

from holdfast.kernel.tasks import is_cancelled
from holdfast.ports.shared import SharedDown
from holdfast.rooms.cache.engine.flights import Flight, Flights, Outcome
from holdfast.rooms.cache.engine.keeper import Keeper
from holdfast.rooms.cache.engine.remote import Lease, Remote
from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.rules.freshness import State
from holdfast.rooms.cache.rules.kinds import Kind
from holdfast.rooms.cache.rules.problems import BadValue, LoadCancelled, LoadTimeout

logger = logging.getLogger("holdfast.cache")


class Want(msgspec.Struct, eq=False):
    """What a caller asks for."""

    key: str
    kind: Kind
    factory: Callable[[], Awaitable[Any]]
    ttl_s: float | None = None
    tags: tuple[str, ...] = ()
    returns: Any = None
    arms: str = ""
    """The variants that stand in `key`."""


class Word(Enum):
    """What the second tier says when it gives neither a value nor a lease."""

    ALONE = 0
    """It is not there: each node is on its own."""
    ELSEWHERE = 1
    """Another node loads the key."""
    UNUSABLE = 2
    """What it holds is dead here, or cannot be read."""


class Loader:
    """Opens flights and carries them out."""

    def __init__(
        self, keeper: Keeper, flights: Flights, remote: Remote | None, *, lease_wait_s: float
    ) -> None:
        self._keeper = keeper
        self._flights = flights
        self._remote = remote
        self._lease_wait_s = lease_wait_s

    def join(self, want: Want, *, refresh: bool = False) -> Flight:
        """The load of this key that is under way, or a new one; one that began before a marker is left."""
        loop = asyncio.get_running_loop()
        flight = self.under_way(loop, want.key)
        if flight is not None:
            self._keeper.tallies[want.kind.name].joined += 1
            return flight
        flight = self.new_flight(loop, want)
        flight.task = self._flights.run(flight, self.fly(flight, want, refresh=refresh))
        return flight

    def new_flight(self, loop: asyncio.AbstractEventLoop, want: Want) -> Flight:
        """A flight that others join from now on; its task is still to be given."""
        stamp, marks = self._keeper.stamp(), self._keeper.markers.count
        flight = Flight(loop, want.key, want.kind.name, want.tags, stamp, marks, want.arms)
        self._flights.open(flight)
        return flight

    def outdate(self, key: str, born: int) -> None:
        """Something newer lies under the key: loads that began before are told to whoever waits, not kept."""
        for flight in self._flights.all_of(key):
            if flight.born < born:
                flight.is_outdated = True

    def under_way(self, loop: asyncio.AbstractEventLoop, key: str) -> Flight | None:
        """A load that a caller may join now."""
        flight = self._flights.find(loop, key)
        if flight is None:
            return None
        markers = self._keeper.markers
        if flight.is_outdated or (
            flight.marks != markers.count and markers.killer(key, flight.tags, flight.born)
        ):
            self._flights.close(flight)
            return None
        return flight

    def refresh(self, want: Want) -> None:
        """Load anew behind the callers' backs, unless somebody does."""
        loop = asyncio.get_running_loop()
        if self._flights.find(loop, want.key) is None:
            self._keeper.tallies[want.kind.name].early += 1
            self.join(want, refresh=True)

    async def fly(self, flight: Flight, want: Want, *, refresh: bool) -> None:
        """The work of one flight: claim, load, tell, store."""
        lease: Lease | None = None
        try:
            claimed = await self.claim(flight, want, refresh=refresh)
            if isinstance(claimed, Entry):
                self.end(flight, claimed)
                return
            lease = claimed
            began = self._keeper.now()
            value = await self.load(want.kind, want.factory, [flight])
            entry = self.build(flight, want, value, self._keeper.now() - began)
            if self.settle(flight, entry):
                # From here on it is the tier's: cancelled meanwhile, it gives back after the value is there.
                lease, handed = None, lease
                await self.store(entry, handed)
        except asyncio.CancelledError:
            await self.fail(flight, want, cancelled(flight))
            if is_cancelled():
                raise
        except Exception as error:  # noqa: BLE001 - whatever a factory raises is for those who wait
            await self.fail(flight, want, error)
        finally:
            self.end(flight, cancelled(flight))
            if lease is not None:
                await self.give_back(lease)

    async def claim(self, flight: Flight, want: Want, *, refresh: bool) -> Entry | Lease | None:
        """What the second tier has, or the right to load; None: load without, nobody else can be asked.

        Waits while another node loads, but no longer than `lease_wait_s` in all.
        """
        until = self._keeper.now() + self._lease_wait_s
        while True:
            claimed = await self.ask(flight, want, refresh=refresh)
            if claimed is Word.UNUSABLE and not refresh:
                refresh = True  # what lies there is dead or cannot be read: ask for the right to replace it
            elif claimed is Word.ELSEWHERE and self._keeper.now() < until:
                assert self._remote is not None
                await self._remote.filled(want.key, until - self._keeper.now())
                refresh = False  # what another has just filled is as new as what we would load
            else:
                return None if isinstance(claimed, Word) else claimed

    async def ask(self, flight: Flight, want: Want, *, refresh: bool) -> "Entry | Lease | Word":
        """Ask the second tier once, without waiting for another node."""
        remote = self._remote
        if remote is None or not remote.is_up:
            return Word.ALONE
        try:
            claimed = await remote.claim(want.key, refresh=refresh)
        except SharedDown:
            return Word.ALONE
        if isinstance(claimed, Lease):
            # By the server's clock, even where ours is ahead: markers bear its stamps too.
            flight.born = claimed.born
            return claimed
        if claimed is None:
            return Word.ELSEWHERE
        found = self.take(claimed, flight.kind, want.returns)
        flight.was_shared = found is not None
        return found or Word.UNUSABLE

    def take(self, entry: Entry, kind: str, returns: Any) -> Entry | None:
        """What the second tier gave, kept and counted as a hit of `kind`; None when it cannot be used."""
        keeper = self._keeper
        try:
            found = keeper.adopt(entry, returns)
        except BadValue as problem:
            logger.warning("the second tier holds something unreadable for %.100r: %s", entry.key, problem)
            return None
        if found is not None:
            keeper.tallies[kind].shared_hits += 1
        return found

    async def load(self, kind: Kind, factory: Callable[[], Awaitable[Any]], concerned: list[Flight]) -> Any:
        """One call of the factory, counted, with its deadline set on every flight that it is for."""
        keeper = self._keeper
        tally = keeper.tallies[kind.name]
        tally.loads += 1
        if kind.hard_s:
            for each in concerned:
                each.timer = each.loop.call_later(kind.hard_s, self._overdue, each, kind)
        began = keeper.now()
        try:
            return await factory()
        finally:
            tally.load_s += keeper.now() - began

    def build(self, flight: Flight, want: Want, value: Any, load_s: float) -> Entry:
        return self._keeper.build(
            flight.key,
            want.kind,
            value,
            born=flight.born,
            ttl_s=want.ttl_s,
            tags=want.tags,
            load_s=load_s,
            returns=want.returns,
        )

    def settle(self, flight: Flight, entry: Entry) -> bool:
        """Keep what was loaded, unless it was invalidated under way, and tell; whether it may be stored.

        A flight that was given up in the meantime keeps its value as well: it is late, not wrong.
        """
        keeper = self._keeper
        flight.was_killed = bool(keeper.killer(entry))
        keeps = not flight.was_killed and not flight.is_outdated and keeper.is_kept(entry)
        if keeps:
            keeper.keep(entry, flight.marks)
        self.end(flight, entry)
        return keeps

    def end(self, flight: Flight, outcome: Outcome) -> None:
        """Out of the table, and told to everyone; a flight that has ended stays as it is."""
        self._flights.close(flight)
        flight.finish(outcome)

    async def store(self, entry: Entry, lease: Lease | None) -> None:
        """Write to the second tier; what goes wrong there is no business of those who wait."""
        if self._remote is None:
            return
        try:
            await self._remote.store([entry], lease)
        except Exception as error:  # noqa: BLE001 - the value is loaded and told; L2 is an extra
            logger.warning("storing %.100r in the second tier failed: %s", entry.key, error)

    async def give_back(self, lease: Lease) -> None:
        """Let another node try."""
        if self._remote is None:
            return
        try:
            await self._remote.give_back(lease)
        except Exception as error:  # noqa: BLE001 - the lease ends by itself
            logger.warning("giving back the lease of %.100r failed: %s", lease.key, error)

    async def fail(self, flight: Flight, want: Want, error: Exception) -> None:
        """The load has failed: the last good value stands in where there is one, else all get the error."""
        if flight.has_ended:
            return
        kind = want.kind
        self._keeper.tallies[kind.name].failures += 1
        standby = self._keeper.find(flight.key, want.returns)
        if standby is None and kind.fail_safe_s:
            standby = await self._distant_standby(flight, want.returns)
        self.end(flight, self._stand_in(flight, kind, standby, error))

    def _overdue(self, flight: Flight, kind: Kind) -> None:
        """The hard deadline: nobody waits any longer, and the factory is told to stop."""
        self._keeper.tallies[kind.name].failures += 1
        error = LoadTimeout(
            f"loading {flight.key!r:.100} took longer than {kind.hard_s:g} s",
            hint=f"raise hard_s of the kind {kind.name}, or give the factory a deadline of its own",
            retry_after_s=kind.retry_s,
        )
        standby = self._keeper.find(flight.key)
        self.end(flight, self._stand_in(flight, kind, standby, error))
        if flight.task is not None:
            flight.task.cancel()

    def _stand_in(self, flight: Flight, kind: Kind, standby: Entry | None, error: Exception) -> Outcome:
        if standby is None:
            return error
        standby.retry_at = self._keeper.now() + kind.retry_s
        if self._keeper.judge(standby, self._keeper.now()) is not State.FRESH:
            logger.warning("loading %.100r failed, the last good value stands in: %r", flight.key, error)
        return standby

    async def _distant_standby(self, flight: Flight, returns: Any) -> Entry | None:
        """The last good value of any node."""
        remote, keeper = self._remote, self._keeper
        if remote is None or not remote.is_up:
            return None
        try:
            [entry] = await remote.fetch([flight.key])
            if entry is None or keeper.adopt(entry, returns) is None:
                return None
        except Exception as error:  # noqa: BLE001 - the factory's error is what the caller shall see
            logger.debug("no last good value of %.100r: %s", flight.key, error)
            return None
        return keeper.find(flight.key, returns)


def cancelled(flight: Flight) -> LoadCancelled:
    """What those get who wait for a load that was cancelled from outside or cancelled itself."""
    return LoadCancelled(
        f"the load of {flight.key!r:.100} was cancelled",
        hint="a factory must not cancel itself; when the server stops, try another",
        retry_after_s=1.0,
    )
