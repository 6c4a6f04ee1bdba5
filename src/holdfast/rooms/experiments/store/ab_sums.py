"""Units' rows and the sums over them: written together by the taking-in, read apart by looks.

A batch is one transaction: the writer's number (a batch that is sent twice counts once), new rows, the rows
under lock in one order, the rows as they are then, and the sums by their differences. Every transaction
locks units before cells and cells before bins, each in the order of its key: eight processes that take in
deeds of the same units wait for each other, and none of them for one that waits for it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, bindparam, select, update

from holdfast.kernel.codec import encode_json
from holdfast.ports.storage import Row, Sql, Transaction
from holdfast.ports.upsert import incoming, insert_ignore, upsert
from holdfast.rooms.experiments.rules.ab.question import Sheet
from holdfast.rooms.experiments.rules.ab.taking import UNITS, Moves, Unit
from holdfast.rooms.experiments.rules.statistics.sums import Sums
from holdfast.rooms.experiments.store.ab_tables import SUMS, bins, cells, links, units, visitors, writers

UnitKey = tuple[str, str]
"""Experiment and unit."""
Settle = Callable[[Mapping[UnitKey, Unit]], "tuple[Mapping[UnitKey, Unit], Mapping[str, Moves]]"]
"""Rows as they are -> rows that change, and the moves of each experiment."""

FORGOTTEN_AT_ONCE = 2_000
"""Rows that one statement deletes."""
_CELL_KEY = ("experiment", "phase", "attribute", "value", "arm", "metric")
_u, _c, _b, _v, _l = units.c, cells.c, bins.c, visitors.c, links.c

WRITES = upsert(
    writers,
    key=("writer",),
    update=("seq", "changed_ms"),
    where=writers.c.seq < incoming(writers).seq,
    returning=("writer",),
)
MAKE = insert_ignore(units, key=("experiment", "unit"))
LOCK = (
    select(_u.unit, _u.phase, _u.arm, _u.state, _u.first_ms, _u.cuts, _u.totals, _u.past, _u.crossed)
    .where(_u.experiment == bindparam("which"), _u.unit.in_(bindparam("those", expanding=True)))
    .order_by(_u.unit)
    .with_for_update()
)
SET = (
    update(units)
    .where(_u.experiment == bindparam("which"), _u.unit == bindparam("that"))
    .values({name: bindparam(f"to_{name}") for name in Unit.__struct_fields__})
)
ADD = upsert(
    cells,
    key=_CELL_KEY,
    update={name: cells.c[name] + incoming(cells)[name] for name in ("n", *SUMS)},
)
BIN = upsert(bins, key=(*_CELL_KEY, "bin"), update={"n": _b.n + incoming(bins).n})
CELLS = select(_c.attribute, _c.value, _c.arm, _c.metric, _c.n, *(_c[name] for name in SUMS)).where(
    _c.experiment == bindparam("which"), _c.phase == bindparam("phase")
)
BINS = select(_b.attribute, _b.value, _b.arm, _b.metric, _b.bin, _b.n).where(
    _b.experiment == bindparam("which"), _b.phase == bindparam("phase"), _b.n != 0
)
VALUES = (
    select(_c.attribute, _c.value)
    .where(_c.experiment == bindparam("which"), _c.phase == bindparam("phase"), _c.metric == UNITS)
    .distinct()
)
HEARD = upsert(
    visitors,
    key=("unit",),
    update=("seen_day",),
    where=_v.seen_day < incoming(visitors).seen_day - 3,
)
FIRST = select(_v.unit, _v.first_ms).where(_v.unit.in_(bindparam("those", expanding=True)))
LINK = upsert(links, key=("experiment", "user_id"), update=("unit",))
LINKED = select(_l.user_id, _l.unit).where(
    _l.experiment == bindparam("which"), _l.user_id.in_(bindparam("those", expanding=True))
)
EXPOSED = select(_u.unit).where(
    _u.experiment == bindparam("which"),
    _u.unit.in_(bindparam("those", expanding=True)),
    _u.phase > 0,
)
_MOST = bindparam("most", type_=BigInteger)
FORGET_UNITS = units.delete().where(
    _u.experiment == bindparam("which"),
    _u.unit.in_(select(_u.unit).where(_u.experiment == bindparam("which")).limit(_MOST)),
)
FORGET_LINKS = links.delete().where(
    _l.experiment == bindparam("which"),
    _l.user_id.in_(select(_l.user_id).where(_l.experiment == bindparam("which")).limit(_MOST)),
)
FORGET_VISITORS = visitors.delete().where(
    _v.unit.in_(select(_v.unit).where(_v.seen_day < bindparam("before_day")).limit(_MOST))
)
FORGET_WRITERS = writers.delete().where(writers.c.changed_ms < bindparam("before_ms"))

_TEXTS = ("cuts", "totals", "past", "crossed")
_unit_of = msgspec.json.Decoder(Unit)


class SumsStore:
    """Takes in what units did, and reads what it comes to."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def take(
        self,
        writer: str,
        seq: int,
        makes: Iterable[UnitKey],
        touches: Iterable[UnitKey],
        settle: Settle,
        now_ms: int,
    ) -> bool:
        """All of it in one transaction; False when this batch of this writer is in already."""
        async with self._sql.transaction() as tx:
            if not await tx.fetch(WRITES, {"writer": writer, "seq": seq, "changed_ms": now_ms}):
                return False
            made = [{"experiment": name, "unit": unit} for name, unit in sorted(set(makes))]
            await tx.run_many(MAKE, made)
            rows, moves = settle(await _locked(tx, touches))
            await tx.run_many(SET, [_row(key, rows[key]) for key in sorted(rows)])
            await tx.run_many(ADD, _cells(moves))
            await tx.run_many(BIN, _bins(moves))
        return True

    async def kept(self, experiment: str, phase: int) -> Sheet:
        """The sums of a phase: as many rows as there are cells, however many units."""
        asked = {"which": experiment, "phase": phase}
        counts: dict[tuple[str, str, str], int] = {}
        sums: dict[tuple[str, str, str, str], Sums] = {}
        for attribute, value, arm, metric, n, *parts in await self._sql.fetch(CELLS, asked):
            if metric:
                sums[attribute, value, arm, metric] = Sums(**dict(zip(SUMS, parts, strict=True)))
            else:
                counts[attribute, value, arm] = n
        histograms: dict[tuple[str, str, str, str], dict[int, int]] = {}
        for attribute, value, arm, metric, number, n in await self._sql.fetch(BINS, asked):
            histograms.setdefault((attribute, value, arm, metric), {})[number] = n
        return Sheet(counts, sums, histograms)

    async def values(self, experiment: str, phase: int) -> dict[str, set[str]]:
        """Which values of each attribute have a cell."""
        found: dict[str, set[str]] = {}
        for attribute, value in await self._sql.fetch(VALUES, {"which": experiment, "phase": phase}):
            found.setdefault(attribute, set()).add(value)
        return found

    async def heard_of(self, those: Mapping[str, int], today: int) -> dict[str, int]:
        """When each of these users was first heard of: now, where nobody knew them. `today` in days."""
        if not those:
            return {}
        rows = [{"unit": unit, "first_ms": those[unit], "seen_day": today} for unit in sorted(those)]
        await self._sql.run_many(HEARD, rows)
        return {
            str(unit): int(first_ms)
            for unit, first_ms in await self._sql.fetch(FIRST, {"those": list(those)})
        }

    async def link(self, experiment: str, pairs: Mapping[str, str]) -> None:
        """Keep as which unit each user was exposed."""
        rows = [{"experiment": experiment, "user_id": user, "unit": pairs[user]} for user in sorted(pairs)]
        await self._sql.run_many(LINK, rows)

    async def linked(self, experiment: str, users: Sequence[str]) -> dict[str, str]:
        """User -> unit, of those that are known."""
        found = await self._sql.fetch(LINKED, {"which": experiment, "those": users}) if users else []
        return {str(user): str(unit) for user, unit in found}

    async def exposed(self, experiment: str, those: Sequence[str]) -> list[str]:
        """Which of these are units that were exposed."""
        found = await self._sql.fetch(EXPOSED, {"which": experiment, "those": those}) if those else []
        return [str(row[0]) for row in found]

    async def forget_units(self, experiment: str, within: Transaction | None = None) -> int:
        """Drop the rows of its units; sums stay."""
        await self._forget(FORGET_LINKS, {"which": experiment}, within)
        return await self._forget(FORGET_UNITS, {"which": experiment}, within)

    async def forget_visitors(self, before_day: int) -> int:
        """Drop users of whom nothing was heard since."""
        return await self._forget(FORGET_VISITORS, {"before_day": before_day})

    async def _forget(
        self, statement: Any, asked: Mapping[str, object], within: Transaction | None = None
    ) -> int:
        """A part at a time: others write between two of them."""
        found = 0
        while gone := await (within or self._sql).run(statement, {**asked, "most": FORGOTTEN_AT_ONCE}):
            found += gone
        return found

    async def forget_writers(self, before_ms: int) -> None:
        """Drop the numbers of processes that are long gone."""
        await self._sql.run(FORGET_WRITERS, {"before_ms": before_ms})


async def _locked(tx: Transaction, touches: Iterable[UnitKey]) -> dict[UnitKey, Unit]:
    wanted: dict[str, list[str]] = {}
    for name, unit in sorted(set(touches)):
        wanted.setdefault(name, []).append(unit)
    found: dict[UnitKey, Unit] = {}
    for name, those in wanted.items():
        for row in await tx.fetch(LOCK, {"which": name, "those": those}):
            found[name, str(row[0])] = _unit(row)
    return found


def _unit(row: Row) -> Unit:
    _, phase, arm, state, first_ms, *texts = row
    told = {"phase": phase, "arm": arm, "state": state, "first_ms": first_ms}
    told.update({name: msgspec.Raw(text.encode()) for name, text in zip(_TEXTS, texts, strict=True)})
    return _unit_of.decode(encode_json(told))


def _row(key: UnitKey, unit: Unit) -> dict[str, object]:
    told: dict[str, object] = {"which": key[0], "that": key[1]}
    for name in Unit.__struct_fields__:
        value = getattr(unit, name)
        told[f"to_{name}"] = encode_json(value).decode() if name in _TEXTS else value
    return told


def _cells(moves: Mapping[str, Moves]) -> list[dict[str, object]]:
    return [
        dict(zip(_CELL_KEY, (name, *key), strict=True)) | msgspec.structs.asdict(sums) | {"n": int(sums.n)}
        for name in sorted(moves)
        for key, sums in sorted(moves[name].cells.items())
        if any(msgspec.structs.astuple(sums))
    ]


def _bins(moves: Mapping[str, Moves]) -> list[dict[str, object]]:
    return [
        dict(zip((*_CELL_KEY, "bin"), (name, *key), strict=True)) | {"n": n}
        for name in sorted(moves)
        for key, n in sorted(moves[name].bins.items())
        if n
    ]
