"""Looks: an analysis of the sums as they are now, itself written down.

    sums (cells and bins, never units) + looks so far -> question -> analyse -> a row, where it is a new look

What is shown between two looks is the last one: so a page that is refreshed spends nothing. Two that look at
once write the same number; the second finds it taken and shows the first one's.
"""

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.rooms.experiments.rules.ab.lives import Stored
from holdfast.rooms.experiments.rules.ab.question import Sheet, question
from holdfast.rooms.experiments.rules.ab.told import told
from holdfast.rooms.experiments.rules.statistics.analysis import analyse
from holdfast.rooms.experiments.rules.statistics.results import Analysis
from holdfast.rooms.experiments.store.ab import AbStore, LookRow
from holdfast.rooms.experiments.store.ab_sums import SumsStore

logger = logging.getLogger("holdfast.experiments")
FRESH_UNITS = 0.01
"""Where no end is planned a look is free, but it is written down anew only when so many more units came."""


class Looked(msgspec.Struct, frozen=True):
    """What a look shows."""

    analysis: Analysis
    number: int
    """0: nothing to write down yet."""
    at_ms: int
    who: str
    is_new: bool


class Looks:
    """Takes looks and shows those taken."""

    def __init__(self, store: AbStore, sums: SumsStore, clock: Clock) -> None:
        self._store = store
        self._sums = sums
        self._clock = clock

    async def look(self, stored: Stored, who: str, *, slot: str = "", ended: bool = False) -> Looked:
        """A new look, or the last one where too little has come since for one of its own."""
        name, phase = stored.experiment.name, stored.phase
        rows = list(await self._store.looks(name, phase))
        if rows and rows[-1].last:
            return await self.shown(stored, rows[-1])
        before = [row.told.look for row in rows if row.told.look is not None]
        at_s = self._clock.wall()
        sheet = await self._sums.kept(name, phase)
        asked = question(stored, sheet, before, at_s, ended=ended)
        if rows and not ended and not _is_fresh(rows[-1], sum(asked.units.values())):
            return await self.shown(stored, rows[-1])
        # The grids of the sequential boundaries cost milliseconds: not in the loop's time.
        found = await asyncio.to_thread(analyse, asked)
        if found.look is None and not ended:
            if rows:
                return await self.shown(stored, rows[-1])
            return Looked(found, 0, int(at_s * 1000), who, False)
        row = LookRow(
            number=len(rows) + 1,
            slot=slot or f"look-{len(rows) + 1}",
            at_ms=int(at_s * 1000),
            who=who,
            units=sum(asked.units.values()),
            fraction=found.information,
            last=found.final,
            told=told(found),
        )
        if await self._store.add_look(name, phase, row, found):
            return Looked(found, row.number, row.at_ms, who, True)
        return await self.shown(stored, (await self._store.looks(name, phase))[-1])

    async def taken(self, stored: Stored) -> Sequence[LookRow]:
        """Every look of the present phase."""
        return await self._store.looks(stored.experiment.name, stored.phase)

    async def shown(self, stored: Stored, row: LookRow) -> Looked:
        """What that look showed."""
        analysis = await self._store.shown(stored.experiment.name, stored.phase, row.number)
        return Looked(analysis, row.number, row.at_ms, row.who, False)

    async def sheet(self, stored: Stored) -> Sheet:
        """The sums of the present phase, as they are now. Not for eyes: figures of it would be a look."""
        return await self._sums.kept(stored.experiment.name, stored.phase)


def _is_fresh(last: LookRow, units: int) -> bool:
    return units > last.units * (1 + FRESH_UNITS) if last.fraction is None else units != last.units
