"""Conversations on a real database, with a model and a clock that the test owns."""

import itertools

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.kernel.tasks import Supervisor
from holdfast.rooms.conversations.engine.engine import Conversations
from holdfast.rooms.conversations.engine.streaming import whole
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.store import tables
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_sql
from tests.databases import PATIENT
from tests.meters import RecordingMeter
from tests.rooms.conversations.models import Echo


class World:
    """One engine, as one process has it, and what it stands on."""

    def __init__(self, sql, clock, settings, model, **given):
        self.sql = sql
        self.clock = clock
        self.meter = RecordingMeter()
        self.supervisor = Supervisor()
        self._ids = (f"id-{number}-{id(self)}" for number in itertools.count())
        self.engine = Conversations(
            Config(**settings),
            sql=sql,
            clock=clock,
            meter=self.meter,
            supervisor=self.supervisor,
            model=model,
            secret=lambda: next(self._ids),
            **given,
        )
        self.store = self.engine.store

    @property
    def model(self):
        return self.engine.model

    @model.setter
    def model(self, model):
        self.engine.model = model

    async def start(self, user="", **how):
        return (await self.engine.start(user, **how)).id

    async def say(self, conversation, text, *, user="", key=""):
        """The row of the answer, when it has ended and the state knows of it."""
        run = await self.engine.say(user, conversation, text, key)
        message = await whole(run, None)
        if run.task is not None:
            await run.task
        return message

    async def state(self, conversation):
        """As it is stored, once this process has stored what it knows."""
        await self.engine.folding.flush()
        return (await self.store.open(conversation)).state

    async def rows(self, conversation):
        return await self.store.messages(conversation, 0, 10_000)

    async def stop(self):
        await self.engine.stop()
        await self.supervisor.stop(1.0)


@pytest.fixture
def clock():
    return ManualClock()


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
    database = open_sql(url, tmp_path, SystemClock(), PATIENT)
    await database.start()
    await migrate(database, {"conversations": tables.MIGRATIONS}, SystemClock().wall)
    return database


async def _worlds(sql, clock):
    made = []

    def make(model=None, *, flags=None, log=None, **settings):
        world = World(sql, clock, settings, model or Echo(), flags=flags, log=log)
        made.append(world)
        return world

    yield make
    for world in made:
        await world.stop()


@pytest.fixture
async def make(sqlite, clock):
    """`make(model, setting=...)`: further calls are further processes on the same database."""
    async for one in _worlds(sqlite, clock):
        yield one


@pytest.fixture
async def make_on_both(sql, clock):
    """As `make`, on SQLite and on PostgreSQL."""
    async for one in _worlds(sql, clock):
        yield one


@pytest.fixture
def request_ctx():
    """The context of a request, as the edge would have made it."""
    ctx = detached(Event())
    token = enter(ctx)
    yield ctx
    leave(token)
