"""Opening SQLite so that it survives many threads and processes, and saying so when it cannot."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.kernel.errors import Misconfigured

POLL_S = 0.02
"""How long SQLite itself waits for a lock; longer waits are made of these, so that they can be given up."""


def connect(path: Path | None, *, synchronous: str, patience_s: float, read_only: bool) -> sqlite3.Connection:
    """A connection in autocommit mode with WAL, foreign keys and the durability asked for.

    None is a database in memory. Raises Misconfigured when the file cannot be had or has no WAL.
    """
    target = ":memory:" if path is None else str(path)
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        # Made in its own thread, interrupted and closed from others: SQLite is built serialized.
        connection = sqlite3.connect(
            target, timeout=POLL_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            if path is not None:
                _use_wal(connection, path, patience_s)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("PRAGMA temp_store = MEMORY")
            if read_only:
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise Misconfigured(
            f"the database {target} cannot be opened: {error}",
            hint="it must be an SQLite file, or a new one, in a folder the service may write to",
        ) from error
    return connection


def _use_wal(connection: sqlite3.Connection, path: Path, patience_s: float) -> None:
    # The pragma fails silently: only the mode it returns says what is in force. And while another
    # process makes the same switch it may report "locked" without waiting.
    for turn in range(turns(patience_s)):
        if turn:
            time.sleep(POLL_S)
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            continue
        if mode == "wal":
            return
        raise Misconfigured(
            f"SQLite keeps journal mode {mode!r} for {path} instead of WAL",
            hint="put the database on a local disk (not a network share), or use PostgreSQL",
        )
    raise Misconfigured(
        f"{path} stays locked by another process", hint="find out which has it open, e.g. a shell or a backup"
    )


def begin(connection: sqlite3.Connection, patience_s: float, given_up: Callable[[], bool]) -> None:
    """BEGIN IMMEDIATE, waiting for other processes; raises sqlite3.OperationalError when they outlast it.

    A deferred transaction that reads and then writes fails at once under contention, whatever
    the busy timeout (datasette issue 2358); an immediate one waits here, before it has read.
    """
    for turn in range(turns(patience_s), 0, -1):
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or turn == 1 or given_up():
                raise


def rollback(connection: sqlite3.Connection) -> None:
    """Undo, if SQLite has not done so by itself (it does after an interrupt or with a full disk)."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def turns(patience_s: float) -> int:
    """How often to ask a busy database before giving up."""
    return max(1, round(patience_s / POLL_S))
