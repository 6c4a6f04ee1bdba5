"""The room's tables on both databases."""

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.rooms.experiments.store import tables
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_sql
from tests.databases import PATIENT


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request, tmp_path):
    """A started driver with the room's tables; each database in turn."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/experiments.db"
    else:
        url = request.getfixturevalue("postgres_database")
    async for opened in _opened(url, tmp_path):
        yield opened


@pytest.fixture
async def sqlite_database(tmp_path):
    """For what does not depend on the database."""
    async for opened in _opened(f"sqlite:///{tmp_path}/experiments.db", tmp_path):
        yield opened


async def _opened(url, tmp_path):
    opened = open_sql(url, tmp_path, SystemClock(), PATIENT)
    await opened.start()
    await migrate(opened, {"experiments": tables.MIGRATIONS}, SystemClock().wall)
    yield opened
    await opened.stop()
