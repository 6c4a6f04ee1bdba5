"""Money on real stores: a real Valkey, a real PostgreSQL, a real SQLite file, and process memory."""

import asyncio
from datetime import UTC
from itertools import count

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoMeter
from holdfast.rooms.llm.engine.budgets import Budgets
from holdfast.rooms.llm.engine.memory_counts import MemoryCounts
from holdfast.rooms.llm.engine.money import MIGRATIONS
from holdfast.rooms.llm.engine.shared_counts import SharedCounts
from holdfast.rooms.llm.rules.budgets import Declared
from holdfast.rooms.llm.store.budgets_redis import RedisBudgets
from holdfast.rooms.llm.store.budgets_sql import SqlBudgets
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_shared, open_sql
from holdfast.stores.redis.config import Config as SharedConfig
from tests.waiting import until

NOON = 1_750_075_200.0  # 2025-06-16 12:00:00 UTC


def numbered(prefix):
    numbers = count(1)
    return lambda: f"{prefix}-{next(numbers)}"


async def opened(url, tmp_path):
    database = open_sql(url, tmp_path, SystemClock())
    await database.start()
    await migrate(database, {"llm": MIGRATIONS}, SystemClock().wall)
    return database


@pytest.fixture
def clock():
    return ManualClock(wall_s=NOON)


@pytest.fixture
async def shared(redis_database):
    """The shared store, with a budget that a busy machine does not overrun."""
    store = open_shared(redis_database, SystemClock(), SharedConfig(budget_ms=10_000))
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def sqlite(tmp_path):
    database = await opened(f"sqlite:///{tmp_path}/holdfast.db", tmp_path)
    yield database
    await database.stop()


@pytest.fixture
async def postgres(postgres_database, tmp_path):
    database = await opened(postgres_database, tmp_path)
    yield database
    await database.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def sql(request):
    return request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres")


class World:
    """One place where budgets are counted, and any number of processes that look at it."""

    def __init__(self, make):
        self._make = make
        self.counts = []

    def process(self, *settings):
        """Budgets as one more process has them."""
        counts = self._make()
        self.counts.append(counts)
        return Budgets(Declared(settings), counts, NoMeter())

    async def settled(self):
        """Wait until every store has been told everything."""
        await until(lambda: not any(getattr(counts, "owed", 0) for counts in self.counts))
        for counts in self.counts:
            if (delivery := getattr(counts, "_delivery", None)) is not None:
                await asyncio.wait([delivery])


@pytest.fixture
async def closing():
    """Counts that are stopped before their stores are."""
    counts = []
    yield counts
    for each in counts:
        await each.stop()


@pytest.fixture(params=["memory", "redis", "sqlite", "postgresql"])
def world(request, clock):
    """Each of the drivers; `clock` moves memory and the databases, a real server has its own."""
    new_id = IdSource().span_id
    if request.param == "memory":
        one = MemoryCounts(clock, UTC)
        return World(lambda: one)
    if request.param == "redis":
        shared = request.getfixturevalue("shared")
        made = World(lambda: SharedCounts(RedisBudgets(shared, new_id()), SystemClock(), UTC, new_id))
    else:
        database = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres")
        made = World(
            lambda: SharedCounts(SqlBudgets(database, clock.wall, patience_s=30.0), clock, UTC, new_id)
        )
    made.counts = request.getfixturevalue("closing")
    return made
