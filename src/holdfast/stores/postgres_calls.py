"""Statements on one asyncpg connection, alone or in a transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy.sql.elements import ClauseElement

from holdfast.ports.storage import Parameters, Row
from holdfast.stores.compile import Bound, Statements, Values, bind_rows
from holdfast.stores.postgres_arrays import FEW, widened


async def fetch(connection: Any, text: str, values: Sequence[Any], timeout_s: float) -> list[Row]:
    """All rows, as tuples."""
    return [tuple(row) for row in await connection.fetch(text, *values, timeout=timeout_s)]


async def run(connection: Any, text: str, values: Values, timeout_s: float) -> int:
    """The number of rows touched: the last word of the command tag, e.g. `INSERT 0 1`."""
    status = await connection.execute(text, *values, timeout=timeout_s)
    count = status.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0


async def run_many(connection: Any, text: str, values: list[Values], timeout_s: float) -> int:
    """The statement once per row; the number of rows given."""
    await run_bound(connection, Bound(text, values, False), timeout_s)
    return len(values)


async def run_bound(connection: Any, bound: Bound, timeout_s: float) -> list[Row]:
    """One text over all its rows; what it returned, in the order of the rows. Atomic by itself."""
    text, values, returns = bound
    if len(values) > FEW and (wide := widened(text)) is not None:
        return await fetch(connection, wide.text, wide.arrays(values), timeout_s)
    if not returns:
        await connection.executemany(text, values, timeout=timeout_s)
        return []
    if len(values) == 1:
        return await fetch(connection, text, values[0], timeout_s)
    return [tuple(row) for row in await connection.fetchmany(text, values, timeout=timeout_s)]


class PostgresTransaction:
    """The statements of one transaction, on one connection."""

    def __init__(
        self,
        statements: Statements,
        connection: Any,
        mapped: Callable[[Awaitable[Any]], Any],
        deadline_s: float,
    ) -> None:
        self._statements = statements
        self._connection = connection
        self._mapped = mapped
        self._deadline_s = deadline_s
        self._turn = asyncio.Lock()
        self.ended = False

    async def fetch(self, statement: ClauseElement, parameters: Parameters | None = None) -> list[Row]:
        text, values = self._statements.get(statement, parameters).bind(parameters)
        rows: list[Row] = await self._inside(fetch, text, values)
        return rows

    async def run(self, statement: ClauseElement, parameters: Parameters | None = None) -> int:
        text, values = self._statements.get(statement, parameters).bind(parameters)
        count: int = await self._inside(run, text, values)
        return count

    async def run_many(self, statement: ClauseElement, rows: Sequence[Parameters]) -> int:
        if not rows:
            return 0
        text, values = await bind_rows(self._statements.get(statement, rows[0]), rows)
        count: int = await self._inside(run_many, text, values)
        return count

    async def _inside(self, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        async with self._turn:  # tasks may share a transaction, as on SQLite; the wire takes one at a time
            if self.ended:
                raise RuntimeError("this transaction has ended; a statement after it would run outside")
            return await self._mapped(call(self._connection, *arguments, self._deadline_s))
