"""Where truth lives: one small query interface over SQLite and PostgreSQL.

Statements are SQLAlchemy Core objects, built once as constants in a room's `store.py`; values are
passed as parameters, so a driver compiles each statement once. Portable column types only:
BigInteger, Float, Text, LargeBinary. Stamps are integer milliseconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sqlalchemy.sql.elements import ClauseElement

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]


class Transaction(Protocol):
    """Statements that happen together or not at all; leaving by an exception rolls back."""

    async def fetch(self, statement: "ClauseElement", parameters: Parameters | None = None) -> list[Row]: ...

    async def run(self, statement: "ClauseElement", parameters: Parameters | None = None) -> int: ...

    async def run_many(self, statement: "ClauseElement", rows: Sequence[Parameters]) -> int: ...


class Sql(Protocol):
    """The truth. Every call waits at most its driver's deadline, then raises Unavailable (503)."""

    async def fetch(self, statement: "ClauseElement", parameters: Parameters | None = None) -> list[Row]:
        """All rows of a reading statement, as tuples."""
        ...

    async def run(self, statement: "ClauseElement", parameters: Parameters | None = None) -> int:
        """One writing statement in a transaction of its own; the number of rows it touched."""
        ...

    async def run_many(self, statement: "ClauseElement", rows: Sequence[Parameters]) -> int:
        """The statement once per row, all in one transaction; the number of rows given."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """`async with sql.transaction() as tx:` - writers are serial on SQLite (BEGIN IMMEDIATE)."""
        ...

    async def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        ...

    def state(self) -> Mapping[str, Any]:
        """Driver, pool size, checked out, waiting, opened in total: for health and metrics."""
        ...


Step = tuple["ClauseElement", Sequence[Parameters]]
"""A statement and the rows it is run with, once each."""


class Together(Protocol):
    """Several statements at the price of one; both drivers of Sql have it."""

    @property
    def writers(self) -> int:
        """Transactions that it writes at the same time; further ones wait for these."""
        ...

    async def together(self, steps: Sequence[Step]) -> list[list[Row]]:
        """All steps in one transaction and one trip; of each what its RETURNING gave, over all its rows."""
        ...


class Ledger(Sql, Together, Protocol):
    """An Sql that takes several statements at once."""
