"""A SQLAlchemy connection to PostgreSQL, for the length of one migration run."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

T = TypeVar("T")

LOCK = int.from_bytes(b"holdfast")
"""The advisory lock under which migrations run; any number will do that nobody else takes."""


async def with_schema(
    connect: Callable[[], Awaitable[Any]], work: Callable[[Connection], T], *, write: bool, patience_s: float
) -> T:
    """`work` in one transaction: committed when it returns, undone when it raises.

    When `write`, one process at a time, and no lock is waited for longer than `patience_s`: a
    change of a busy table would otherwise hold up everyone behind it. Raises asyncpg's errors.
    """
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            if write:
                await _lock(connection, patience_s)
            return await connection.run_sync(work)
    except DBAPIError as error:
        cause = getattr(error.orig, "__cause__", None)
        raise (cause if isinstance(cause, Exception) else error) from error
    finally:
        await engine.dispose()


async def _lock(connection: AsyncConnection, patience_s: float) -> None:
    await connection.execute(
        text("SELECT set_config('lock_timeout', :patience, true)"),
        {"patience": f"{int(patience_s * 1000)}ms"},
    )
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
