"""The log of what was shown: written behind, kept while the database is away, loaded at the start."""

import asyncio

import pytest

from holdfast.kernel.errors import Unavailable
from holdfast.ports.services import NoMeter
from holdfast.rooms.recommend.engine.scoring import Pick
from holdfast.rooms.recommend.engine.shown import ShownLog
from holdfast.rooms.recommend.rules.exposure import Exposure
from tests.rooms.recommend.conftest import Make, World


class Away:
    """A database that does not answer, then does."""

    def __init__(self) -> None:
        self.away = True
        self.rows: list[object] = []

    async def run_many(self, statement: object, rows: list[object]) -> int:
        if self.away:
            raise Unavailable("away")
        self.rows.extend(rows)
        return len(rows)


async def test_rows_wait_for_a_database_that_is_away() -> None:
    sql = Away()
    log = ShownLog(sql, Exposure(100, 0.5), NoMeter())  # type: ignore[arg-type] # only run_many is used
    log.note("a1", "u", [Pick(1, 0.5), Pick(2, 0.4, propensity=0.1, explored=True)], 1000)
    with pytest.raises(Unavailable):
        await log.flush()
    log.note("a2", "u", [Pick(3, 0.5)], 2000)
    sql.away = False
    await log.flush()
    assert [(row["answer_id"], row["position"], row["item_no"]) for row in sql.rows] == [  # type: ignore[index] # rows are dicts
        ("a1", 0, 1),
        ("a1", 1, 2),
        ("a2", 0, 3),
    ]
    await log.flush()
    assert len(sql.rows) == 3


async def test_rows_of_a_write_that_was_cancelled_wait_for_the_next() -> None:
    """The background is cancelled where it does not stop in time; what it was at is written at the end."""
    began = asyncio.Event()

    class Slow(Away):
        async def run_many(self, statement: object, rows: list[object]) -> int:
            began.set()
            if self.away:
                await asyncio.Event().wait()
            return await super().run_many(statement, rows)

    sql = Slow()
    log = ShownLog(sql, Exposure(100, 0.5), NoMeter())  # type: ignore[arg-type] # only run_many is used
    log.note("a1", "u", [Pick(1, 0.5)], 1000)
    background = asyncio.create_task(log.flush())
    await began.wait()
    background.cancel()
    with pytest.raises(asyncio.CancelledError):
        await background
    sql.away = False
    await log.flush()
    assert len(sql.rows) == 1


async def test_a_restart_remembers_what_was_shown(make: Make) -> None:
    world: World = await make()
    await world.items(*(f"i{n}" for n in range(10)))
    shown = {user: await world.shown(user, 3) for user in ("a", "b")}
    await world.engine.shown.flush()
    again = await make()
    for item in {item for items in shown.values() for item in items}:
        number = again.engine.keeper.catalogue.number[item]
        expected = sum(item in items for items in shown.values()) / 2
        assert again.engine.shown.exposure.share(number) == expected


async def test_old_rows_are_forgotten(make: Make) -> None:
    world = await make(keep_shown_days=1.0)
    await world.items("a", "b")
    await world.shown("u", 2)
    await world.engine.refresh()
    world.clock.advance(3 * 86_400)
    await world.engine.refresh()
    from sqlalchemy import func, select

    from holdfast.rooms.recommend import store

    assert await world.sql.fetch(select(func.count()).select_from(store.shown)) == [(0,)]
