"""Jobs on a real database: each World is what one process has, several may stand on one ledger."""

import asyncio
import random

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.rooms.jobs.room import Config, JobsRoom
from holdfast.rooms.jobs.rules.settings import Queue
from holdfast.rooms.jobs.store import tables
from holdfast.stores.config import Config as Database
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_signals, open_sql
from tests.meters import RecordingMeter

QUEUES = {"bulk": Queue(concurrency=4), "ai": Queue(concurrency=2)}
ALL = {name: Queue(concurrency=4) for name in ("analytics", "notification", "rag")} | QUEUES


class KeepingLog:
    """An event log that keeps its records."""

    def __init__(self):
        self.records = []

    def append(self, record):
        self.records.append(record)


class World:
    """One process: the room, started, and what it stands on."""

    def __init__(self, url, folder, clock, kind="server", durable="", **settings):
        self.clock = clock
        self.meter, self.log, self.supervisor = RecordingMeter(), KeepingLog(), Supervisor()
        self.sql = open_sql(url, folder, clock, Database(synchronous="normal"))
        settings = {"poll_s": 0.05, "lease_s": 3600.0, "cancel_poll_s": 0.05, "grace_s": 0.0, **settings}
        self.room = JobsRoom(
            Config(**{"queues": ALL, **settings}),
            sql=self.sql,
            open_database=lambda: open_sql(url, folder, clock, Database(pool_size=1, readers=1)),
            open_signals=lambda: open_signals(url, folder, clock),
            data_dir=folder,
            clock=clock,
            ids=IdSource(),
            meter=self.meter,
            log=self.log,
            supervisor=self.supervisor,
            kind=kind,
            durable=durable,
            rng=random.Random(7),
        )
        self.jobs, self.crew = self.room.engine, self.room.crew
        self.worker = self.crew.worker

    async def start(self):
        self.supervisor.open()
        await self.sql.start()
        await migrate(self.sql, {"jobs": tables.MIGRATIONS}, SystemClock().wall)
        await self.room.start()
        return self

    async def stop(self):
        await self.supervisor.stop(1.0)
        await self.room.stop()
        await self.sql.stop()

    async def ended(self, job_id):
        """The job when it has ended."""
        async for event in self.jobs.events(job_id):
            if event.is_last:
                break
        return await self.jobs.find(job_id)

    async def state(self, job_id, state):
        """Wait until the job is in that state; the job."""
        while True:
            found = await self.jobs.find(job_id)
            if found.state == state:
                return found
            await turn()

    async def row(self, job_id):
        return await self.jobs.reading.one(job_id)

    async def pass_time(self, seconds):
        """Let time pass and whatever is due become so."""
        self.clock.advance(seconds)
        await self.crew.due.look()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """Both databases, each in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    return request.getfixturevalue("postgres_database")


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def clock():
    return ManualClock()


async def _worlds(url, folder, clock):
    made = []

    def make(**settings):
        world = World(url, folder, settings.pop("clock", clock), **settings)
        made.append(world)
        return world

    yield make
    for world in reversed(made):
        await world.stop()


@pytest.fixture
async def make(sqlite_url, tmp_path, clock):
    """`make(setting=...)`, then `await world.start()`; further calls are further processes on the ledger."""
    async for one in _worlds(sqlite_url, tmp_path, clock):
        yield one


@pytest.fixture
async def make_on_both(url, tmp_path, clock):
    """As `make`, on SQLite and on PostgreSQL."""
    async for one in _worlds(url, tmp_path, clock):
        yield one


async def turn():
    """Let threads and other processes have the processor for a moment."""
    await asyncio.to_thread(lambda: None)
