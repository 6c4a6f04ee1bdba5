"""What PostgreSQL's and asyncpg's errors mean to a caller. SQLSTATE: PostgreSQL manual, appendix A."""

import asyncpg

from holdfast.kernel.errors import BadInput, Conflict, Misconfigured, Problem, unavailable

_CLASHES = {"23505", "23503"}
_AGAIN = {"40001", "40P01"}
_LOCKED = "55P03"
_FULL = {"53100", "58030"}
_CANCELLED = "57014"
_READ_ONLY = "25006"
_NO_ENTRY = ("28", "3D")
"""Classes: invalid authorization, no such database."""
_OUTAGE = ("08", "53", "57", "58")
"""Classes: connection, insufficient resources, operator intervention, system error."""


def as_problem(error: BaseException) -> Problem | None:
    """The Problem for an error of the database or the way to it; None for a bug of ours."""
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error)
    if isinstance(error, asyncpg.DataError | asyncpg.exceptions.DataError):
        return BadInput(str(error), hint="a value does not fit its column")
    if isinstance(error, TimeoutError):
        return unavailable(
            "the database did not answer in time",
            1.0,
            hint="look for slow statements, or raise [database] deadline_s",
        )
    if is_lost(error):
        return unavailable(
            "the database cannot be reached", 2.0, hint="see whether PostgreSQL runs; it is retried"
        )
    return None


def is_lost(error: BaseException | None) -> bool:
    """Whether the connection has broken: such errors come from the socket and from asyncpg's own state."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "")[:2] in ("08", "57") and error.sqlstate != _CANCELLED
    if isinstance(error, asyncpg.InternalClientError):
        return True
    if isinstance(error, asyncpg.InterfaceError):
        return "clos" in str(error) and not isinstance(error, asyncpg.exceptions.DataError)
    return isinstance(error, OSError) and not isinstance(error, TimeoutError)


def _of_server(error: asyncpg.PostgresError) -> Problem | None:
    state = str(error.sqlstate or "")
    if state in _CLASHES:
        return Conflict(_message(error), hint="it exists already, or something it refers to does not")
    if state[:2] in ("22", "23"):
        return BadInput(
            _message(error), hint="a value is missing, does not fit or breaks a rule of its table"
        )
    if state in _AGAIN:
        return unavailable("two transactions were in each other's way", 1.0, hint="run the transaction again")
    if state == _LOCKED:
        return unavailable("another transaction holds a lock for too long", 1.0, hint="retry")
    if state == _CANCELLED:
        return unavailable("the statement was cancelled", 1.0, hint="look for slow statements")
    if state in _FULL:
        return unavailable("the database's disk is full or failing", 30.0, hint="free space at the server")
    if state[:2] in _NO_ENTRY:
        return unavailable(f"PostgreSQL does not let us in: {error}", 30.0, hint="mend the URL or the rights")
    if state[:2] in _OUTAGE or state == _READ_ONLY:
        return unavailable("the database is restarting or overloaded", 2.0, hint="it is retried")
    return None


def as_start_problem(error: BaseException) -> Problem | None:
    """As `as_problem`, for the start: what no retry will mend is Misconfigured."""
    state = str(getattr(error, "sqlstate", None) or "")
    if state[:2] in _NO_ENTRY:
        return Misconfigured(
            f"PostgreSQL does not let us in: {error}", hint="mend user, password or database in the URL"
        )
    return as_problem(error)


def _message(error: asyncpg.PostgresError) -> str:
    """Without the server's DETAIL line, which repeats values of the row."""
    return str(error.args[0]) if error.args else type(error).__name__
