"""Writes this process's counts, all or nothing, and once however often it must be tried."""

from collections.abc import Callable, Iterable, Sequence

from holdfast.ports.storage import Transaction
from holdfast.rooms.experiments.engine.canary.counting import Cell, Counting
from holdfast.rooms.experiments.engine.canary.last_minute import LastMinute
from holdfast.rooms.experiments.rules.canary.bursts import BURST_S
from holdfast.rooms.experiments.store.release_rows import Mark, Minute
from holdfast.rooms.experiments.store.releases import ReleaseStore

_BURST_MS = BURST_S * 1000


class Writing:
    """One process's rows. `process` is drawn at each start: nobody else ever writes them."""

    def __init__(
        self, store: ReleaseStore, counting: Counting, process: str, wall: Callable[[], float]
    ) -> None:
        self.process = process
        self._store = store
        self._counting = counting
        self._wall = wall
        self._flush = 1

    async def write(self) -> None:
        """Everything that waits; raises Unavailable, and then all of it waits on."""
        now_s = self._wall()
        batch, changed = self._counting.batch(), self._changed(now_s)
        if batch.is_empty and not changed:
            return
        async with self._store.sql.transaction() as tx:
            sums = self._counting.sums(batch, await self._first(tx, batch.marks))
            await self._store.count(tx, [self._row(cell, *sums[cell]) for cell in sorted(sums)])
            for name, run in {(name, run) for name, run, _ in batch.examples}:
                await self._store.keep_examples(
                    tx, name, run, [each for of, at, each in batch.examples if (of, at) == (name, run)]
                )
            for name, minute, recent in changed:
                await self._store.say_recent(tx, name, minute.period, self.process, self._flush, recent)
        # Only now: a write whose end nobody saw is repeated under its own number, and finds its marks again.
        self._flush += 1
        self._counting.written(batch, sums)
        for _, minute, recent in changed:
            minute.said(now_s, recent)

    def _changed(self, now_s: float) -> list[tuple[str, LastMinute, Minute]]:
        """Last minutes of which others do not know yet how they are, or not of late."""
        found = [(name, each, each.recent(now_s)) for name, each in self._counting.last_minutes().items()]
        return [(name, minute, recent) for name, minute, recent in found if minute.is_due(now_s, recent)]

    async def _first(self, tx: Transaction, marks: Iterable[Mark]) -> list[Mark]:
        """The marks that count: nobody had them before, and of what asks for it the unit was exposed."""
        by = (self.process, self._flush)
        await self._store.mark(tx, *by, [mark for mark in marks if mark.kind == "seen"])
        exposed = await self._exposed(tx, [mark for mark in marks if mark.kind == "did"])
        await self._store.mark(tx, *by, [mark for mark in marks if mark.kind == "bad" or mark in exposed])
        first = await self._store.marked(tx, *by)
        begun = await self._begun(tx, [mark for mark in first if mark.kind == "bad"])
        return [mark for mark in first if mark not in begun]

    async def _begun(self, tx: Transaction, marks: Sequence[Mark]) -> set[Mark]:
        """Those whose burst another process saw begin before: the turn of a minute cuts none in two."""
        found: set[Mark] = set()
        for cell, those in _by_cell(marks).items():
            near = await self._store.near(tx, self.process, cell, those)
            found.update(
                mark
                for mark in those
                if any(unit == mark.unit and 0 <= mark.at_ms - at_ms < _BURST_MS for unit, at_ms in near)
            )
        return found

    async def _exposed(self, tx: Transaction, marks: Sequence[Mark]) -> set[Mark]:
        found: set[Mark] = set()
        for (name, period, arm, gate), those in _by_cell(marks).items():
            units = await self._store.seen(tx, name, period, gate, arm, [mark.unit for mark in those])
            found.update(mark for mark in those if mark.unit in units)
        return found

    def _row(self, cell: Cell, n: int, bad: int) -> dict[str, str | int]:
        name, period, arm, gate = cell
        return {
            "release": name,
            "period": period,
            "process": self.process,
            "arm": arm,
            "gate": gate,
            "n": n,
            "bad": bad,
        }


def _by_cell(marks: Iterable[Mark]) -> dict[Cell, list[Mark]]:
    found: dict[Cell, list[Mark]] = {}
    for mark in marks:
        found.setdefault((mark.release, mark.period, mark.arm, mark.gate), []).append(mark)
    return found
