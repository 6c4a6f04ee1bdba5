"""The statements on PostgreSQL: the same life as on SQLite, from the first import to the way back."""

import asyncio
from pathlib import Path

from sqlalchemy import text

from holdfast.rooms.recommend.engine.demo import ITEMS, seed_demo
from holdfast.rooms.recommend.engine.feedback import Action
from holdfast.rooms.recommend.engine.importing import Plan, import_interactions
from holdfast.rooms.recommend.engine.reading import Source
from holdfast.rooms.recommend.engine.writing import add_events, items_of, users_of
from holdfast.rooms.recommend.rules.events import event_id
from tests.rooms.recommend.conftest import Make
from tests.waiting import until


async def test_the_whole_life_on_postgres(make_on_postgres: Make, tmp_path: Path) -> None:
    here, there = await make_on_postgres(), await make_on_postgres()
    await seed_demo(here.engine)
    await there.engine.refresh()
    assert len(there.engine.keeper.catalogue) == ITEMS
    answer = await there.ask("user-0", 8, explain=True)
    for item in answer.items:
        assert abs(sum(part.part for part in item.parts) - item.score) < 1e-5
    first = answer.items[0].item_id
    receipts = await asyncio.gather(
        *(world.engine.feedback.take("user-0", [Action(first, "like")], "key") for world in (here, there) * 6)
    )
    assert len({tuple(receipt.event_ids) for receipt in receipts}) == 1
    assert first not in await here.shown("user-0", 100)
    await asyncio.gather(
        *(
            world.engine.feedback.take(f"new-{n}", [Action(f"item-{n:03}")])
            for n in range(12)
            for world in (here, there)
        )
    )
    await here.engine.refresh()
    assert (await here.engine.recommender.trending(3, "")).items
    path = tmp_path / "log.csv"
    path.write_text("user,item,rating\n민수,새 상품,5\nuser-0,item-001,2\n")
    for added in (2, 0):
        assert (await import_interactions(here.sql, here.clock, Source(path), Plan())).added == added
    await there.engine.train()
    await here.engine.rollback()
    await there.engine.refresh()
    assert there.engine.keeper.knowledge.version == 1


async def test_an_event_that_two_processes_append_at_once_is_new_to_one(make_on_postgres: Make) -> None:
    one, other = await make_on_postgres(), await make_on_postgres()
    await one.items("a")
    await one.did("u", "a")

    async def waits() -> bool:
        """Whether somebody waits for what another transaction is about to write."""
        asked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        return bool((await one.sql.fetch(text(f"{asked} and datname = current_database()")))[0][0])

    async with one.sql.transaction() as tx:
        event = {"event_id": event_id("own", "u", "click"), "kind": "view", "weight": 1.0}
        event |= {"at_ms": 1, "received_ms": 1, "user_no": (await users_of(tx, ["u"]))["u"]}
        event |= {"item_no": (await items_of(tx, ["a"], create=False))["a"]}
        assert await add_events(tx, [event]) == {event["event_id"]}
        later = asyncio.create_task(other.engine.feedback.take("u", [Action("a", id="click")]))
        await until(waits)
    receipt = await later
    assert (receipt.accepted, receipt.duplicates) == (0, 1)


async def test_many_writers_number_items_and_users_without_gaps_or_doubles(
    make_on_postgres: Make, tmp_path: Path
) -> None:
    worlds = [await make_on_postgres() for _ in range(3)]
    files = []
    for number in range(9):
        path = tmp_path / f"{number}.csv"
        path.write_text("user,item\n" + "".join(f"u{n % 40},i{(n * 7 + number) % 60}\n" for n in range(200)))
        files.append(path)
    await asyncio.gather(
        *(
            import_interactions(worlds[n % 3].sql, worlds[0].clock, Source(path), Plan())
            for n, path in enumerate(files)
        )
    )
    for world in worlds:
        await world.engine.refresh()
        assert sorted(world.engine.keeper.catalogue.ids) == sorted(f"i{n}" for n in range(60))
        assert world.engine.keeper.catalogue.ids == worlds[0].engine.keeper.catalogue.ids
