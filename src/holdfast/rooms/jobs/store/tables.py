"""The tables. One row of `jobs` is the truth of a job; the others are what it did, and who works.

A partial index follows each question that is asked often, so that what has ended costs nothing but disk.
Their conditions are literals: PostgreSQL does not match an index to a parameter.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    MetaData,
    Table,
    Text,
    and_,
    literal_column,
    text,
)
from sqlalchemy.sql.elements import ColumnElement

from holdfast.kernel.room import Migration

NEVER_MS = 1 << 62
"""`run_at_ms` of a job that waits for another job or for a batch."""
NOT_CELERY = -1
"""`published_ms` of a job that no broker is to be told of; 0: to be told, else when it was told last."""

_meta = MetaData()


def _whole(name: str, default: int = 0) -> "Column[int]":
    return Column(name, BigInteger, nullable=False, server_default=text(str(default)))


def _word(name: str) -> "Column[str]":
    return Column(name, Text, nullable=False, server_default=text("''"))


def _stamp(name: str) -> "Column[int]":
    return Column(name, BigInteger)


jobs = Table(
    "jobs",
    _meta,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("state", Text, nullable=False),
    _whole("version", 1),
    _word("tenant"),
    _word("owner"),
    Column("payload", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("run_at_ms", BigInteger, nullable=False),
    _stamp("deadline_ms"),
    _stamp("started_ms"),
    _stamp("ended_ms"),
    _whole("attempts"),
    Column("max_attempts", BigInteger, nullable=False),
    _whole("crashes"),
    _whole("fence"),
    _word("worker"),
    _stamp("cancel_ms"),
    _word("cancel_reason"),
    _word("ending"),
    _whole("undo"),
    Column("progress", Float, nullable=False, server_default=text("0")),
    _word("message"),
    _word("error_kind"),
    _word("error"),
    Column("result", Text),
    _stamp("result_until_ms"),
    Column("unique_key", Text),
    Column("repeat_key", Text),
    _word("digest"),
    _word("batch"),
    _word("after_job"),
    _word("after_batch"),
    _word("trace"),
    _whole("published_ms", NOT_CELERY),
    _whole("publishes"),
    sqlite_with_rowid=False,
)
"""`lane` is priority and tenant in one text; `ending` what the rollback under way ends in, `undo` whether
there is anything to undo; `after_job` and `after_batch` what the job waits for; `trace` the traceparent of
whoever enqueued it."""

_j = jobs.c


def state_is(*states: str) -> ColumnElement[bool]:
    """The job's state is one of these, said in literals."""
    if len(states) == 1:
        return _j.state == literal_column(f"'{states[0]}'")
    return _j.state.in_([literal_column(f"'{state}'") for state in states])


def unordered() -> ColumnElement[str]:
    """The job's id, not as the primary key has it.

    For that order SQLite would walk through all that has ended, where an index finds the few open ones.
    """
    return _j.id.concat(literal_column("''"))


AVAILABLE, RUNNING, FAILED = state_is("available"), state_is("running"), state_is("failed")
IN_TIME = state_is("scheduled", "retrying")
WAITING = state_is("scheduled", "retrying", "available")
_open = _j.ended_ms.is_(None)


def _index(name: str, *columns: Any, where: ColumnElement[bool], unique: bool = False) -> None:
    Index(f"jobs_{name}", *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_index("ready", _j.queue, _j.lane, _j.run_at_ms, _j.id, where=AVAILABLE)
_index("in_time", _j.run_at_ms, where=IN_TIME)
_index("running", _j.worker, where=RUNNING)
_index("dead", _j.id, where=FAILED)
_index("ended", _j.ended_ms, where=_j.ended_ms.is_not(None))
_index("cancelled", _j.id, where=state_is("cancelled"))
_index("results", _j.result_until_ms, where=_j.result.is_not(None))
_index("unique", _j.unique_key, where=and_(_j.unique_key.is_not(None), _open), unique=True)
_index("repeat", _j.repeat_key, where=_j.repeat_key.is_not(None), unique=True)
_index("in_batch", _j.batch, _j.ended_ms, where=_j.batch != literal_column("''"))
_index("after_job", _j.after_job, where=and_(_j.after_job != literal_column("''"), _open))
_index("after_batch", _j.after_batch, where=and_(_j.after_batch != literal_column("''"), _open))
_index("tenant", _j.tenant, _j.id, where=_j.tenant != literal_column("''"))
_index("owner", _j.owner, _j.id, where=_j.owner != literal_column("''"))
_untold, _told = _j.published_ms == literal_column("0"), _j.published_ms > literal_column("0")
_index("untold", _j.queue, _j.lane, _j.run_at_ms, _j.id, where=and_(AVAILABLE, _untold))
_index("told", _j.queue, _j.published_ms, _j.id, where=and_(AVAILABLE, _told))

attempts = Table(
    "job_attempts",
    _meta,
    Column("job_id", Text, primary_key=True),
    Column("attempt", BigInteger, primary_key=True, autoincrement=False),
    Column("worker", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error_kind", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    sqlite_with_rowid=False,
)
events = Table(
    "job_events",
    _meta,
    Column("job_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""Progress, finished steps and decisions; what else happened stands in the job's row and its attempts."""
steps = Table(
    "job_steps",
    _meta,
    Column("job_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("result", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
compensations = Table(
    "job_compensations",
    _meta,
    Column("job_id", Text, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error", Text, nullable=False),
    sqlite_with_rowid=False,
)
workers = Table(
    "job_workers",
    _meta,
    Column("id", Text, primary_key=True),
    Column("engine", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("queues", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("beat_ms", BigInteger, nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
    Column("facts", Text, nullable=False),
    _whole("stopping"),
)
"""`id` is drawn at every start and names the worker's lock; `facts`: memory, throughput, jobs at hand."""
queues = Table(
    "job_queues",
    _meta,
    Column("name", Text, primary_key=True),
    _whole("paused"),
    Column("concurrency", BigInteger),
    Column("rate", Text),
    Column("tat_ms", Float, nullable=False, server_default=text("0")),
)
"""What was decided at run time; where a column is NULL the settings hold. `tat_ms` is the rate's state."""
schedules = Table(
    "job_schedules",
    _meta,
    Column("name", Text, primary_key=True),
    Column("job", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("catch_up", Text, nullable=False),
    Column("next_ms", BigInteger, nullable=False),
    _whole("paused"),
    _stamp("last_ms"),
    _word("last_job"),
)
decisions = Table(
    "job_decisions",
    _meta,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
"""What was decided for all processes: the engine, for one."""


def _create(op: Any) -> None:
    _meta.create_all(op.get_bind())


_LATER = ("jobs_cancelled", "jobs_results", "jobs_in_batch")


def _index_more(op: Any) -> None:
    op.execute("DROP INDEX IF EXISTS jobs_batch")  # in_batch serves its questions
    for index in jobs.indexes:
        if index.name in _LATER:
            index.create(op.get_bind(), checkfirst=True)  # a new database has them already


MIGRATIONS = (
    Migration(1, "jobs, what they did, and who works on them", _create),
    Migration(2, "indexes for what is cancelled, past its time, or open in a batch", _index_more),
)
