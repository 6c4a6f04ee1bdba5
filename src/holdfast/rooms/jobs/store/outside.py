"""Enqueueing in a transaction that is not ours: the same insert, on whatever connection the caller has."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy.sql.elements import ClauseElement

from holdfast.kernel.errors import BadInput, Misconfigured
from holdfast.ports.storage import Row
from holdfast.ports.upsert import Upsert
from holdfast.rooms.jobs.store import statements as say
from holdfast.rooms.jobs.store.rows import NewJob
from holdfast.rooms.jobs.store.store import added

Holder = tuple[str, str, str | None]
_NO_TABLE = ("no such table: jobs", 'relation "jobs" does not exist')
"""What SQLite and PostgreSQL say, through whichever driver."""
NOTIFY = text("SELECT pg_notify('holdfast', :topic)")
"""Sent by PostgreSQL when the caller's transaction commits."""


async def add_within(tx: Any, job: NewJob) -> Holder | None:
    """Insert the job in the caller's transaction; the holder of its unique or repeat key where there is one.

    `tx` is a Transaction of our Sql, a `sqlite3.Connection`, an asyncpg connection, or a Connection or
    Session of SQLAlchemy, async or not. The caller commits. Raises BadInput for anything else, and
    Misconfigured for a transaction of another database than the one that has the jobs.
    """
    try:
        is_new = bool(await _ask(tx, say.ADD, added(job)))
    except Exception as error:
        if not any(words in str(error) for words in _NO_TABLE):
            raise
        raise Misconfigured(
            "the transaction is of a database that has no jobs",
            hint="set [jobs] url to the database of the transaction: jobs must be in it to commit with it",
        ) from error
    if is_new:
        return None
    keys = {"unique_key": job.unique_key, "repeat_key": job.repeat_key}
    rows = await _ask(tx, say.HOLDER, keys)
    if not rows:
        raise BadInput("the job was not added, and nothing has its key", hint="try the transaction again")
    return str(rows[0][0]), str(rows[0][1]), rows[0][2]


async def notify_within(tx: Any, topic: str) -> bool:
    """Have workers told when the caller's transaction commits, where its database can."""
    if _family(tx) == "asyncpg":
        await tx.fetch("SELECT pg_notify('holdfast', $1)", topic)
        return True
    if _family(tx) == "sqlalchemy" and _dialect(tx) == "postgresql":
        await _on_sqlalchemy(tx, NOTIFY, {"topic": topic})
        return True
    return False


def _family(tx: Any) -> str:
    for kind in type(tx).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in ("holdfast", "sqlite3", "asyncpg", "sqlalchemy", "sqlmodel"):
            return "sqlalchemy" if root == "sqlmodel" else root
    return ""


async def _ask(tx: Any, statement: ClauseElement, values: Mapping[str, Any]) -> list[Row]:
    family = _family(tx)
    if family == "holdfast":
        return list(await tx.fetch(statement, values))
    if family == "sqlite3":
        words, given = _compiled("sqlite", statement).bind(values)
        return list(tx.execute(words, given).fetchall())
    if family == "asyncpg":
        words, given = _compiled("postgresql", statement).bind(values)
        return [tuple(row) for row in await tx.fetch(words, *given)]
    if family == "sqlalchemy":
        form = statement.for_dialect(_dialect(tx)) if isinstance(statement, Upsert) else statement
        return await _on_sqlalchemy(tx, form, values)
    raise BadInput(
        f"a job cannot be enqueued within a {type(tx).__name__}",
        hint="give a connection of sqlite3, asyncpg or SQLAlchemy that has a transaction open",
    )


async def _on_sqlalchemy(tx: Any, form: ClauseElement, values: Mapping[str, Any]) -> list[Row]:
    found = tx.execute(form, dict(values))
    if hasattr(found, "__await__"):
        found = await found
    return [tuple(row) for row in found.fetchall()]


def _dialect(tx: Any) -> str:
    bound = tx.get_bind() if hasattr(tx, "get_bind") else tx
    return str(bound.dialect.name)


class _Compiled:
    """A statement's text for one driver, and its values in order."""

    def __init__(self, statement: ClauseElement, dialect: str) -> None:
        form = statement.for_dialect(dialect) if isinstance(statement, Upsert) else statement
        made = pysqlite.dialect(paramstyle="qmark") if dialect == "sqlite" else asyncpg_dialect()  # type: ignore[no-untyped-call] # SQLAlchemy's own
        keys = (
            [column.name for column in statement.table.columns if column.name in NewJob.__struct_fields__]
            if isinstance(statement, Upsert)
            else None
        )
        self._sql: Any = form.compile(dialect=made, column_keys=keys, for_executemany=True)

    def bind(self, values: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
        return str(self._sql), tuple(values[name] for name in self._sql.positiontup)


@cache
def _compiled(dialect: str, statement: ClauseElement) -> _Compiled:
    return _Compiled(statement, dialect)
