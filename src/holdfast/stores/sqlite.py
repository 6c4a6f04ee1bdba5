"""SQLite behind the Sql port: one writer thread, several reader threads, a line in front of each."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy.sql.elements import ClauseElement

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import Misconfigured, Unavailable
from holdfast.ports.storage import Parameters, Row, Step, Transaction
from holdfast.stores import sqlite_open
from holdfast.stores.compile import Bound, Statements, Values, bind_rows, bind_steps
from holdfast.stores.config import Config
from holdfast.stores.gate import Gate
from holdfast.stores.lane import Lane
from holdfast.stores.sqlite_errors import as_problem
from holdfast.stores.sqlite_schema import with_schema

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_INHERITED: list[object] = []
"""Lanes that a fork copied without their threads; closing their connections could harm the parent's."""


class SqliteSql:
    """The Sql port over a file, or over memory (`path=None`, one connection) for tests.

    Reads run beside the writer; writes are serial within the process and wait for other processes.
    """

    dialect = "sqlite"
    writers = 1

    def __init__(
        self,
        path: Path | None,
        config: Config | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.path = path
        self._config = config or Config()
        self._clock: Clock = clock or SystemClock()
        self._statements = Statements(pysqlite.dialect(paramstyle="qmark"))
        self._opened_total = 0
        self._pid = 0
        self._lanes: list[Lane] = []
        self._free: list[Lane] = []
        self._make_gates()

    def _make_gates(self) -> None:
        deadline_s = self._config.deadline_s
        self._writing = Gate(1, deadline_s, self._clock, "database writer")
        in_memory = self.path is None
        self._reading = self._writing if in_memory else Gate(self._config.readers, deadline_s, self._clock)
        self._writing.close()
        self._reading.close()

    async def start(self) -> None:
        """Open every connection; raises Misconfigured when the file cannot be had. Idempotent."""
        if self._pid == os.getpid():
            return
        if self._pid:  # a fork copied us without our threads
            _INHERITED.extend(self._lanes)
            self._make_gates()
        names = ["writer", *(f"reader-{n}" for n in range(self._config.readers if self.path else 0))]
        self._lanes = [self._lane(name, read_only=name != "writer") for name in names]
        self._pid = os.getpid()
        try:
            for lane in self._lanes:  # the writer first: it makes the file and sets its journal mode
                await lane.start()
                self._opened_total += 1
        except BaseException:
            await self.stop()
            raise
        self._free = self._lanes[1:]
        self._writing.open()
        self._reading.open()

    async def stop(self) -> None:
        """Turn away who waits, let running statements end, close every connection. Idempotent."""
        if self._pid != os.getpid():
            return
        self._writing.close()
        self._reading.close()
        await asyncio.gather(*(lane.stop() for lane in self._lanes))
        self._pid = 0

    async def fetch(self, statement: ClauseElement, parameters: Parameters | None = None) -> list[Row]:
        compiled = self._statements.get(statement, parameters)
        work = partial(_fetch, *compiled.bind(parameters))
        return await (self._write(work) if compiled.writes else self._read(work))

    async def run(self, statement: ClauseElement, parameters: Parameters | None = None) -> int:
        text, values = self._statements.get(statement, parameters).bind(parameters)
        return await self._write(partial(_run, text, values))

    async def run_many(self, statement: ClauseElement, rows: Sequence[Parameters]) -> int:
        if not rows:
            return 0
        text, values = await bind_rows(self._statements.get(statement, rows[0]), rows)
        return await self._write(partial(_run_many, text, values))

    async def together(self, steps: Sequence[Step]) -> list[list[Row]]:
        bound = await bind_steps(self._statements, steps)
        return await self._write(partial(_together, bound)) if any(bound) else [[] for _ in bound]

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction()

    async def ping(self) -> None:
        await self._read(partial(_fetch, "SELECT 1", ()))

    def state(self) -> Mapping[str, Any]:
        separate = self._reading is not self._writing
        return {
            "driver": "sqlite",
            "database": str(self.path or ":memory:"),
            "pool_size": self._reading.permits + (1 if separate else 0),
            "checked_out": self._writing.inside + (self._reading.inside if separate else 0),
            "waiting": self._writing.waiting + (self._reading.waiting if separate else 0),
            "refused_total": self._writing.refused + (self._reading.refused if separate else 0),
            "opened_total": self._opened_total,
        }

    async def with_schema(self, work: Callable[[Connection], T], *, write: bool) -> T:
        """`work` with a SQLAlchemy connection in the writer thread, in one transaction; for migrations."""
        self._check_process()
        patience_s = self._config.migration_timeout_s
        async with self._writing.enter():
            job = partial(with_schema, work=work, write=write, patience_s=patience_s, given_up=self._given_up)
            return await self._call(self._lanes[0], job, patience_s * 2)

    def _lane(self, name: str, *, read_only: bool) -> Lane:
        connect = partial(
            sqlite_open.connect,
            self.path,
            synchronous=self._config.synchronous,
            patience_s=self._config.busy_timeout_s,
            read_only=read_only,
        )
        return Lane(f"holdfast-sqlite-{name}", connect)

    def _given_up(self) -> bool:
        return self._lanes[0].given_up()

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            if self._pid:
                raise Misconfigured(
                    "this database was opened in another process", hint="call start() again after a fork"
                )
            raise Unavailable("the database is closed", hint="start() it first", retry_after_s=1.0)

    async def _read(self, work: Work[T]) -> T:
        self._check_process()
        if self.path is None:
            return await self._write(work)
        ends = self._clock.monotonic() + self._config.deadline_s
        async with self._reading.enter():
            lane = self._free.pop()
            try:
                return await self._call(lane, work, ends - self._clock.monotonic())
            finally:
                self._free.append(lane)

    async def _write(self, work: Work[T]) -> T:
        self._check_process()
        ends = self._clock.monotonic() + self._config.deadline_s
        async with self._writing.enter():
            job = partial(_in_transaction, work, self._config.busy_timeout_s, self._given_up)
            return await self._call(self._lanes[0], job, ends - self._clock.monotonic())

    async def _call(self, lane: Lane, work: Work[T], timeout_s: float) -> T:
        try:
            return await lane.call(work, max(timeout_s, 0.001))
        except sqlite3.Error as error:
            problem = as_problem(error)
            if problem is None:
                raise
            raise problem from error

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        self._check_process()
        deadline_s = self._config.deadline_s
        async with self._writing.enter():
            call = partial(self._call, self._lanes[0], timeout_s=deadline_s)
            transaction = SqliteTransaction(self._statements, call)
            begin = partial(
                sqlite_open.begin, patience_s=self._config.busy_timeout_s, given_up=self._given_up
            )
            try:
                await call(begin)
                yield transaction
                transaction.ended = True
                await call(_commit)
            except BaseException:
                transaction.ended = True
                await self._lanes[0].see_through(sqlite_open.rollback)
                raise


class SqliteTransaction:
    """The statements of one transaction, on the writer's connection."""

    def __init__(self, statements: Statements, call: Callable[..., Any]) -> None:
        self._statements = statements
        self._call = call
        self.ended = False

    async def fetch(self, statement: ClauseElement, parameters: Parameters | None = None) -> list[Row]:
        text, values = self._statements.get(statement, parameters).bind(parameters)
        rows: list[Row] = await self._inside(partial(_fetch, text, values))
        return rows

    async def run(self, statement: ClauseElement, parameters: Parameters | None = None) -> int:
        text, values = self._statements.get(statement, parameters).bind(parameters)
        count: int = await self._inside(partial(_run, text, values))
        return count

    async def run_many(self, statement: ClauseElement, rows: Sequence[Parameters]) -> int:
        if not rows:
            return 0
        text, values = await bind_rows(self._statements.get(statement, rows[0]), rows)
        count: int = await self._inside(partial(_run_many, text, values))
        return count

    async def _inside(self, work: Work[T]) -> T:
        if self.ended:
            raise RuntimeError("this transaction has ended; a statement after it would run outside")
        result: T = await self._call(partial(_still_inside, work))
        return result


def _fetch(text: str, values: Values, connection: sqlite3.Connection) -> list[Row]:
    return connection.execute(text, values).fetchall()


def _run(text: str, values: Values, connection: sqlite3.Connection) -> int:
    cursor = connection.execute(text, values)
    if cursor.description is not None:
        cursor.fetchall()  # RETURNING counts, and changes, only what is read
    return max(cursor.rowcount, 0)


def _run_many(text: str, values: list[Values], connection: sqlite3.Connection) -> int:
    connection.executemany(text, values)
    return len(values)


def _together(steps: list[list[Bound]], connection: sqlite3.Connection) -> list[list[Row]]:
    found: list[list[Row]] = []
    for parts in steps:
        rows: list[Row] = []
        for text, values, returns in parts:
            if returns:
                for row in values:
                    rows += connection.execute(text, row).fetchall()
            else:
                connection.executemany(text, values)
        found.append(rows)
    return found


def _in_transaction(
    work: Work[T], patience_s: float, given_up: Callable[[], bool], connection: sqlite3.Connection
) -> T:
    sqlite_open.begin(connection, patience_s, given_up)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        sqlite_open.rollback(connection)
        raise
    return result


def _still_inside(work: Work[T], connection: sqlite3.Connection) -> T:
    if not connection.in_transaction:
        raise Unavailable(
            "the database gave this transaction up", hint="run it again from its start", retry_after_s=1.0
        )
    return work(connection)


def _commit(connection: sqlite3.Connection) -> None:
    _still_inside(lambda inside: inside.execute("COMMIT"), connection)
