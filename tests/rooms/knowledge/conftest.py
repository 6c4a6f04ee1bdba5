"""The knowledge room on real databases, with a model and a clock that the test owns."""

import itertools

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.ports.plain_jobs import PlainJobs
from holdfast.rooms.knowledge.engine.knowledge import Knowledge
from holdfast.rooms.knowledge.rules.settings import Config
from holdfast.rooms.knowledge.store.store import MIGRATIONS
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_sql
from tests.meters import RecordingMeter
from tests.rooms.knowledge.models import Quoting

_numbers = itertools.count()


class World:
    """One engine, as one process has it, and what it stands on."""

    def __init__(self, sql, tmp_path, settings, model, jobs=None, embedder=None):
        self.sql = sql
        self.clock = ManualClock()
        self.meter = RecordingMeter()
        self.jobs = jobs or PlainJobs(self.clock)
        self.model = model
        self.knowledge = Knowledge(
            Config(**settings),
            sql=sql,
            model=model,
            jobs=self.jobs,
            clock=self.clock,
            meter=self.meter,
            data_dir=tmp_path,
            secret=lambda: f"doc-{next(_numbers)}",
            embeds=embedder,
        )
        self.store = self.knowledge.store

    async def add(self, name, text, **how):
        """Take a document in, and wait until its job has ended."""
        taken = await self.knowledge.add(name, text, **how)
        self.ended = await self.knowledge.wait(taken)
        return taken

    async def rows(self):
        """How many rows each of the room's tables has, those that are there to count by apart."""
        from sqlalchemy import func, select

        from holdfast.rooms.knowledge.store import tables

        found = {}
        for table in tables.META.tables.values():
            found[table.name] = (await self.sql.fetch(select(func.count()).select_from(table)))[0][0]
        return {name: count for name, count in found.items() if count and name != "knowledge_counters"}

    async def stop(self):
        await self.jobs.stop()
        await self.knowledge.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
async def sql(request, tmp_path):
    """Both databases, each in turn."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/holdfast.db"
    else:
        url = request.getfixturevalue("postgres_database")
    database = await _opened(url, tmp_path)
    yield database
    await database.stop()


@pytest.fixture
async def sqlite(tmp_path):
    database = await _opened(f"sqlite:///{tmp_path}/holdfast.db", tmp_path)
    yield database
    await database.stop()


async def _opened(url, tmp_path):
    database = open_sql(url, tmp_path, SystemClock())
    await database.start()
    await migrate(database, {"knowledge": MIGRATIONS}, SystemClock().wall)
    return database


async def _worlds(sql, tmp_path):
    made = []

    def make(model=None, *, jobs=None, embedder=None, **settings):
        world = World(sql, tmp_path, settings, model or Quoting(), jobs, embedder)
        made.append(world)
        return world

    yield make
    for world in made:
        await world.stop()


@pytest.fixture
async def make(sqlite, tmp_path):
    """`make(model, setting=...)`: an engine on SQLite; further calls are further processes on it."""
    async for made in _worlds(sqlite, tmp_path):
        yield made


@pytest.fixture
async def make_on(sql, tmp_path):
    """The same on both databases."""
    async for made in _worlds(sql, tmp_path):
        yield made
