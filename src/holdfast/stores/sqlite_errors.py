"""What SQLite's errors mean to a caller.

Codes: https://www.sqlite.org/rescode.html
"""

import sqlite3

from holdfast.kernel.errors import BadInput, Conflict, Problem, unavailable

_BUSY, _LOCKED, _READONLY, _INTERRUPT, _IOERR, _CORRUPT = 5, 6, 8, 9, 10, 11
_FULL, _CANTOPEN, _TOOBIG, _CONSTRAINT, _NOTADB = 13, 14, 18, 19, 26
_CLASHES = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY,
}
_OUTAGES = {
    _BUSY: (
        "another process is writing to the database",
        "retry; if it lasts, look for a long transaction",
        1.0,
    ),
    _LOCKED: ("the database is locked", "retry; if it lasts, look for a long transaction", 1.0),
    _INTERRUPT: ("the statement was interrupted", "retry", 1.0),
    _FULL: ("the disk is full", "free space where the database file stands", 30.0),
    _IOERR: ("the disk failed to read or write", "look at the disk and its free space", 30.0),
    _READONLY: ("the database cannot be written", "give the service write access to file and folder", 30.0),
    _CANTOPEN: ("the database file cannot be opened", "look at the path, its rights and open files", 30.0),
    _CORRUPT: ("the database file is damaged", "restore it from a backup", 60.0),
    _NOTADB: ("the file is not an SQLite database", "mend the path, or restore a backup", 60.0),
}


def as_problem(error: sqlite3.Error) -> Problem | None:
    """The Problem for an error of the database; None for one of the statement (a bug of ours)."""
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return None
    code = extended & 0xFF
    if code == _CONSTRAINT:
        if extended in _CLASHES:
            return Conflict(str(error), hint="it exists already, or something it refers to does not")
        return BadInput(str(error), hint="a value is missing or breaks a rule of its table")
    if code == _TOOBIG:
        return BadInput(str(error), hint="send less: one value may have 1 GB at most")
    outage = _OUTAGES.get(code)
    if outage is None:
        return None
    detail, hint, retry_after_s = outage
    return unavailable(detail, retry_after_s, hint)
