"""A SQLAlchemy connection over a raw SQLite one, for the length of one migration run."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from holdfast.kernel.errors import Misconfigured
from holdfast.stores.sqlite_open import begin, rollback

T = TypeVar("T")


def with_schema(
    connection: sqlite3.Connection,
    *,
    work: Callable[[Connection], T],
    write: bool,
    patience_s: float,
    given_up: Callable[[], bool],
) -> T:
    """`work` in one transaction: committed when it returns, undone when it raises.

    Foreign keys rest meanwhile, or alembic's table rebuilds would cascade into other tables; they
    are checked as a whole before the commit.
    """
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    borrowed = engine.connect()  # before BEGIN: SQLAlchemy looks around and rolls back
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        if write:
            begin(connection, patience_s, given_up)
        else:
            connection.execute("BEGIN")
        result = work(borrowed)
        if write and (broken := connection.execute("PRAGMA foreign_key_check").fetchone()) is not None:
            raise Misconfigured(
                f"a migration leaves table {broken[0]} referring to rows of {broken[2]} that are not there",
                hint="mend the migration; nothing was changed",
            )
        connection.execute("COMMIT")
    finally:
        rollback(connection)
        borrowed.close()  # hands the raw connection back: it is the lane's, and stays open
        connection.execute("PRAGMA foreign_keys = ON")
    return result
