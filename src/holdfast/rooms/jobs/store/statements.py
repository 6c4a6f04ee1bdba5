"""The life of a job: added, claimed, followed, ended. Every write of a worker names its fence."""

from typing import Any

from sqlalchemy import (
    Float,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from holdfast.ports.parameters import given_text, given_whole
from holdfast.ports.upsert import insert_ignore
from holdfast.rooms.jobs.store import tables
from holdfast.rooms.jobs.store.rows import Claimed
from holdfast.rooms.jobs.store.tables import (
    AVAILABLE,
    IN_TIME,
    NEVER_MS,
    RUNNING,
    WAITING,
    jobs,
)

_j = jobs.c
_queues = tables.queues.c
_NOBODY: ColumnElement[str] = literal_column("''")


# -- adding ---------------------------------------------------------------------------------------

ADD = insert_ignore(jobs, returning=("id",))
"""A row when it was added; none when a job has its unique or its repeat key."""
HOLDER = select(_j.id, _j.digest, _j.repeat_key).where(
    or_(
        and_(_j.unique_key == bindparam("unique_key"), _j.ended_ms.is_(None)),
        _j.repeat_key == bindparam("repeat_key"),
    )
)
DROP_REPEAT_KEYS = (
    update(jobs)
    .where(_j.repeat_key.is_not(None), _j.created_ms < bindparam("before_ms"))
    .values(repeat_key=None)
)

# -- claiming -------------------------------------------------------------------------------------


def _lane_after(least: ColumnElement[str]) -> Any:
    return (
        select(func.min(_j.lane))
        .where(AVAILABLE, _j.queue == bindparam("queue"), _j.lane > least, _j.lane < bindparam("below"))
        .scalar_subquery()
    )


_lanes = select(_lane_after(given_text("after")).label("lane")).cte("lanes", recursive=True)
_lanes = _lanes.union_all(select(_lane_after(_lanes.c.lane)).where(_lanes.c.lane.is_not(None)))
LANES = select(_lanes.c.lane).where(_lanes.c.lane.is_not(None)).limit(bindparam("most"))
"""Lanes of a queue that have work, in order, between two names: each found by a jump in the index."""

_paused = exists(
    select(literal(1)).where(_queues.name == bindparam("queue"), _queues.paused == literal_column("1"))
)
_picked = (
    select(_j.id)
    .where(AVAILABLE, _j.queue == bindparam("queue"), _j.lane == bindparam("lane"), ~_paused)
    .order_by(_j.run_at_ms, _j.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("picked")
)
TAKEN = tuple(_j[name] for name in Claimed.__struct_fields__)
_claims = {
    "state": "running",
    "worker": bindparam("by"),
    "started_ms": bindparam("now_ms"),
    "attempts": _j.attempts + 1,
    "fence": _j.fence + 1,
    "progress": 0,
    "message": "",
}
CLAIM = update(jobs).where(_j.id.in_(select(_picked.c.id))).values(**_claims).returning(*TAKEN)
"""Up to `most` jobs of one lane; the attempt counts from here, so one that kills its worker is counted."""
_named = (
    select(_j.id)
    .where(AVAILABLE, _j.id == bindparam("which"))
    .where(~exists(select(literal(1)).where(_queues.name == _j.queue, _queues.paused == literal_column("1"))))
    .with_for_update(skip_locked=True)
    .cte("named")
)
CLAIM_ONE = update(jobs).where(_j.id.in_(select(_named.c.id))).values(**_claims).returning(*TAKEN)
PROMOTE = (
    update(jobs)
    .where(
        _j.id.in_(
            select(_j.id)
            .where(IN_TIME, _j.run_at_ms <= bindparam("now_ms"))
            .order_by(_j.run_at_ms)
            .limit(bindparam("most"))
            .with_for_update(skip_locked=True)
        )
    )
    .values(
        state="available",
        published_ms=case((_j.published_ms >= 0, 0), else_=_j.published_ms),
        publishes=0,
    )
    .returning(_j.queue)
)
NEXT_DUE = select(func.min(_j.run_at_ms)).where(IN_TIME, _j.run_at_ms < literal_column(str(NEVER_MS)))

# -- running --------------------------------------------------------------------------------------

_mine = and_(_j.id == bindparam("which"), _j.fence == bindparam("under"), RUNNING)
SHOW_PROGRESS = (
    update(jobs)
    .where(_mine)
    .values(
        progress=func.coalesce(cast(bindparam("share"), Float), _j.progress),
        message=case((cast(bindparam("share"), Float).is_(None), _j.message), else_=given_text("said")),
    )
    .returning(_j.id)
)


def _next_seq() -> Any:
    newest = func.coalesce(
        select(func.max(tables.events.c.seq)).where(tables.events.c.job_id == _j.id).scalar_subquery(), 0
    )
    return case((newest >= given_whole("floor"), newest + 1), else_=given_whole("floor"))


def _telling(where: ColumnElement[bool]) -> Any:
    return (
        insert(tables.events)
        .from_select(
            ["job_id", "seq", "kind", "at_ms", "data"],
            select(
                _j.id,
                _next_seq(),
                given_text("kind"),
                given_whole("at_ms"),
                given_text("data"),
            ).where(where),
        )
        .returning(tables.events.c.seq)
    )


TELL_RUNNING = _telling(_mine)
"""An event of the attempt at hand, after all that there are."""
TELL = _telling(
    and_(
        _j.id == bindparam("which"),
        _j.attempts == bindparam("seen_attempts"),
        case((RUNNING, 1), else_=0) == bindparam("seen_running"),
    )
)
"""A decision, unless the job has gone on since it was looked at: it would stand before what was seen."""

ADD_STEP = insert(tables.steps).from_select(
    ["job_id", "name", "result", "at_ms"],
    select(_j.id, given_text("named"), given_text("gave"), given_whole("at_ms")).where(_mine),
)
STEPS = select(tables.steps.c.name, tables.steps.c.result).where(tables.steps.c.job_id == bindparam("job_id"))
_c = tables.compensations.c
_next_ordinal = func.coalesce(select(func.max(_c.ordinal)).where(_c.job_id == _j.id).scalar_subquery() + 1, 0)
ADD_COMPENSATION = insert(tables.compensations).from_select(
    ["job_id", "ordinal", "name", "payload", "outcome", "error"],
    select(
        _j.id, _next_ordinal, given_text("undone_by"), given_text("given"), literal(""), literal("")
    ).where(_mine),
)
HAS_UNDO = update(jobs).where(_mine).values(undo=1).returning(_j.id)
COMPENSATIONS = (
    select(_c.ordinal, _c.name, _c.payload, _c.outcome, _c.error)
    .where(_c.job_id == bindparam("job_id"))
    .order_by(_c.ordinal.desc())
)
COMPENSATED = (
    update(tables.compensations)
    .where(
        _c.job_id == bindparam("which"),
        _c.ordinal == bindparam("number"),
        exists(select(literal(1)).where(_mine)),
    )
    .values(outcome=bindparam("became"), error=bindparam("said"))
)

# -- ending ---------------------------------------------------------------------------------------

ADD_ATTEMPT = insert(tables.attempts).from_select(
    [column.name for column in tables.attempts.columns],
    select(
        _j.id,
        given_whole("attempt"),
        given_text("by"),
        given_whole("begun_ms"),
        given_whole("now_ms"),
        given_text("outcome"),
        given_text("kind"),
        given_text("said"),
        given_text("trace_back"),
    ).where(
        _mine,
        ~exists(
            select(literal(1)).where(
                tables.attempts.c.job_id == bindparam("which"),
                tables.attempts.c.attempt == given_whole("attempt"),
            )
        ),
    ),
)
"""Once: two ends of one attempt in one transaction must not stop all the others in it."""
_again = and_(_j.cancel_ms.is_not(None), given_text("becomes") == literal_column("'retrying'"))
"""It is to be tried again, and meanwhile somebody asked it to stop: the next claim ends it, at once."""
END = (
    update(jobs)
    .where(_mine)
    .values(
        state=case((_again, literal_column("'available'")), else_=given_text("becomes")),
        worker="",
        run_at_ms=case((_again, given_whole("now_ms")), else_=given_whole("next_ms")),
        ended_ms=case((given_whole("over") == 1, given_whole("now_ms")), else_=None),
        max_attempts=_j.max_attempts + given_whole("uncounted"),
        crashes=_j.crashes + given_whole("crashed"),
        error_kind=bindparam("kind"),
        error=bindparam("said"),
        ending=bindparam("ending"),
        cancel_ms=case((given_whole("over") == 1, None), else_=_j.cancel_ms),
        progress=case((given_text("becomes") == literal_column("'succeeded'"), 1), else_=_j.progress),
        result=bindparam("gave"),
        result_until_ms=bindparam("until_ms"),
        published_ms=case((_j.published_ms >= 0, 0), else_=_j.published_ms),
        publishes=0,
    )
    .returning(_j.id)
)
"""What became of a running job; a row when it still was this worker's."""

_parent = jobs.alias("parent")
_waits = and_(_j.run_at_ms == literal_column(str(NEVER_MS)), _j.ended_ms.is_(None))


def _after(*states: str) -> ColumnElement[bool]:
    return exists(
        select(literal(1)).where(
            _parent.c.id == _j.after_job,
            _parent.c.state.in_([literal_column(f"'{state}'") for state in states]),
        )
    )


RELEASE_NEXT = (
    update(jobs)
    .where(_waits, _j.after_job != _NOBODY, _after("succeeded"))
    .values(state="available", run_at_ms=bindparam("now_ms"))
    .returning(_j.queue)
)
FAIL_NEXT = (
    update(jobs)
    .where(_waits, _j.after_job != _NOBODY, _after("failed", "cancelled"))
    .values(
        state="failed",
        ended_ms=bindparam("now_ms"),
        run_at_ms=bindparam("now_ms"),
        error_kind="dependency",
        error="the job before it did not succeed",
    )
    .returning(_j.id)
)
_member = jobs.alias("member")
RELEASE_BATCHES = (
    update(jobs)
    .where(
        _waits,
        _j.after_batch != _NOBODY,
        ~exists(
            select(literal(1)).where(
                _member.c.batch == _j.after_batch,
                _member.c.batch != _NOBODY,
                _member.c.ended_ms.is_(None),
            )
        ),
    )
    .values(state="available", run_at_ms=bindparam("now_ms"))
    .returning(_j.queue)
)
"""What waits for a batch of which nothing is open any more."""
BATCH = (
    select(_j.state, func.count())
    .where(_j.batch == bindparam("batch"), _j.batch != _NOBODY)
    .group_by(_j.state)
)

# -- cancelling and trying again ------------------------------------------------------------------

CANCEL_WAITING = (
    update(jobs)
    .where(_j.id == bindparam("which"), WAITING, _j.undo == 0)
    .values(
        state="cancelled",
        ended_ms=bindparam("now_ms"),
        cancel_ms=bindparam("now_ms"),
        cancel_reason=bindparam("why"),
        error_kind="cancelled",
    )
    .returning(_j.id)
)
UNDO_WAITING = (
    update(jobs)
    .where(_j.id == bindparam("which"), WAITING, _j.undo == 1)
    .values(
        state="available",
        run_at_ms=bindparam("now_ms"),
        ending="cancelled",
        cancel_reason=bindparam("why"),
    )
    .returning(_j.queue)
)
"""It has something to roll back: a worker has to take it for that."""
CANCEL_RUNNING = (
    update(jobs)
    .where(_j.id == bindparam("which"), RUNNING)
    .values(
        cancel_ms=func.coalesce(_j.cancel_ms, bindparam("now_ms")),
        cancel_reason=bindparam("why"),
    )
    .returning(_j.worker)
)
RETRY_NOW = (
    update(jobs)
    .where(_j.id == bindparam("which"), IN_TIME, _j.run_at_ms < literal_column(str(NEVER_MS)))
    .values(state="available", run_at_ms=bindparam("now_ms"))
    .returning(_j.queue)
)
