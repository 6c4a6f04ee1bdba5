"""What happened to a job, in one snapshot, and decisions on jobs that have ended, with their events."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)

from holdfast.kernel.codec import decode_json
from holdfast.ports.parameters import given_text, given_whole
from holdfast.ports.storage import Ledger, Parameters, Step
from holdfast.rooms.jobs.rules import states
from holdfast.rooms.jobs.rules.states import AttemptFacts, EventFacts, JobFacts
from holdfast.rooms.jobs.store import tables
from holdfast.rooms.jobs.store.tables import FAILED, jobs, state_is

_j, _a, _e = jobs.c, tables.attempts.c, tables.events.c
_PART = 500
_REPLAYABLE = state_is("failed", "cancelled")


_newest = select(func.max(_e.seq)).where(_e.job_id == _j.id).scalar_subquery()
MARKS = select(_j.id, _j.state, _j.attempts, _newest).where(_j.id.in_(bindparam("ids", expanding=True)))
"""What changes whenever anything can be told of a job that could not be told before."""

_no_number: Any = cast(null(), BigInteger)
_no_text: Any = literal_column("''")
_needed = case(
    (bindparam("after") < _j.attempts * (1 << states.ATTEMPT_SHIFT) + states.END, bindparam("after")),
    else_=_j.attempts * (1 << states.ATTEMPT_SHIFT) + states.END,
)
FOLLOW = union_all(
    select(
        literal_column("0"),
        _j.attempts,
        _j.created_ms,
        _j.started_ms,
        _j.ended_ms,
        _j.state,
        _j.error_kind,
        _j.error,
        _j.cancel_reason,
    ).where(_j.id == bindparam("which")),
    select(
        literal_column("1"),
        _a.attempt,
        _a.started_ms,
        _a.ended_ms,
        _no_number,
        _a.outcome,
        _a.error_kind,
        _a.error,
        _no_text,
    ).where(_a.job_id == bindparam("which")),
    select(
        literal_column("2"),
        _e.seq,
        _e.at_ms,
        _no_number,
        _no_number,
        _e.kind,
        _e.data,
        _no_text,
        _no_text,
    ).where(_e.job_id == bindparam("which"), _j.id == bindparam("which"), _e.seq > _needed),
)
"""Row, attempts and events of a job: one statement is one snapshot."""

_next = func.coalesce(_newest, 0) + 1
_at = case((_next > given_whole("floor"), _next), else_=given_whole("floor"))
TELL_ENDED = (
    insert(tables.events)
    .from_select(
        ["job_id", "seq", "kind", "at_ms", "data"],
        select(_j.id, _at, given_text("kind"), given_whole("at_ms"), given_text("data")).where(
            _j.id == bindparam("which"), _j.attempts == bindparam("seen_attempts"), _REPLAYABLE
        ),
    )
    .returning(_e.seq)
)
"""An event of a job that has failed or was cancelled, behind all others."""
REPLAY = (
    update(jobs)
    .where(_j.id == bindparam("which"), _j.attempts == bindparam("seen_attempts"), _REPLAYABLE)
    .values(
        state=case((given_whole("at_ms") > given_whole("now_ms"), "scheduled"), else_="available"),
        run_at_ms=given_whole("at_ms"),
        ended_ms=None,
        result=None,
        result_until_ms=None,
        error_kind="",
        error="",
        ending="",
        cancel_ms=None,
        cancel_reason="",
        undo=0,
        crashes=0,
        progress=0,
        message="",
        deadline_ms=None,
        max_attempts=_j.attempts + given_whole("more"),
        payload=func.coalesce(given_text("edited"), _j.payload),
        version=func.coalesce(given_whole("edited_version"), _j.version),
        published_ms=case((_j.published_ms >= 0, 0), else_=_j.published_ms),
        publishes=0,
    )
    .returning(_j.queue)
)
_replayable = exists(
    select(literal(1)).where(
        _j.id == bindparam("which"), _j.attempts == bindparam("seen_attempts"), _REPLAYABLE
    )
)
_undone = exists(select(literal(1)).where(_j.id == bindparam("which"), _j.undo == literal_column("1")))
DROP_STEPS = delete(tables.steps).where(
    tables.steps.c.job_id == bindparam("which"), _replayable, or_(given_whole("anew") == 1, _undone)
)
"""Steps that were rolled back, or came of another payload, must be done again."""
DROP_COMPENSATIONS = delete(tables.compensations).where(
    tables.compensations.c.job_id == bindparam("which"), _replayable
)
"""They have been carried out, or what they undo is kept: the replay notes its own."""
DISCARD = (
    update(jobs)
    .where(_j.id == bindparam("which"), FAILED)
    .values(state="cancelled", cancel_reason=bindparam("why"), ended_ms=bindparam("now_ms"))
    .returning(_j.id)
)
DEAD_SINCE = select(
    func.count(), func.coalesce(func.sum(case((_j.ended_ms > bindparam("since_ms"), 1), else_=0)), 0)
).where(FAILED)


class Mark(msgspec.Struct, frozen=True, gc=False):
    """How far a job is; another mark means that there is something new to tell."""

    state: str
    attempts: int
    newest: int


class Followed(msgspec.Struct, frozen=True):
    """A job, its attempts and its stored events, as one snapshot has them."""

    job: JobFacts
    attempts: list[AttemptFacts]
    stored: list[EventFacts]

    def events(self, after: int = 0) -> list[EventFacts]:
        """What happened behind event `after`, which is the one that was asked for."""
        return states.events_of(self.job, self.attempts, self.stored, after)

    @property
    def is_over(self) -> bool:
        return self.job.state in states.ENDED


class History:
    """Reads what happened; writes decisions so that nothing seen ever changes its place."""

    def __init__(self, sql: Ledger) -> None:
        self._sql = sql

    async def marks(self, ids: Sequence[str]) -> dict[str, Mark]:
        """The marks of these jobs; one that is gone has none."""
        found: dict[str, Mark] = {}
        for at in range(0, len(ids), _PART):
            for row in await self._sql.fetch(MARKS, {"ids": list(ids[at : at + _PART])}):
                found[str(row[0])] = Mark(str(row[1]), int(row[2]), int(row[3] or 0))
        return found

    async def follow(self, job_id: str, after: int = 0) -> Followed | None:
        """Everything that is needed to tell what happened behind event `after`; None for no job."""
        rows = await self._sql.fetch(FOLLOW, {"which": job_id, "after": after})
        job = next((row for row in rows if row[0] == 0), None)
        if job is None:
            return None
        ended = {"error_kind": job[6], "error": job[7], "reason": job[8]}
        return Followed(
            JobFacts(
                created_ms=job[2],
                state=job[5],
                attempt=job[1],
                started_ms=job[3],
                ended_ms=job[4],
                ended=_filled(ended),
            ),
            [_attempt(row) for row in rows if row[0] == 1],
            [EventFacts(row[1], row[5], row[2], decode_json(row[6])) for row in rows if row[0] == 2],
        )

    async def replay(
        self,
        job_id: str,
        seen: Followed,
        *,
        more: int,
        now_ms: int,
        at_ms: int,
        edited: tuple[str, int] | None = None,
    ) -> str:
        """Let an ended job begin again, `more` attempts at most, not before `at_ms`; its queue.

        "" when it was not as `seen` any more. `edited` is another payload and its version. Steps are kept for
        it unless they were rolled back or the payload is another; what was to be undone is forgotten.
        Raises Conflict when another job has its unique key by now, or somebody replays it at the same
        moment.
        """
        told = {"replayed": {"edited": True} if edited else {}}
        row = {
            "which": job_id,
            "seen_attempts": seen.job.attempt,
            "at_ms": at_ms,
            "now_ms": now_ms,
            "more": more,
            "edited": edited[0] if edited else None,
            "edited_version": edited[1] if edited else None,
        }
        which: Parameters = {"which": job_id, "seen_attempts": seen.job.attempt}
        plan: list[Step] = [
            *_telling(job_id, seen, told, now_ms),
            (DROP_STEPS, [{**which, "anew": int(edited is not None)}]),
            (DROP_COMPENSATIONS, [which]),
            (REPLAY, [row]),
        ]
        rows = (await self._sql.together(plan))[-1]
        return str(rows[0][0]) if rows else ""

    async def discard(self, job_id: str, seen: Followed, why: str, now_ms: int) -> bool:
        """Take a dead letter from the pile; False when it is none any more."""
        told = {"cancelled": {"reason": why, "discarded": True}}
        row = {"which": job_id, "why": why, "now_ms": now_ms}
        found = await self._sql.together([*_telling(job_id, seen, told, now_ms), (DISCARD, [row])])
        return bool(found[-1])

    async def dead(self, since_ms: int) -> tuple[int, int]:
        """Dead letters in all, and those since that stamp."""
        rows = await self._sql.fetch(DEAD_SINCE, {"since_ms": since_ms})
        return int(rows[0][0]), int(rows[0][1])


def _telling(job_id: str, seen: Followed, told: Mapping[str, Mapping[str, Any]], now_ms: int) -> list[Step]:
    """Store the end that only followed from the row, for the row is about to change; then what is decided."""
    events = seen.events()
    stored = {event.seq for event in seen.stored}
    floor = states.end_of(seen.job.attempt) + 1
    rows: list[Parameters] = []
    last = events[-1]
    if last.seq >= floor and last.seq not in stored:
        rows.append(_row(job_id, seen, last.seq, last.kind, last.at_ms, last.data))
    for kind, data in told.items():
        rows.append(_row(job_id, seen, floor, kind, now_ms, data))
    return [(TELL_ENDED, rows)]


def _row(
    job_id: str, seen: Followed, floor: int, kind: str, at_ms: int, data: Mapping[str, Any]
) -> Parameters:
    return {
        "which": job_id,
        "seen_attempts": seen.job.attempt,
        "floor": floor,
        "kind": kind,
        "at_ms": at_ms,
        "data": msgspec.json.encode(data).decode(),
    }


def _attempt(row: Sequence[Any]) -> AttemptFacts:
    data = {"outcome": row[5], "error_kind": row[6], "error": row[7]}
    return AttemptFacts(row[1], row[2], row[3], row[5], _filled(data))


def _filled(data: Mapping[str, str]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value}
