"""PostgreSQL behind the Sql port: asyncpg's pool, with a line in front of it."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.sql.elements import ClauseElement

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import Misconfigured, Problem, Unavailable
from holdfast.ports.storage import Parameters, Row, Step, Transaction
from holdfast.stores import postgres_calls as calls
from holdfast.stores.compile import Bound, Statements, bind_rows, bind_steps
from holdfast.stores.config import Config
from holdfast.stores.gate import Gate
from holdfast.stores.postgres_calls import PostgresTransaction
from holdfast.stores.postgres_errors import as_problem, as_start_problem, is_lost
from holdfast.stores.postgres_schema import with_schema

T = TypeVar("T")

_CLEANUP_S = 1.0
"""Longest that a connection may take to come to rest after a cancelled query; then it is dropped."""
_AT_HAND_S = 60.0
"""Unused for so long, a connection goes back to the pool."""
_IN_POOL_S = 240.0
"""And so long after it is closed: what stands between may have forgotten one that is silent for longer."""
_KEPT = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
"""For this session a commit is on the disk when it returns, whatever the server does for others."""
_INHERITED: list[object] = []
"""Pools that a fork copied; closing their sockets properly would say goodbye in the parent's name."""


class _PlainConnection(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types
    """Left as it is on release: nothing of ours sets variables, listens or takes session locks.

    asyncpg's own reset costs a round trip for every call. An open transaction is still rolled back.
    """

    def get_reset_query(self) -> str:
        return ""


class PostgresSql:
    """The Sql port over PostgreSQL. Connections open when needed, and again after an outage."""

    dialect = "postgresql"

    def __init__(
        self,
        url: str,
        config: Config | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._url = url
        self._config = config or Config()
        self._clock: Clock = clock or SystemClock()
        self._statements = Statements(asyncpg_dialect())  # type: ignore[no-untyped-call] # SQLAlchemy's own
        self._pool: Any = None
        self._at_hand: deque[tuple[Any, float]] = deque()
        """Connections at rest and since when, the newest last: to give one back and take it again costs more
        than a short statement."""
        self._timer: asyncio.TimerHandle | None = None
        self._returning: set[asyncio.Future[None]] = set()
        self._pid = 0
        self._opened_total = 0
        self._gate = self._make_gate()

    @property
    def writers(self) -> int:
        return self._config.pool_size

    async def start(self) -> None:
        """Make the pool and reach the server once; raises Misconfigured or Unavailable. Idempotent."""
        if self._pool is not None and self._pid == os.getpid():
            return
        if self._pool is not None:
            _INHERITED.extend((self._pool, self._at_hand))
            self._at_hand, self._timer = deque(), None
            self._gate = self._make_gate()
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._config.pool_size,
                max_queries=1 << 60,
                max_inactive_connection_lifetime=_IN_POOL_S,
                connection_class=_PlainConnection,
                init=self._prepare,
                **self._connect_options(),
            )
        except (ValueError, asyncpg.InterfaceError) as error:
            raise Misconfigured(
                f"the PostgreSQL URL is not valid: {error}",
                hint="postgresql://user:password@host:5432/database",
            ) from None
        self._pid = os.getpid()
        self._gate.open()
        try:
            async with asyncio.timeout(self._config.deadline_s), self._pool.acquire() as connection:
                await connection.fetchval("SELECT 1")
        except Exception as error:
            await self.stop()
            problem = as_start_problem(error)
            if problem is None:
                raise
            raise problem from error

    async def stop(self) -> None:
        """Turn away who waits, let running statements end within the deadline, close. Idempotent."""
        if self._pool is None or self._pid != os.getpid():
            return
        pool, self._pool = self._pool, None
        self._gate.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            async with asyncio.timeout(self._config.deadline_s):
                while self._at_hand:
                    await pool.release(self._at_hand.pop()[0])
                await pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pool.terminate()

    async def fetch(self, statement: ClauseElement, parameters: Parameters | None = None) -> list[Row]:
        text, values = self._statements.get(statement, parameters).bind(parameters)
        async with self._connection() as (connection, ends):
            return await self._mapped(calls.fetch(connection, text, values, self._left(ends)))

    async def run(self, statement: ClauseElement, parameters: Parameters | None = None) -> int:
        text, values = self._statements.get(statement, parameters).bind(parameters)
        async with self._connection() as (connection, ends):
            return await self._mapped(calls.run(connection, text, values, self._left(ends)))

    async def run_many(self, statement: ClauseElement, rows: Sequence[Parameters]) -> int:
        if not rows:
            return 0
        text, values = await bind_rows(self._statements.get(statement, rows[0]), rows)
        async with self._connection() as (connection, ends):
            return await self._mapped(calls.run_many(connection, text, values, self._left(ends)))

    async def together(self, steps: Sequence[Step]) -> list[list[Row]]:
        bound = await bind_steps(self._statements, steps)
        count = sum(len(parts) for parts in bound)
        if not count:
            return [[] for _ in bound]
        async with self._connection() as (connection, ends):
            if count == 1:  # atomic as it is: BEGIN and COMMIT would be two more trips
                return await self._steps(connection, bound, ends)
            async with self._block(connection):
                return await self._steps(connection, bound, ends)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction()

    async def ping(self) -> None:
        async with self._connection() as (connection, ends):
            await self._mapped(calls.fetch(connection, "SELECT 1", (), self._left(ends)))

    def state(self) -> Mapping[str, Any]:
        where = urlsplit(self._url)
        return {
            "driver": "postgresql",
            "database": f"{where.netloc.rpartition('@')[2]}{where.path}",
            "pool_size": self._gate.permits,
            "checked_out": self._gate.inside,
            "waiting": self._gate.waiting,
            "refused_total": self._gate.refused,
            "opened_total": self._opened_total,
        }

    async def with_schema(self, work: Callable[[Connection], T], *, write: bool) -> T:
        """`work` with a SQLAlchemy connection of its own, in one transaction; for migrations."""
        try:
            patience_s = self._config.migration_timeout_s
            return await with_schema(self._connect, work, write=write, patience_s=patience_s)
        except Exception as error:
            problem = as_start_problem(error)
            if problem is None:
                raise
            raise problem from error

    def _make_gate(self) -> Gate:
        return Gate(self._config.pool_size, self._config.deadline_s, self._clock)

    def _connect_options(self) -> dict[str, Any]:
        return {
            "timeout": self._config.connect_timeout_s,
            "statement_cache_size": self._config.statement_cache_size,
        }

    async def _connect(self) -> Any:
        return await asyncpg.connect(self._url, **self._connect_options())

    async def _prepare(self, connection: Any) -> None:
        """Let the server guard the deadline too, and hand over sums as SQLite does (here: `numeric`)."""
        self._opened_total += 1
        if self._config.statement_cache_size:  # without it the session is a pooler's, not ours to set
            await connection.execute(_guards(connection.get_server_version().major, self._config.deadline_s))
            if self._config.synchronous == "full":
                await connection.execute(_KEPT)
        await connection.set_type_codec(
            "numeric", schema="pg_catalog", encoder=str, decoder=_number, format="text"
        )

    def _left(self, ends: float) -> float:
        return max(0.001, ends - self._clock.monotonic())

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[Any, float]]:
        """A connection in turn, and when its caller's patience ends."""
        pool = self._pool
        if pool is None or self._pid != os.getpid():
            raise Unavailable(
                "the database is not open in this process", hint="start() it first", retry_after_s=1.0
            )
        ends = self._clock.monotonic() + self._config.deadline_s
        async with self._gate.enter():
            connection = await self._take(pool, ends)
            try:
                yield connection, ends
            except BaseException as error:
                if isinstance(error, Unavailable) and is_lost(error.__cause__):
                    with suppress(asyncpg.InterfaceError):  # asyncpg has noticed, and taken it back
                        connection.terminate()
                await _see_through(pool.release(connection, timeout=_CLEANUP_S))
                raise
            await self._put_by(pool, connection)

    async def _take(self, pool: Any, ends: float) -> Any:
        while self._at_hand:
            connection, _ = self._at_hand.pop()
            if _is_at_rest(connection):
                return connection
            await _see_through(pool.release(connection))
        return await self._mapped(self._acquire(pool, ends))

    async def _put_by(self, pool: Any, connection: Any) -> None:
        """Keep it at hand if it is at rest."""
        if self._pool is not pool or not _is_at_rest(connection):
            await _see_through(pool.release(connection, timeout=_CLEANUP_S))
            return
        self._at_hand.append((connection, self._clock.monotonic()))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_AT_HAND_S, self.give_back)

    def give_back(self) -> None:
        """Let the pool have what has not been used for long; the timer calls it, and so may a test."""
        self._timer = None
        oldest = self._clock.monotonic() - _AT_HAND_S
        while self._pool is not None and self._at_hand and self._at_hand[0][1] <= oldest:
            task = asyncio.ensure_future(self._pool.release(self._at_hand.popleft()[0], timeout=_CLEANUP_S))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)
        if self._at_hand:
            self._timer = asyncio.get_running_loop().call_later(_AT_HAND_S, self.give_back)

    async def _acquire(self, pool: Any, ends: float) -> Any:
        # The pool's own timeout makes a task of every call, at a third of what a short one costs.
        async with asyncio.timeout(self._left(ends)):
            return await pool.acquire()

    async def _mapped(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except Exception as error:
            problem = as_problem(error)
            if problem is None:
                raise
            raise problem from error

    async def _steps(self, connection: Any, steps: list[list[Bound]], ends: float) -> list[list[Row]]:
        found: list[list[Row]] = []
        for parts in steps:
            rows: list[Row] = []
            for part in parts:
                rows += await self._mapped(calls.run_bound(connection, part, self._left(ends)))
            found.append(rows)
        return found

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        async with self._connection() as (connection, _):
            transaction = PostgresTransaction(
                self._statements, connection, self._mapped, self._config.deadline_s
            )
            async with self._block(connection):
                try:
                    yield transaction
                finally:
                    transaction.ended = True

    @asynccontextmanager
    async def _block(self, connection: Any) -> AsyncIterator[None]:
        """BEGIN to COMMIT, or ROLLBACK when an exception leaves it."""
        block = connection.transaction()
        await self._mapped(block.__aenter__())
        try:
            yield
        except BaseException as error:
            with suppress(Problem):  # a connection that cannot roll back is dropped on release
                await self._mapped(block.__aexit__(type(error), error, error.__traceback__))
            raise
        await self._mapped(block.__aexit__(None, None, None))


async def _see_through(release: Awaitable[None]) -> None:
    """Wait until the connection is back, through any cancellation; then let that pass.

    The permit of the gate must not be given on before, or the next in line would find no connection.
    """
    task = asyncio.ensure_future(release)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:  # noqa: BLE001 - the pool dropped the connection; the call has succeeded or said why
            break
    if cancelled is not None:
        raise cancelled


def _is_at_rest(connection: Any) -> bool:
    """Whether the next statement may have it as it is."""
    try:
        return not connection.is_closed() and not connection.is_in_transaction()
    except asyncpg.InterfaceError:
        return False  # lost, which asyncpg has noticed: it takes such a one back by itself


def _guards(major: int, deadline_s: float) -> str:
    """Settings under which no statement outlives its caller at the server.

    A cancel request that overtakes its statement is lost; the statement would run to its end.
    """
    milliseconds = int(deadline_s * 1000) + 1000
    guards = f"SET statement_timeout = {milliseconds}"
    return f"{guards}; SET client_connection_check_interval = 1000" if major >= 14 else guards


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
