"""Many keys in one call: what memory lacks is asked for together and loaded together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from holdfast.kernel.tasks import is_cancelled
from holdfast.ports.shared import SharedDown
from holdfast.rooms.cache.engine.arms import tags_with
from holdfast.rooms.cache.engine.asking import Asking
from holdfast.rooms.cache.engine.flights import Flight, Flights
from holdfast.rooms.cache.engine.keeper import Keeper
from holdfast.rooms.cache.engine.loading import Loader, Want, Word, cancelled
from holdfast.rooms.cache.engine.remote import Lease, Remote
from holdfast.rooms.cache.rules.arms import key_of
from holdfast.rooms.cache.rules.entry import KEY, Entry, Marker
from holdfast.rooms.cache.rules.freshness import Absent, State
from holdfast.rooms.cache.rules.kinds import Kind
from holdfast.rooms.cache.rules.problems import BadValue

ManyFactory = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]


class Batches:
    """The forms with many keys. Each key keeps a flight of its own, so that single callers join them."""

    def __init__(
        self, keeper: Keeper, flights: Flights, loader: Loader, asking: Asking, remote: Remote | None
    ) -> None:
        self._keeper = keeper
        self._flights = flights
        self._loader = loader
        self._asking = asking
        self._remote = remote

    async def get_many(self, keys: Sequence[str], kind: Kind, returns: Any, arms: str = "") -> dict[str, Any]:
        if not arms:
            return await self._get_many(dict.fromkeys(keys), kind, returns)
        plain = {key_of(key, arms): key for key in keys}
        found = await self._get_many(plain, kind, returns)
        return {plain[key]: value for key, value in found.items()}

    async def _get_many(self, keys: Iterable[str], kind: Kind, returns: Any) -> dict[str, Any]:
        keeper, asking = self._keeper, self._asking
        found: dict[str, Any] = {}
        missing: list[str] = []
        for key in keys:
            held = keeper.find(key, returns)
            if held is None or keeper.judge(held, keeper.now()) is not State.FRESH:
                keeper.tallies[kind.name].misses += 1
                missing.append(key)
            elif held.is_negative:
                asking.give(held, returns)
            else:
                found[key] = asking.give(held, returns)
        if missing and self._remote is not None and self._remote.is_up:
            for entry in await self._fetch(missing):
                self._take(entry, found, returns)
        return found

    async def _fetch(self, keys: Sequence[str]) -> list[Entry]:
        assert self._remote is not None
        try:
            return [entry for entry in await self._remote.fetch(keys) if entry is not None]
        except SharedDown:
            return []

    def _take(self, entry: Entry, found: dict[str, Any], returns: Any) -> None:
        keeper = self._keeper
        try:
            adopted = keeper.adopt(entry, returns)
        except BadValue:
            return  # counted there; whoever loads the key next replaces it
        if adopted is None or entry.is_negative or keeper.now() >= entry.fresh_until:
            return
        keeper.tally(entry).shared_hits += 1
        found[entry.key] = self._asking.shared(adopted)

    async def set_many(
        self,
        values: Mapping[str, Any],
        kind: Kind,
        *,
        ttl_s: float | None,
        tags: tuple[str, ...],
        returns: Any,
        arms: str = "",
    ) -> None:
        keeper = self._keeper
        # Built before anything is kept: one value that cannot be kept leaves all as it was.
        entries = [
            keeper.build(
                key_of(key, arms),
                kind,
                value,
                born=keeper.stamp(),
                ttl_s=ttl_s,
                tags=tags_with(tags, key, arms),
                returns=returns,
            )
            for key, value in values.items()
        ]
        kept, dropped = [], []
        for entry in entries:
            self._loader.outdate(entry.key, entry.born)
            if keeper.is_kept(entry):
                keeper.keep(entry)
                kept.append(entry)
            else:
                # The value that it was to replace must not be found any more either.
                dropped.append(Marker(KEY, entry.key, entry.born))
                keeper.forget(entry.key, entry.born)
        keeper.hear(dropped)
        if self._remote is not None:
            if dropped:
                await self._remote.mark(dropped)
            if kept:
                await self._remote.store(kept)

    async def get_or_set_many(
        self,
        keys: Sequence[str],
        factory: ManyFactory,
        kind: Kind,
        *,
        ttl_s: float | None,
        tags: tuple[str, ...],
        returns: Any,
        arms: str = "",
    ) -> dict[str, Any]:
        plain = {key_of(key, arms): key for key in keys}
        if arms:
            factory = _of_arms(factory, plain, arms)
        wants = {
            key: Want(
                key, kind, partial(_single, factory, key), ttl_s, tags_with(tags, named, arms), returns, arms
            )
            for key, named in plain.items()
        }
        found: dict[str, Any] = {}
        while len(found) < len(wants):
            marks = self._keeper.markers.count
            flights = self._depart(factory, kind, wants, found)
            for key, flight in flights.items():
                found.update(await self._arrive(flight, wants[key], marks))
        return {named: found[key] for key, named in plain.items() if found[key] is not None}

    def _depart(
        self, factory: ManyFactory, kind: Kind, wants: Mapping[str, Want], found: dict[str, Any]
    ) -> dict[str, Flight]:
        """Put what can be given at once in `found`; the flights of the rest, joined or opened together."""
        keeper, loader = self._keeper, self._loader
        loop = asyncio.get_running_loop()
        flights: dict[str, Flight] = {}
        opened: list[Flight] = []
        for key, want in wants.items():
            if key in found:
                continue
            held = keeper.find(key, want.returns)
            if held is not None and self._asking.is_served(held, want):
                found[key] = self._asking.give(held, want.returns)
                continue
            keeper.tallies[kind.name].misses += 1
            flight = loader.under_way(loop, key)
            if flight is None:
                flight = loader.new_flight(loop, want)
                opened.append(flight)
            else:
                keeper.tallies[kind.name].joined += 1
            flights[key] = flight
        if opened:
            self._run(opened, factory, kind, wants)
        return flights

    async def _arrive(self, flight: Flight, want: Want, marks: int) -> dict[str, Any]:
        """What came of one flight; empty when it has to be asked for again."""
        held = self._keeper.find(want.key, want.returns)
        outcome = await self._asking.wait(flight, want.kind.soft_s if held is not None else 0.0)
        if outcome is None:
            return {want.key: self._asking.late(want.key, want.returns)}
        if flight.was_killed and marks != flight.marks:
            return {}
        return {want.key: self._asking.result(flight, outcome, want.returns)}

    def _run(self, opened: list[Flight], factory: ManyFactory, kind: Kind, wants: Mapping[str, Want]) -> None:
        """One task for all of them, in a flight of its own that each of them waits for."""
        first = opened[0]
        lead = Flight(first.loop, first.key, kind.name, (), first.born, first.marks, first.arms)
        for flight in opened:
            flight.waits_for.add(lead)
        task = self._flights.run(lead, self._fly(lead, opened, factory, kind, wants))
        for flight in opened:
            flight.task = task

    async def _fly(
        self,
        lead: Flight,
        flights: list[Flight],
        factory: ManyFactory,
        kind: Kind,
        wants: Mapping[str, Want],
    ) -> None:
        loader = self._loader
        leases: dict[str, Lease] = {}
        mine = list(flights)
        try:
            mine = await self._claim(lead, flights, wants, leases)
            entries = await self._load(mine, factory, kind, wants)
            await asyncio.gather(*(loader.store(e, leases.pop(e.key, None)) for e in entries))
        except asyncio.CancelledError:
            for flight in mine:
                await loader.fail(flight, wants[flight.key], cancelled(flight))
            if is_cancelled():
                raise
        except Exception as error:  # noqa: BLE001 - whatever a factory raises is for those who wait
            for flight in mine:
                await loader.fail(flight, wants[flight.key], error)
        finally:
            lead.finish(cancelled(lead))
            for flight in mine:
                loader.end(flight, cancelled(flight))
            for lease in leases.values():
                await loader.give_back(lease)

    async def _claim(
        self, lead: Flight, flights: list[Flight], wants: Mapping[str, Want], leases: dict[str, Lease]
    ) -> list[Flight]:
        """Ask the second tier about all at once; the flights that are ours to load.

        What another node loads is waited for by a task of its own: two nodes that hold a lease each and
        wait for the other's would wait for long.
        """
        loader = self._loader
        mine: list[Flight] = []
        claims = await asyncio.gather(*(loader.ask(f, wants[f.key], refresh=False) for f in flights))
        for flight, claimed in zip(flights, claims, strict=True):
            if isinstance(claimed, Entry):
                loader.end(flight, claimed)
            elif claimed is Word.ELSEWHERE or claimed is Word.UNUSABLE:
                flight.waits_for.discard(lead)
                work = loader.fly(flight, wants[flight.key], refresh=claimed is Word.UNUSABLE)
                flight.task = self._flights.run(flight, work)
            else:
                if isinstance(claimed, Lease):
                    leases[flight.key] = claimed
                mine.append(flight)
        return mine

    async def _load(
        self, mine: list[Flight], factory: ManyFactory, kind: Kind, wants: Mapping[str, Want]
    ) -> list[Entry]:
        """One call of the factory for all; the entries to store."""
        if not mine:
            return []
        loader, keeper = self._loader, self._keeper
        began = keeper.now()
        values = await loader.load(kind, partial(factory, [flight.key for flight in mine]), mine)
        load_s = keeper.now() - began
        kept = []
        for flight in mine:
            want = wants[flight.key]
            try:
                entry = loader.build(flight, want, values.get(flight.key, Absent()), load_s)
            except BadValue as problem:
                await loader.fail(flight, want, problem)
                continue
            if loader.settle(flight, entry):
                kept.append(entry)
        return kept


def _of_arms(factory: ManyFactory, plain: Mapping[str, str], arms: str) -> ManyFactory:
    """The caller's factory, asked by the caller's keys, for entries that lie elsewhere."""

    async def load(keys: Sequence[str]) -> Mapping[str, Any]:
        values = await factory([plain[key] for key in keys])
        return {key_of(key, arms): value for key, value in values.items()}

    return load


async def _single(factory: ManyFactory, key: str) -> Any:
    """The factory for one key alone: what refreshes it later."""
    return (await factory([key])).get(key, Absent())
