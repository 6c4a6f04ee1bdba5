"""The two places where shared states can be: a real Valkey, and a real SQLite file."""

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.rooms.resilience.room import ResilienceRoom
from holdfast.rooms.resilience.store.redis import RedisStates
from holdfast.rooms.resilience.store.sql import SqlStates
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_shared, open_sql
from holdfast.stores.redis.config import Config as SharedConfig


@pytest.fixture
async def shared(redis_database):
    """The shared store, with a budget that a busy machine does not overrun."""
    store = open_shared(redis_database, SystemClock(), SharedConfig(budget_ms=10_000))
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def sql(tmp_path):
    database = open_sql(f"sqlite:///{tmp_path}/holdfast.db", tmp_path, SystemClock())
    await database.start()
    await migrate(database, {"resilience": ResilienceRoom.migrations}, SystemClock().wall)
    yield database
    await database.stop()


@pytest.fixture
async def postgres(postgres_database, tmp_path):
    database = open_sql(postgres_database, tmp_path, SystemClock())
    await database.start()
    await migrate(database, {"resilience": ResilienceRoom.migrations}, SystemClock().wall)
    yield database
    await database.stop()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["redis", "sqlite", "postgresql"])
def make_states(request, clock):
    """`make_states()`: the shared states as one more process sees them."""
    if request.param == "redis":
        store = request.getfixturevalue("shared")
        return lambda: RedisStates(store)
    store = request.getfixturevalue("sql" if request.param == "sqlite" else "postgres")
    return lambda: SqlStates(store, clock.monotonic)
