"""A database that goes away, loses an answer, or under which the process dies, when the test says so."""

from contextlib import asynccontextmanager

from holdfast.kernel.errors import Unavailable


class Killed(BaseException):
    """The process is gone: nobody handles this."""


class FaultySql:
    """A driver in front of which something goes wrong."""

    def __init__(self, sql):
        self._sql = sql
        self.is_away = False
        self.loses_commits = False
        """Whether a transaction ends well, and nobody hears of it."""
        self.dies_at = None
        """The how manieth point of time at which the process dies."""
        self.points = 0

    def _point(self):
        self.points += 1
        if self.points == self.dies_at:
            raise Killed
        if self.is_away:
            raise Unavailable("the database is away")

    async def fetch(self, statement, parameters=None):
        self._point()
        return await self._sql.fetch(statement, parameters)

    async def run(self, statement, parameters=None):
        self._point()
        found = await self._sql.run(statement, parameters)
        self._point()
        return found

    async def run_many(self, statement, rows):
        self._point()
        found = await self._sql.run_many(statement, rows)
        self._point()
        return found

    @asynccontextmanager
    async def transaction(self):
        self._point()
        async with self._sql.transaction() as tx:
            yield _Faulty(self, tx)
            self._point()
        self._point()
        if self.loses_commits:
            raise Unavailable("the connection was lost")

    async def ping(self):
        self._point()

    def state(self):
        return self._sql.state()


class _Faulty:
    def __init__(self, faults, tx):
        self._faults = faults
        self._tx = tx

    async def fetch(self, statement, parameters=None):
        self._faults._point()
        return await self._tx.fetch(statement, parameters)

    async def run(self, statement, parameters=None):
        self._faults._point()
        return await self._tx.run(statement, parameters)

    async def run_many(self, statement, rows):
        self._faults._point()
        return await self._tx.run_many(statement, rows)
