"""The tables of releases: where each stands, what was counted, what was decided and why.

Counts never meet in one row: each process writes sums of its own, and whoever judges adds them up. So a
process that dies leaves what it counted, and one that writes twice has written once.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Float, Index, MetaData, Table, Text, text

from holdfast.kernel.room import Migration

_meta = MetaData()


def _key(name: str) -> "Column[str]":
    return Column(name, Text, primary_key=True)


def _number(name: str) -> "Column[int]":
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def _whole(name: str, default: int = 0) -> "Column[int]":
    return Column(name, BigInteger, nullable=False, server_default=text(str(default)))


def _word(name: str) -> "Column[str]":
    return Column(name, Text, nullable=False, server_default=text("''"))


releases = Table(
    "experiments_releases",
    _meta,
    _key("name"),
    Column("definition", Text, nullable=False),
    Column("status", Text, nullable=False),
    _whole("run"),
    _whole("period"),
    _whole("stage"),
    _whole("turn"),
    _whole("generation"),
    _whole("told"),
    Column("elapsed_s", Float, nullable=False, server_default=text("0")),
    _word("state"),
    _word("verdict"),
    _word("reason"),
    _word("incident"),
    _whole("changed_ms"),
)
"""`run` counts starts, `period` stretches in which counts belong together: it is the phase of the release's
flag and never returns. `turn` is what a write compares, `generation` counts decisions, `told` is the last
one whose report and announcement are out. `elapsed_s` is the time in this stage as turns have added it up."""

counts = Table(
    "experiments_release_counts",
    _meta,
    _key("release"),
    _number("period"),
    _key("process"),
    _key("arm"),
    _key("gate"),
    Column("n", BigInteger, nullable=False),
    Column("bad", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Sums since the period began, as one process has seen it."""

marks = Table(
    "experiments_release_marks",
    _meta,
    _key("release"),
    _number("period"),
    _key("gate"),
    _key("arm"),
    _key("kind"),
    _key("unit"),
    _number("burst"),
    Column("at_ms", BigInteger, nullable=False),
    Column("process", Text, nullable=False),
    Column("flush", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What counts once over all processes: a unit's burst of errors (`bad`), a unit that was exposed (`seen`).
`burst` is its minute. `process` and `flush` say who was first, and in which write: a write that is repeated
finds its own again."""

recent = Table(
    "experiments_release_recent",
    _meta,
    _key("release"),
    _number("period"),
    _key("process"),
    Column("beat", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""Whose requests failed in the last minute, as each process saw it. One whose `beat` stands still is dead."""

examples = Table(
    "experiments_release_examples",
    _meta,
    _key("release"),
    _number("run"),
    _key("arm"),
    _key("kind"),
    _key("request_id"),
    Column("trace_id", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("gate", Text, nullable=False),
    Column("seconds", Float),
    Column("stage", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
path = Table(
    "experiments_release_path",
    _meta,
    _key("release"),
    _number("run"),
    _number("ordinal"),
    Column("stage", BigInteger, nullable=False),
    Column("crossing", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""How the evidence went: `ordinal` counts turns, `crossing` is 1 where something was decided."""
audit = Table(
    "experiments_release_audit",
    _meta,
    _key("release"),
    _number("generation"),
    Column("run", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("did", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("stage", BigInteger, nullable=False),
    Column("share", BigInteger, nullable=False),
    _word("verdict"),
    sqlite_with_rowid=False,
)
"""`verdict` is what the room itself went by, as JSON: a report says it in its reader's language."""
runs = Table(
    "experiments_release_runs",
    _meta,
    _key("release"),
    _number("run"),
    Column("version", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    _word("ending"),
    _word("reason"),
    Column("report", Text),
    _word("definition"),
    sqlite_with_rowid=False,
)
"""Each start of a release, with the definition it was started with; `report` is what its page shows, written
when it has ended."""
incidents = Table(
    "experiments_release_incidents",
    _meta,
    _key("id"),
    Column("release", Text, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("stage", BigInteger, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    Column("reason", Text, nullable=False),
    _word("closed_by"),
)
actions = Table(
    "experiments_release_actions",
    _meta,
    _key("action"),
    Column("last_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Every action that was ever tracked: a gate on one that nobody tracks would be blind."""

Index("experiments_release_marks_write", marks.c.process, marks.c.flush)
_open = incidents.c.closed_ms.is_(None)
Index("experiments_release_incidents_open", incidents.c.release, sqlite_where=_open, postgresql_where=_open)
Index("experiments_release_incidents_run", incidents.c.release, incidents.c.run)


def _create(op: Any) -> None:
    _meta.create_all(op.get_bind())


MIGRATION = Migration(2, "releases, their counts, evidence and audit", _create)
