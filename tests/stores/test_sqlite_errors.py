"""What the database's own errors become; the real ones are provoked in the driver's tests."""

import sqlite3

import pytest

from holdfast.kernel.errors import BadInput, Conflict, Unavailable
from holdfast.stores.sqlite_errors import as_problem


def of_sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, Unavailable),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Unavailable),
        (sqlite3.SQLITE_LOCKED, Unavailable),
        (sqlite3.SQLITE_FULL, Unavailable),
        (sqlite3.SQLITE_IOERR_FSYNC, Unavailable),
        (sqlite3.SQLITE_READONLY, Unavailable),
        (sqlite3.SQLITE_CANTOPEN, Unavailable),
        (sqlite3.SQLITE_CORRUPT, Unavailable),
        (sqlite3.SQLITE_NOTADB, Unavailable),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, Conflict),
        (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, Conflict),
        (sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, Conflict),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, BadInput),
        (sqlite3.SQLITE_CONSTRAINT_CHECK, BadInput),
        (sqlite3.SQLITE_TOOBIG, BadInput),
    ],
)
def test_each_code_has_its_problem(code: int, kind: type[Exception]) -> None:
    problem = as_problem(of_sqlite(code))
    assert type(problem) is kind
    assert problem is not None
    assert problem.hint
    assert (problem.retry_after_s is not None) == (kind is Unavailable)


def test_bugs_of_ours_stay_what_they_are() -> None:
    assert as_problem(of_sqlite(sqlite3.SQLITE_ERROR)) is None
    assert as_problem(sqlite3.ProgrammingError("wrong number of bindings")) is None
