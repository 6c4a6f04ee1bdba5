"""The ledger on both databases."""

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.rooms.jobs.store import tables
from holdfast.stores.config import Config
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_sql


@pytest.fixture(params=["sqlite", "postgresql"])
async def ledger(request, tmp_path):
    """A started driver with the room's tables; each database in turn."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/jobs.db"
    else:
        url = request.getfixturevalue("postgres_database")
    async for database in _opened(url, tmp_path):
        yield database


@pytest.fixture
async def sqlite_ledger(tmp_path):
    """For what does not depend on the database."""
    async for database in _opened(f"sqlite:///{tmp_path}/jobs.db", tmp_path):
        yield database


async def _opened(url, tmp_path):
    database = open_sql(url, tmp_path, SystemClock(), Config(synchronous="full"))
    await database.start()
    await migrate(database, {"jobs": tables.MIGRATIONS}, SystemClock().wall)
    yield database
    await database.stop()
