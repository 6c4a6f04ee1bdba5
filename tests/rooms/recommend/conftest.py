"""A recommender on a real SQLite file, with a clock and a random source the test owns."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.ids import IdSource
from holdfast.ports.flags import Flags, NoFlags
from holdfast.ports.services import EventLog, NoEventLog, NoMeter
from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine.engine import Engine
from holdfast.rooms.recommend.engine.feedback import Action
from holdfast.rooms.recommend.engine.recommender import Ask
from holdfast.rooms.recommend.engine.release import Release
from holdfast.rooms.recommend.engine.writing import Item, save_items
from holdfast.rooms.recommend.rules.answers import Personalized
from holdfast.rooms.recommend.rules.settings import Config
from holdfast.stores.migrate import migrate
from holdfast.stores.open import Driver, open_sql
from tests.databases import PATIENT

Make = Callable[..., Awaitable["World"]]


class World:
    """One engine and what it stands on."""

    def __init__(self, engine: Engine, sql: Driver, clock: ManualClock, data_dir: Path) -> None:
        self.engine = engine
        self.sql = sql
        self.clock = clock
        self.data_dir = data_dir

    async def items(self, *items: Item | str) -> None:
        await save_items(self.sql, [Item(item) if isinstance(item, str) else item for item in items])
        await self.engine.refresh()

    async def did(self, user: str, *items: str, kind: str = "like") -> None:
        for item in items:
            self.clock.advance(1.0)
            await self.engine.feedback.take(user, [Action(item, kind)])

    async def ask(self, user: str, limit: int = 5, **wish: object) -> Personalized:
        return await self.engine.recommender.personalized(Ask(user, limit, **wish))

    async def shown(self, user: str, limit: int = 5, **wish: object) -> list[str]:
        return [item.item_id for item in (await self.ask(user, limit, **wish)).items]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """`await make(setting=...)`: further calls are further processes on the same database and folder."""
    async for one in _made(f"sqlite:///{tmp_path}/holdfast.db", tmp_path):
        yield one


@pytest.fixture
async def make_on_postgres(postgres_database: str, tmp_path: Path) -> AsyncIterator[Make]:
    """As `make`, on PostgreSQL."""
    async for one in _made(postgres_database, tmp_path):
        yield one


async def _made(url: str, tmp_path: Path) -> AsyncIterator[Make]:
    worlds: list[World] = []

    async def one(*, flags: Flags | None = None, log: EventLog | None = None, **settings: object) -> World:
        clock = worlds[0].clock if worlds else ManualClock()
        sql = open_sql(url, tmp_path, SystemClock(), PATIENT)
        await sql.start()
        await migrate(sql, {"recommend": store.MIGRATIONS}, clock.wall)
        config = Config(**settings)  # type: ignore[arg-type] # the test names settings of any type
        engine = Engine(
            config,
            release=Release(config, flags or NoFlags()),
            sql=sql,
            log=log or NoEventLog(),
            meter=NoMeter(),
            clock=clock,
            ids=IdSource(),
            data_dir=tmp_path,
            uniform=random.Random(7).random,
        )
        await engine.start()
        world = World(engine, sql, clock, tmp_path)
        worlds.append(world)
        return world

    yield one
    for world in worlds:
        await world.engine.stop()
        await world.sql.stop()


@pytest.fixture
async def world(make: Make) -> World:
    return await make()


def taste_groups(groups: int = 3, size: int = 12) -> Sequence[Sequence[str]]:
    """Ids of items in groups: whoever likes one of a group likes the others."""
    return [[f"g{group}-{number}" for number in range(size)] for group in range(groups)]


async def liked_by_groups(world: World, users: int = 40, each: int = 6) -> None:
    """People of three tastes; a log with something to learn. Deterministic."""
    groups = taste_groups()
    await world.items(*(item for group in groups for item in group))
    chance = random.Random(3)
    for user in range(users):
        await world.did(f"u{user}", *chance.sample(groups[user % 3], each))
