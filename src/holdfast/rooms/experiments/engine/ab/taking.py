"""Takes in exposures and deeds: at once where the unit is known, and once only.

    outcomes -> waiting -> works by (experiment, unit) -> batches -> one transaction each
                              |
                              +-- held: deeds of units that nobody has seen exposed yet, and of users of
                                        whom nobody knows yet as which unit they were

Processes flush at their own times, so a deed may come in before the exposure it followed. It is held for
SETTLE_S and only then taken for what a unit did before. Nothing leaves a list before it is in the next one,
and a batch keeps its number until the database has it: while that is away, all waits (bounded, and what is
lost is counted, whatever the arm), and what was written without our hearing of it is not written twice.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice, takewhile
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from holdfast.kernel.errors import BadInput, Problem
from holdfast.rooms.experiments.engine.ab.bounded import Bounded
from holdfast.rooms.experiments.rules.ab.lives import Stored
from holdfast.rooms.experiments.rules.ab.taking import (
    Cut,
    Deed,
    Exposure,
    Moves,
    Unit,
    cuts_of,
    moved_on,
    with_past,
)
from holdfast.rooms.experiments.rules.ab.watching import Watch
from holdfast.rooms.experiments.rules.assigning import BadUnit, normalise
from holdfast.rooms.experiments.rules.outcomes import Outcome, Use
from holdfast.rooms.experiments.rules.statistics.novelty import FIRST_DAYS
from holdfast.rooms.experiments.rules.statistics.strata import stratum
from holdfast.rooms.experiments.store.ab_sums import SumsStore, UnitKey

logger = logging.getLogger("holdfast.experiments")
T = TypeVar("T")

SETTLE_S = 3.0
"""How long a deed waits for the exposure it followed, of another process: three flushes."""
MOST_WAITING = 200_000
"""Exposures and deeds that wait for the database."""
SLICE = 500
"""Outcomes that are sorted in one go: some milliseconds of the loop's time."""
UNITS_A_BATCH = 500
"""Units of one transaction; what more a slice holds are units of several experiments."""
MOST_VALUES = 50
"""Values of a segment; what comes after them is `other`: a look must not grow with an attribute."""
HEARD_DAYS = 7
"""After so many days it is noted again that a user is still there."""
_KNOWN = 50_000
_UNKNOWN = Unit()


class Work:
    """What one unit did since the last batch."""

    __slots__ = ("came", "exposures", "fresh", "settled")

    def __init__(self) -> None:
        self.came = False
        """Whether it is to be known though it did nothing that is measured."""
        self.exposures: list[Exposure] = []
        self.fresh: list[Deed] = []
        """Deeds whose exposure may still come."""
        self.settled: list[Deed] = []
        """Deeds that have waited long enough."""


class Batch:
    """Works that are written together, under one number."""

    def __init__(self, seq: int, works: Mapping[UnitKey, Work], watch: Watch) -> None:
        self.seq = seq
        self.works = works
        self.watch = watch
        self.size = sum(len(w.exposures) + len(w.fresh) + len(w.settled) for w in works.values())
        self.early: list[tuple[UnitKey, Deed]] = []
        """Fresh deeds of the last attempt for which there was no exposure yet."""

    @property
    def makes(self) -> list[UnitKey]:
        """Units that get a row if they have none."""
        keeps = self.watch.keeps_past
        return [
            key
            for key, work in self.works.items()
            if work.exposures or ((work.settled or work.came) and keeps(key[0]))
        ]

    def settle(self, rows: Mapping[UnitKey, Unit]) -> tuple[dict[UnitKey, Unit], dict[str, Moves]]:
        """The rows that change, and the moves of each experiment's sums. Anew at each attempt."""
        self.early = []
        changed: dict[UnitKey, Unit] = {}
        moves: dict[str, Moves] = {}
        for key, work in self.works.items():
            name, before = key[0], rows.get(key, _UNKNOWN)
            after = self._after(key, work, before)
            if key in rows and after != before:
                changed[key] = after
                moves.setdefault(name, Moves()).of(before, after, self.watch.metrics(name))
        return changed, moves

    def _after(self, key: UnitKey, work: Work, before: Unit) -> Unit:
        unit, early = moved_on(before, work.exposures, work.fresh, first_days=FIRST_DAYS)
        self.early += [(key, deed) for deed in early]
        unit, before_it = moved_on(unit, (), work.settled, first_days=FIRST_DAYS)
        makes = before_it or (work.came and not unit.state)
        return with_past(unit, before_it) if makes and self.watch.keeps_past(key[0]) else unit


class Held(NamedTuple):
    """A deed that waits for the exposure it may have followed."""

    due_s: float
    key: UnitKey
    """The experiment, and the unit; or whom the record names, where the unit is still to be found."""
    deed: Deed
    is_found: bool


class Taker:
    """The taking-in of one process; `writer` is its name, drawn anew at each start."""

    def __init__(self, sums: SumsStore, wall: Callable[[], float], writer: str) -> None:
        self.lost = 0
        self._sums = sums
        self._wall = wall
        self._writer = writer
        self._seq = 0
        self._turn = asyncio.Lock()
        self._waiting: deque[Outcome] = deque()
        self._held: deque[Held] = deque()
        self._batches: deque[Batch] = deque()
        self._first: Bounded[str, int] = Bounded(_KNOWN)
        self._heard_since = 0
        self._seen: Bounded[UnitKey, tuple[int, str]] = Bounded(_KNOWN)
        self._come_before: Bounded[UnitKey, bool] = Bounded(_KNOWN)
        self._units: Bounded[tuple[str, str], str] = Bounded(_KNOWN)
        self._values: dict[tuple[str, int], dict[str, set[str]]] = {}

    @property
    def waiting(self) -> int:
        """How much is not in the database yet."""
        return len(self._waiting) + len(self._held) + sum(batch.size for batch in self._batches)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Keep them for the next writing; what there is no room for is lost, and counted."""
        room = MOST_WAITING - self.waiting
        for outcome in outcomes:
            if room <= 0:
                self.lost += 1
                continue
            self._waiting.append(outcome)
            room -= 1

    async def write(self, watch: Watch, *, closing: bool = False) -> None:
        """Bring all of it into the database, but for deeds that wait for an exposure, unless `closing`."""
        async with self._turn:
            await self._write(watch, closing=closing)

    async def _write(self, watch: Watch, *, closing: bool) -> None:
        await self._send()
        while self._waiting:
            # A slice at a time: requests are served between two of them.
            outcomes = list(islice(self._waiting, SLICE))
            works = await self._works(outcomes, watch)
            for _ in outcomes:
                self._waiting.popleft()
            self._queue(works, watch)
            await self._send()
        # Last, so that no exposure that waits with them is still to come.
        self._queue(await self._released(watch, closing=closing), watch)
        await self._send()

    def _queue(self, works: Mapping[UnitKey, Work], watch: Watch) -> None:
        for part in _parts(sorted(works)):
            self._seq += 1
            self._batches.append(Batch(self._seq, {key: works[key] for key in part}, watch))

    async def _send(self) -> None:
        while self._batches:
            batch = self._batches[0]
            now_ms = int(self._wall() * 1000)
            try:
                await self._sums.take(self._writer, batch.seq, batch.makes, batch.works, batch.settle, now_ms)
            except Exception as error:
                if not _is_refusal(error):
                    raise
                # It would be refused again, and stand in the way of all that follows.
                self.lost += batch.size
                logger.exception("the database refuses what %d units did; it is lost", len(batch.works))
                batch.works, batch.early = {}, []
            self._batches.popleft()
            due_s = self._wall() + SETTLE_S
            for key, deed in batch.early:
                # A user may turn out to be a session; a tenant or device is what it is.
                self._held.append(Held(due_s, key, deed, not batch.watch.is_of_users(key[0])))
            for key, work in batch.works.items():
                for seen in work.exposures:
                    self._seen.put(key, (seen.phase, seen.arm))

    # -- gathering --------------------------------------------------------------------------------

    async def _works(self, outcomes: Sequence[Outcome], watch: Watch) -> dict[UnitKey, Work]:
        await self._hear(outcomes)
        works: dict[UnitKey, Work] = {}
        links: dict[str, dict[str, str]] = {}
        for outcome in outcomes:
            for name, use in watch.exposures(outcome):
                user = normalised(outcome.user)
                if user not in ("", use.unit) and self._units.get((name, user)) != use.unit:
                    links.setdefault(name, {})[user] = use.unit
                if self._seen.get((name, use.unit)) != (use.phase, use.variant):
                    cuts = await self._cuts(watch.stored[name], use, outcome)
                    seen = Exposure(int(outcome.at_s * 1000), use.phase, use.variant, cuts)
                    works.setdefault((name, use.unit), Work()).exposures.append(seen)
        await self._link(links)
        deeds = [
            (name, outcome.uses.get(name), normalised(outcome.user), deed)
            for outcome in outcomes
            for name, deed in watch.deeds(outcome)
        ]
        units = await self._whose({(name, who) for name, served, who, _ in deeds if not served}, watch)
        # Nothing may fail from here on: what is held or noted as come would be so twice.
        due_s = self._wall() + SETTLE_S
        for name, served, who, deed in deeds:
            unit = served.unit if served else units[name, who]
            if unit:
                works.setdefault((name, unit), Work()).fresh.append(deed)
            elif who and not served:
                self._held.append(Held(due_s, (name, who), deed, False))
        self._come(outcomes, watch, works)
        return works

    def _come(self, outcomes: Sequence[Outcome], watch: Watch, works: dict[UnitKey, Work]) -> None:
        """While an experiment collects, everybody who comes is known: plans ask how many there are."""
        names = [name for name, each in watch.stored.items() if each.status == "collecting"]
        names = [name for name in names if watch.is_of_users(name)]
        for user in {normalised(outcome.user) for outcome in outcomes} if names else ():
            for name in names if user else ():
                if self._come_before.get((name, user)) is None:
                    works.setdefault((name, user), Work()).came = True
                    self._come_before.put((name, user), True)

    async def _hear(self, outcomes: Sequence[Outcome]) -> None:
        """Learn when each user and unit was first heard of."""
        heard: dict[str, int] = {}
        today = int(self._wall() // 86_400)
        if today - self._heard_since >= HEARD_DAYS:
            # Who is known is asked of once more: the database learns that they are still there.
            self._first, self._heard_since = Bounded(_KNOWN), today
        for outcome in outcomes:
            at_ms = int(outcome.at_s * 1000)
            for who in {normalised(outcome.user), *(use.unit for use in outcome.uses.values())}:
                if who and self._first.get(who) is None:
                    heard[who] = min(at_ms, heard.get(who, at_ms))
        for part in _parts(sorted(heard)):
            for who, first_ms in (
                await self._sums.heard_of({who: heard[who] for who in part}, today)
            ).items():
                self._first.put(who, first_ms)

    async def _released(self, watch: Watch, *, closing: bool) -> dict[UnitKey, Work]:
        """The held deeds whose time has come."""
        now_s = self._wall()
        due = list(takewhile(lambda held: closing or held.due_s <= now_s, self._held))
        due_here = [held for held in due if held.key[0] in watch.stored]
        units = await self._whose({held.key for held in due_here if not held.is_found}, watch)
        works: dict[UnitKey, Work] = {}
        for held in due_here:
            name, unit = held.key if held.is_found else (held.key[0], units[held.key])
            if unit:
                works.setdefault((name, unit), Work()).settled.append(held.deed)
        for _ in due:
            self._held.popleft()
        return works

    # -- whose, and in which cells ------------------------------------------------------------------

    async def _link(self, links: Mapping[str, Mapping[str, str]]) -> None:
        """Keep as which unit users were exposed, where it is another: a tenant, a device, a session."""
        for name, pairs in links.items():
            await self._sums.link(name, pairs)
            for user, unit in pairs.items():
                self._units.put((name, user), unit)

    async def _whose(self, named: Iterable[UnitKey], watch: Watch) -> dict[UnitKey, str]:
        """Whose total a deed moves of which a record names these; empty where nobody's.

        The unit as which this user was exposed; else the unit that itself has this name. In this order: user
        42 is seldom of tenant 42.
        """
        found: dict[UnitKey, str] = {}
        asked: dict[str, set[str]] = {}
        for name, who in named:
            is_itself = watch.is_of_users(name) and self._seen.get((name, who)) is not None
            found[name, who] = who if is_itself else self._units.get((name, who)) or ""
            if who and not found[name, who]:
                asked.setdefault(name, set()).add(who)
        for name, those in asked.items():
            for part in _parts(sorted(those)):
                linked = await self._sums.linked(name, part)
                for who, unit in linked.items():
                    self._units.put((name, who), unit)
                rest = [who for who in part if who not in linked]
                own = rest if watch.is_of_users(name) else await self._sums.exposed(name, rest)
                found |= {(name, who): unit for who, unit in linked.items()}
                found |= {(name, who): who for who in own}
        return found

    async def _cuts(self, stored: Stored, use: Use, outcome: Outcome) -> tuple[Cut, ...]:
        experiment, name = stored.experiment, stored.experiment.name
        if (name, use.phase) not in self._values:
            self._values[name, use.phase] = await self._sums.values(name, use.phase)
        known = self._values[name, use.phase]
        segments: dict[str, str] = {}
        for attribute in experiment.segments:
            if attribute == "visitor" and "visitor" not in outcome.attributes:
                first_ms, began_ms = self._first.get(use.unit), stored.life.started_ms
                is_new = first_ms is None or began_ms is None or first_ms >= began_ms
                value = "new" if is_new else "returning"
            else:
                value = _text(outcome.attributes.get(attribute, "none")) or "none"
            values = known.setdefault(attribute, set())
            if value not in values and len(values) >= MOST_VALUES:
                value = "other"
            values.add(value)
            segments[attribute] = value
        at = datetime.fromtimestamp(outcome.at_s, ZoneInfo(experiment.zone))
        return cuts_of(stratum(at.weekday(), at.hour), at.date().isoformat(), segments)


def normalised(user: str) -> str:
    """The user's one text; empty for nobody and for what is no id."""
    try:
        return normalise(user)
    except BadUnit:
        return ""


def _text(fact: object) -> str:
    """A fact as text that every database takes: half a surrogate pair is no text, nor is NUL."""
    return str(fact).replace("\x00", "")[:100].encode("utf-8", "replace").decode()


def _is_refusal(error: Exception) -> bool:
    """Whether it would come again at each attempt: no outage, which passes."""
    return isinstance(error, BadInput) or not isinstance(error, Problem | OSError)


def _parts(keys: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(keys), UNITS_A_BATCH):
        yield keys[start : start + UNITS_A_BATCH]
