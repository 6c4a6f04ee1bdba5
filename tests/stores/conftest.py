"""The drivers under test, each started on an empty database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.stores.config import Config
from holdfast.stores.driver import Driver
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_sql
from tests.stores import contract

CONFIG = Config(pool_size=4, readers=3, deadline_s=20.0, busy_timeout_s=20.0)


@pytest.fixture(params=["sqlite", "memory", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_database"))
    return "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'contract.db'}"


@pytest.fixture
async def sql(url: str, tmp_path: Path) -> AsyncIterator[Driver]:
    driver = open_sql(url, tmp_path, SystemClock(), CONFIG)
    await driver.start()
    await migrate(driver, {"contract": contract.MIGRATIONS})
    yield driver
    await driver.stop()
