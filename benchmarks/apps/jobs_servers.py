"""Where engines keep their jobs: fresh for every run, so that no message of an earlier one is left over."""

import asyncio
import contextlib
from itertools import count
from pathlib import Path

import asyncpg
from tests.servers import PostgresServer, running
from tests.shared_servers import ValkeyServer

REDIS_DEFAULTS = ("--save", "3600 1 300 100 60 10000")
"""What a Redis without a configuration file does; the tests' servers never write."""


class Servers:
    """One PostgreSQL that waits for the disk and one Redis as it comes, started when first needed."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._numbers = count()
        self._postgres: PostgresServer | None = None
        self._redis: ValkeyServer | None = None

    def url(self, kind: str, folder: Path) -> str:
        """An empty place of its kind: sqlite, file, postgres or redis."""
        if kind == "sqlite":
            return f"sqlite:///{folder / 'jobs.db'}"
        if kind == "file":
            return str(folder / "jobs.db")
        return self._postgres_url() if kind == "postgres" else self._redis_url()

    def _postgres_url(self) -> str:
        if self._postgres is None:
            self._postgres = self._stack.enter_context(running(PostgresServer(durable=True)))
        name = f"bench_{next(self._numbers)}"
        asyncio.run(execute(self._postgres.url, f"CREATE DATABASE {name}"))
        return self._postgres.url.rsplit("/", 1)[0] + f"/{name}"

    def _redis_url(self) -> str:
        if self._redis is None:
            self._redis = self._stack.enter_context(running(ValkeyServer(*REDIS_DEFAULTS)))
        self._redis.ask("FLUSHALL")
        return self._redis.url


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
