"""What the database's own errors become; the real ones are provoked in the driver's tests."""

import asyncpg
import pytest

from holdfast.kernel.errors import BadInput, Conflict, Misconfigured, Unavailable
from holdfast.stores.postgres_errors import as_problem, as_start_problem, is_lost


@pytest.mark.parametrize(
    ("error", "kind", "lost"),
    [
        (asyncpg.UniqueViolationError("x"), Conflict, False),
        (asyncpg.ForeignKeyViolationError("x"), Conflict, False),
        (asyncpg.NotNullViolationError("x"), BadInput, False),
        (asyncpg.NumericValueOutOfRangeError("x"), BadInput, False),
        (asyncpg.SerializationError("x"), Unavailable, False),
        (asyncpg.DeadlockDetectedError("x"), Unavailable, False),
        (asyncpg.LockNotAvailableError("x"), Unavailable, False),
        (asyncpg.QueryCanceledError("x"), Unavailable, False),
        (asyncpg.AdminShutdownError("x"), Unavailable, True),
        (asyncpg.CrashShutdownError("x"), Unavailable, True),
        (asyncpg.CannotConnectNowError("x"), Unavailable, True),
        (asyncpg.TooManyConnectionsError("x"), Unavailable, False),
        (asyncpg.DiskFullError("x"), Unavailable, False),
        (asyncpg.ReadOnlySQLTransactionError("x"), Unavailable, False),
        (asyncpg.ConnectionDoesNotExistError("x"), Unavailable, True),
        (asyncpg.InvalidPasswordError("x"), Unavailable, False),
        (asyncpg.InterfaceError("connection is closed"), Unavailable, True),
        (asyncpg.InternalClientError("cannot switch to state 12"), Unavailable, True),
        (ConnectionRefusedError("x"), Unavailable, True),
        (TimeoutError(), Unavailable, False),
    ],
)
def test_each_state_has_its_problem(error: Exception, kind: type[Exception], lost: bool) -> None:
    problem = as_problem(error)
    assert type(problem) is kind
    assert problem is not None
    assert problem.hint
    assert (problem.retry_after_s is not None) == (kind is Unavailable)
    assert is_lost(error) is lost


def test_at_the_start_a_closed_door_is_a_setting() -> None:
    for error in (asyncpg.InvalidPasswordError("x"), asyncpg.InvalidCatalogNameError("x")):
        assert type(as_start_problem(error)) is Misconfigured
    assert type(as_start_problem(ConnectionRefusedError())) is Unavailable


def test_bugs_of_ours_stay_what_they_are() -> None:
    assert as_problem(asyncpg.UndefinedTableError("no such table")) is None
    assert as_problem(asyncpg.InterfaceError("another operation is in progress")) is None
    assert as_problem(KeyError("x")) is None
