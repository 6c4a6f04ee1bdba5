"""Releases in the database: one method a step."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from holdfast.ports.storage import Row, Sql, Transaction
from holdfast.rooms.experiments.rules.releases import Release
from holdfast.rooms.experiments.store import release_statements as say
from holdfast.rooms.experiments.store.release_rows import (
    AuditLine,
    Beat,
    Example,
    Incident,
    Mark,
    Minute,
    Point,
    Run,
    Standing,
    Sum,
)

logger = logging.getLogger("holdfast.experiments")
S = TypeVar("S", bound=msgspec.Struct)

MOST_ACTIONS = 1_000
_PART = 500


class ReleaseStore:
    """Keeps releases, their counts and what was decided."""

    def __init__(self, sql: Sql) -> None:
        self.sql = sql

    # -- where they stand -------------------------------------------------------------------------

    async def all(self) -> list[Standing]:
        """Every release, by name."""
        return _readable(await self.sql.fetch(say.ALL))

    async def alive(self) -> list[Standing]:
        """What runs, and what has ended without its report being out."""
        return _readable(await self.sql.fetch(say.ALIVE))

    async def one(self, name: str, within: Transaction | None = None) -> Standing | None:
        """That release; None when there is none."""
        rows = await (within or self.sql).fetch(say.ONE, {"release": name})
        return _standing(rows[0]) if rows else None

    async def add(self, tx: Transaction, definition: Release, now_ms: int) -> bool:
        """A draft; False when there is one of this name."""
        row = {
            "name": definition.name,
            "definition": _json(definition),
            "status": "draft",
            "changed_ms": now_ms,
        }
        return bool(await tx.fetch(say.ADD, row))

    async def move(self, tx: Transaction, was: Standing, now: Standing) -> bool:
        """Write `now` if the release still stands where `was` was read; False when somebody was faster."""
        row = msgspec.structs.asdict(now) | {
            "release": was.name,
            "from_turn": was.turn,
            "definition": _json(now.definition),
        }
        for computed in ("name", "turn", "told"):
            del row[computed]
        return await tx.run(say.MOVE, row) == 1

    async def drop(self, was: Standing) -> bool:
        """Remove it if it still stands where `was` was read: of a draft there is nothing else."""
        return await self.sql.run(say.DROP, {"release": was.name, "from_turn": was.turn}) == 1

    async def told(self, name: str, generation: int) -> bool:
        """Report and announcement of this decision are out; False when somebody has said so before."""
        return await self.sql.run(say.TOLD, {"release": name, "up_to": generation}) == 1

    # -- counts -----------------------------------------------------------------------------------

    async def mark(self, tx: Transaction, process: str, flush: int, marks: Iterable[Mark]) -> None:
        """Mark them, unless somebody has before this write."""
        by = {"process": process, "flush": flush}
        # In order: two processes that mark the same would else wait for each other in a ring.
        rows = [msgspec.structs.asdict(mark) | by for mark in sorted(marks)]
        if rows:
            await tx.run_many(say.MARK, rows)

    async def marked(self, tx: Transaction, process: str, flush: int) -> list[Mark]:
        """What this write marked first; the same when it is repeated."""
        rows = await tx.fetch(say.MARKED, {"process": process, "flush": flush})
        return [_as(Mark, row) for row in rows]

    async def near(
        self, tx: Transaction, process: str, cell: tuple[str, int, str, str], marks: Sequence[Mark]
    ) -> list[tuple[str, int]]:
        """Unit and millisecond of bursts in this cell that others saw begin at most a minute before."""
        name, period, arm, gate = cell
        asked = {"release": name, "period": period, "gate": gate, "arm": arm, "process": process}
        asked |= {"from_burst": min(mark.burst for mark in marks) - 1}
        asked |= {"to_burst": max(mark.burst for mark in marks)}
        found: list[tuple[str, int]] = []
        for start in range(0, len(marks), _PART):
            units = [mark.unit for mark in marks[start : start + _PART]]
            found += [(str(u), int(at)) for u, at in await tx.fetch(say.NEAR, asked | {"units": units})]
        return found

    async def count(self, tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
        """Sums of one process as they are now."""
        if rows:
            await tx.run_many(say.COUNT, rows)

    async def sums(self, name: str, period: int) -> list[Sum]:
        """Over all processes, those that are gone too."""
        rows = await self.sql.fetch(say.SUMS, {"release": name, "period": period})
        return [Sum(arm, gate, int(n), int(bad)) for arm, gate, n, bad in rows]

    async def seen(
        self, tx: Transaction, name: str, period: int, gate: str, arm: str, units: Sequence[str]
    ) -> set[str]:
        """Which of these units were exposed."""
        found: set[str] = set()
        asked = {"release": name, "period": period, "gate": gate, "arm": arm}
        for start in range(0, len(units), _PART):
            rows = await tx.fetch(say.SEEN, asked | {"units": list(units[start : start + _PART])})
            found.update(str(row[0]) for row in rows)
        return found

    async def say_recent(
        self, tx: Transaction, name: str, period: int, process: str, beat: int, recent: Minute
    ) -> None:
        """What this process saw in the last minute."""
        row = {"release": name, "period": period, "process": process, "beat": beat, "body": _json(recent)}
        await tx.run(say.RECENT, row)

    async def recents(self, name: str, period: int) -> list[Beat]:
        """What each process said last; the dead have not been taken out."""
        rows = await self.sql.fetch(say.RECENTS, {"release": name, "period": period})
        return [Beat(str(who), int(n), msgspec.json.decode(body, type=Minute)) for who, n, body in rows]

    async def forget_bursts(self, name: str, before_ms: int) -> None:
        """Drop bursts so old that no other process will ask for them; they are in the sums."""
        await self.sql.run(say.DROP_BURSTS, {"release": name, "before_ms": before_ms})

    async def forget_counts(self, name: str, before_period: int) -> None:
        """Drop what belongs to periods that nobody judges any more."""
        asked = {"release": name, "before": before_period}
        await self.sql.run(say.DROP_MARKS, asked)
        await self.sql.run(say.DROP_COUNTS, asked)
        await self.sql.run(say.DROP_RECENT, asked)

    # -- what happened ----------------------------------------------------------------------------

    async def keep_examples(self, tx: Transaction, name: str, run: int, examples: Sequence[Example]) -> None:
        """Requests to look up; one that is kept already stays as it is."""
        rows = [msgspec.structs.asdict(each) | {"release": name, "run": run} for each in examples]
        if rows:
            await tx.run_many(say.EXAMPLE, rows)

    async def examples(self, name: str, run: int) -> list[Example]:
        """By arm and kind, the earliest first."""
        rows = await self.sql.fetch(say.EXAMPLES, {"release": name, "run": run})
        return [_as(Example, row) for row in rows]

    async def keep_point(self, tx: Transaction, name: str, run: int, point: Point) -> None:
        """The evidence at one turn."""
        await tx.run(say.POINT, msgspec.structs.asdict(point) | {"release": name, "run": run})

    async def thin(self, tx: Transaction, name: str, run: int, stage: int, stride: int) -> None:
        """Keep of a stage's path each `stride`th turn, and every crossing."""
        await tx.run(say.THIN, {"release": name, "run": run, "stage": stage, "stride": stride})

    async def points(self, name: str, run: int) -> list[Point]:
        """The path of the evidence, in its order."""
        rows = await self.sql.fetch(say.POINTS, {"release": name, "run": run})
        return [Point(int(o), int(s), int(c), int(at), str(data)) for o, s, c, at, data in rows]

    async def write_down(self, tx: Transaction, name: str, line: AuditLine) -> None:
        """One line of the audit; its generation is nobody else's."""
        await tx.run(say.AUDIT, msgspec.structs.asdict(line) | {"release": name})

    async def audit(self, name: str) -> list[AuditLine]:
        """The audit, in its order."""
        return [_as(AuditLine, row) for row in await self.sql.fetch(say.AUDITS, {"release": name})]

    async def begin_run(self, tx: Transaction, name: str, run: Run) -> None:
        """Note a start. Of the runs before it the kept reports stay, and what they were made from goes."""
        row = {"run": run.run, "version": run.version, "started_ms": run.started_ms}
        await tx.run(say.RUN, row | {"release": name, "definition": run.definition})
        for statement in (say.DROP_EXAMPLES, say.DROP_PATH):
            await tx.run(statement, {"release": name, "before": run.run})

    async def end_run(
        self, tx: Transaction, name: str, run: int, ending: str, reason: str, now_ms: int
    ) -> None:
        """Note how it ended."""
        row = {"release": name, "which": run, "ended_ms": now_ms, "ending": ending, "reason": reason}
        await tx.run(say.RUN_ENDS, row)

    async def report(self, name: str, run: int, page: str) -> None:
        """Keep the page of a run that has ended."""
        await self.sql.run(say.REPORT, {"release": name, "which": run, "report": page})

    async def runs(self, name: str) -> list[Run]:
        """Every start, in its order."""
        return [_as(Run, row) for row in await self.sql.fetch(say.RUNS, {"release": name})]

    async def rejected(self, name: str, version: str) -> str | None:
        """Why this version was rolled back the last time; None when it was not."""
        rows = await self.sql.fetch(say.REJECTED, {"release": name, "version": version})
        return str(rows[0][1]) if rows else None

    # -- incidents, actions -----------------------------------------------------------------------

    async def open_incident(self, tx: Transaction, name: str, incident: Incident) -> None:
        """Both arms are bad from now on."""
        row = msgspec.structs.asdict(incident) | {"release": name}
        await tx.run(say.OPEN_INCIDENT, row)

    async def close_incident(self, tx: Transaction, incident: str, by: str, now_ms: int) -> None:
        """They are not any more, or somebody has decided."""
        await tx.run(say.CLOSE_INCIDENT, {"which": incident, "closed_ms": now_ms, "closed_by": by})

    async def incidents(self, name: str) -> list[Incident]:
        """All of a release, in their order."""
        return [_as(Incident, row) for row in await self.sql.fetch(say.INCIDENTS, {"release": name})]

    async def held(self) -> dict[str, str]:
        """Release -> why it is held, of all incidents that are open."""
        return {str(name): str(reason) for name, reason in await self.sql.fetch(say.HELD)}

    async def tracked(self, actions: Mapping[str, int]) -> None:
        """Actions and when they were last seen, in milliseconds."""
        rows = [{"action": action, "last_ms": at_ms} for action, at_ms in sorted(actions.items())]
        if rows:
            await self.sql.run_many(say.TRACKED, rows)

    async def is_tracked(self, action: str) -> bool:
        """Whether anybody ever tracked it."""
        return bool(await self.sql.fetch(say.ACTION, {"action": action}))

    async def forget_actions(self, most: int) -> None:
        """Drop all but so many of those seen last."""
        for last_ms, action in await self.sql.fetch(say.FIRST_TOO_MANY, {"most": most}):
            await self.sql.run(say.DROP_ACTIONS, {"last_ms": last_ms, "action": action})

    async def actions(self) -> list[str]:
        """Actions that were tracked, the latest first, bounded in number."""
        return [str(row[0]) for row in await self.sql.fetch(say.ACTIONS, {"most": MOST_ACTIONS})]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _readable(rows: Iterable[Row]) -> list[Standing]:
    found = []
    for row in rows:
        try:
            found.append(_standing(row))
        except msgspec.MsgspecError as error:
            # One that a newer release wrote must not keep the others from being judged.
            logger.error("release %r cannot be read and is left out: %s", row[0], error)
    return found


def _standing(row: Row) -> Standing:
    values = dict(zip(Standing.__struct_fields__, row, strict=True))
    values["definition"] = msgspec.json.decode(values["definition"], type=Release)
    return Standing(**values)


def _as(kind: type[S], row: Row) -> S:
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))
