"""Every statement of releases."""

from typing import Any

from sqlalchemy import BigInteger, Float, Text, bindparam, cast, delete, func, insert, select, update

from holdfast.ports.upsert import incoming, insert_ignore, upsert
from holdfast.rooms.experiments.store.release_tables import (
    actions,
    audit,
    counts,
    examples,
    incidents,
    marks,
    path,
    recent,
    releases,
    runs,
)

_r, _c, _m = releases.c, counts.c, marks.c


def _text(name: str) -> Any:
    return cast(bindparam(name, type_=Text), Text)


def _whole(name: str) -> Any:
    return cast(bindparam(name, type_=BigInteger), BigInteger)


# -- a release's row ------------------------------------------------------------------------------

ROW = tuple(_r)
ADD = insert_ignore(releases, key=("name",), returning=("name",))
ONE = select(*ROW).where(_r.name == bindparam("release"))
ALL = select(*ROW).order_by(_r.name)
ALIVE = select(*ROW).where(_r.status.in_(("running", "paused", "held")) | (_r.told < _r.generation))
"""What runs, and what has ended without everybody having been told."""
MOVE = (
    update(releases)
    .where(_r.name == bindparam("release"), _r.turn == bindparam("from_turn"))
    .values(
        definition=_text("definition"),
        status=_text("status"),
        run=_whole("run"),
        period=_whole("period"),
        stage=_whole("stage"),
        turn=_r.turn + 1,
        generation=_whole("generation"),
        elapsed_s=cast(bindparam("elapsed_s", type_=Float), Float),
        state=_text("state"),
        verdict=_text("verdict"),
        reason=_text("reason"),
        incident=_text("incident"),
        changed_ms=_whole("changed_ms"),
    )
)
"""The compare-and-set: of all who read one turn, one writes."""
DROP = delete(releases).where(_r.name == bindparam("release"), _r.turn == bindparam("from_turn"))
TOLD = (
    update(releases)
    .where(_r.name == bindparam("release"), _r.told < bindparam("up_to"))
    .values(told=bindparam("up_to"))
)

# -- counts ---------------------------------------------------------------------------------------

_MARK = ("release", "period", "gate", "arm", "kind", "unit", "burst")
MARK = insert_ignore(marks, key=_MARK)
MARKED = select(*(_m[name] for name in _MARK), _m.at_ms).where(
    _m.process == bindparam("process"), _m.flush == bindparam("flush")
)
"""What this very write marked before anybody else: so a write whose end nobody saw may be repeated."""
NEAR = select(_m.unit, _m.at_ms).where(
    _m.release == bindparam("release"),
    _m.period == bindparam("period"),
    _m.gate == bindparam("gate"),
    _m.arm == bindparam("arm"),
    _m.kind == "bad",
    _m.unit.in_(bindparam("units", expanding=True)),
    _m.burst.between(bindparam("from_burst"), bindparam("to_burst")),
    _m.process != bindparam("process"),
)
"""Bursts that other processes saw begin about then."""
COUNT = upsert(
    counts,
    ("release", "period", "process", "arm", "gate"),
    ("n", "bad"),
    where=_c.n <= incoming(counts).n,
)
SUMS = (
    select(_c.arm, _c.gate, func.sum(_c.n), func.sum(_c.bad))
    .where(_c.release == bindparam("release"), _c.period == bindparam("period"))
    .group_by(_c.arm, _c.gate)
)
SEEN = select(_m.unit).where(
    _m.release == bindparam("release"),
    _m.period == bindparam("period"),
    _m.gate == bindparam("gate"),
    _m.arm == bindparam("arm"),
    _m.kind == "seen",
    _m.unit.in_(bindparam("units", expanding=True)),
)
DROP_BURSTS = delete(marks).where(
    _m.release == bindparam("release"), _m.kind == "bad", _m.at_ms < bindparam("before_ms")
)
DROP_MARKS = delete(marks).where(_m.release == bindparam("release"), _m.period < bindparam("before"))
DROP_COUNTS = delete(counts).where(_c.release == bindparam("release"), _c.period < bindparam("before"))

RECENT = upsert(recent, ("release", "period", "process"), ("beat", "body"))
RECENTS = select(recent.c.process, recent.c.beat, recent.c.body).where(
    recent.c.release == bindparam("release"), recent.c.period == bindparam("period")
)
DROP_RECENT = delete(recent).where(
    recent.c.release == bindparam("release"), recent.c.period < bindparam("before")
)

# -- what happened --------------------------------------------------------------------------------

EXAMPLE = insert_ignore(examples, key=("release", "run", "arm", "kind", "request_id"))
EXAMPLES = (
    select(
        examples.c.arm,
        examples.c.kind,
        examples.c.request_id,
        examples.c.trace_id,
        examples.c.error,
        examples.c.route,
        examples.c.gate,
        examples.c.seconds,
        examples.c.stage,
        examples.c.at_ms,
    )
    .where(examples.c.release == bindparam("release"), examples.c.run == bindparam("run"))
    .order_by(examples.c.arm, examples.c.kind, examples.c.at_ms, examples.c.request_id)
)
POINT = insert_ignore(path, key=("release", "run", "ordinal"))
POINTS = (
    select(path.c.ordinal, path.c.stage, path.c.crossing, path.c.at_ms, path.c.data)
    .where(path.c.release == bindparam("release"), path.c.run == bindparam("run"))
    .order_by(path.c.ordinal)
)
THIN = delete(path).where(
    path.c.release == bindparam("release"),
    path.c.run == bindparam("run"),
    path.c.stage == bindparam("stage"),
    path.c.crossing == 0,
    path.c.ordinal % bindparam("stride", type_=BigInteger) != 0,
)
AUDIT = insert(audit)
AUDITS = (
    select(
        audit.c.generation,
        audit.c.run,
        audit.c.at_ms,
        audit.c.actor,
        audit.c.did,
        audit.c.reason,
        audit.c.status,
        audit.c.stage,
        audit.c.share,
        audit.c.verdict,
    )
    .where(audit.c.release == bindparam("release"))
    .order_by(audit.c.generation)
)
DROP_EXAMPLES = delete(examples).where(
    examples.c.release == bindparam("release"), examples.c.run < bindparam("before")
)
DROP_PATH = delete(path).where(path.c.release == bindparam("release"), path.c.run < bindparam("before"))
RUN = insert(runs)
RUN_ENDS = (
    update(runs)
    .where(runs.c.release == bindparam("release"), runs.c.run == bindparam("which"))
    .values(
        ended_ms=_whole("ended_ms"),
        ending=_text("ending"),
        reason=_text("reason"),
    )
)
REPORT = (
    update(runs)
    .where(runs.c.release == bindparam("release"), runs.c.run == bindparam("which"))
    .values(report=_text("report"))
)
RUNS = (
    select(
        runs.c.run,
        runs.c.version,
        runs.c.started_ms,
        runs.c.ended_ms,
        runs.c.ending,
        runs.c.reason,
        runs.c.report,
        runs.c.definition,
    )
    .where(runs.c.release == bindparam("release"))
    .order_by(runs.c.run)
)
REJECTED = (
    select(runs.c.run, runs.c.reason)
    .where(
        runs.c.release == bindparam("release"),
        runs.c.version == bindparam("version"),
        runs.c.ending == "rolled_back",
    )
    .order_by(runs.c.run.desc())
    .limit(1)
)

# -- incidents, actions ---------------------------------------------------------------------------

OPEN_INCIDENT = insert_ignore(incidents, key=("id",))
CLOSE_INCIDENT = (
    update(incidents)
    .where(incidents.c.id == bindparam("which"), incidents.c.closed_ms.is_(None))
    .values(closed_ms=_whole("closed_ms"), closed_by=_text("closed_by"))
)
INCIDENTS = (
    select(
        incidents.c.id,
        incidents.c.run,
        incidents.c.stage,
        incidents.c.opened_ms,
        incidents.c.closed_ms,
        incidents.c.reason,
        incidents.c.closed_by,
    )
    .where(incidents.c.release == bindparam("release"))
    .order_by(incidents.c.opened_ms, incidents.c.id)
)
HELD = select(incidents.c.release, incidents.c.reason).where(incidents.c.closed_ms.is_(None))
TRACKED = upsert(actions, ("action",), ("last_ms",), where=actions.c.last_ms < incoming(actions).last_ms)
ACTIONS = select(actions.c.action).order_by(actions.c.last_ms.desc()).limit(bindparam("most"))
FIRST_TOO_MANY = (
    select(actions.c.last_ms, actions.c.action)
    .order_by(actions.c.last_ms.desc(), actions.c.action)
    .limit(1)
    .offset(bindparam("most"))
)
DROP_ACTIONS = delete(actions).where(
    (actions.c.last_ms < bindparam("last_ms"))
    | ((actions.c.last_ms == bindparam("last_ms")) & (actions.c.action >= bindparam("action")))
)
ACTION = select(actions.c.last_ms).where(actions.c.action == bindparam("action"))
