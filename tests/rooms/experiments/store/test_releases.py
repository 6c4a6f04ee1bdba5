"""What the tables of releases promise, on both databases."""

import asyncio

from sqlalchemy import update

from holdfast.rooms.experiments.rules.releases import Release
from holdfast.rooms.experiments.store.release_rows import Mark, Minute, Point, Run
from holdfast.rooms.experiments.store.release_tables import releases
from holdfast.rooms.experiments.store.releases import ReleaseStore

MINA = Mark("ranker", 1, "errors", "treatment", "bad", "mina", 28, 1_700_000)


async def count(store, process, n, bad):
    async with store.sql.transaction() as tx:
        row = {"release": "ranker", "period": 1, "process": process, "arm": "control", "gate": "errors"}
        await store.count(tx, [row | {"n": n, "bad": bad}])


async def marked(store, process, flush, *marks):
    async with store.sql.transaction() as tx:
        await store.mark(tx, process, flush, marks)
        return await store.marked(tx, process, flush)


async def test_of_eight_who_move_a_release_one_does(database):
    store = ReleaseStore(database)
    async with database.transaction() as tx:
        assert await store.add(tx, Release("ranker"), 1)
        assert not await store.add(tx, Release("ranker", description="another"), 2)
    was = await store.one("ranker")

    async def move():
        async with database.transaction() as tx:
            return await store.move(tx, was, was)

    assert sorted(await asyncio.gather(*(move() for _ in range(8)))) == [False] * 7 + [True]
    now = await store.one("ranker")
    assert (now.turn, now.definition) == (1, Release("ranker"))


async def test_of_two_who_tell_a_decision_one_was_first(database):
    store = ReleaseStore(database)
    async with database.transaction() as tx:
        await store.add(tx, Release("ranker"), 1)
    assert sorted(await asyncio.gather(*(store.told("ranker", 1) for _ in range(4)))) == [False] * 3 + [True]
    assert await store.told("ranker", 2)


async def test_sums_of_processes_add_up_and_never_go_back(database):
    store = ReleaseStore(database)
    await count(store, "a", 10, 1)
    await count(store, "b", 5, 0)
    await count(store, "a", 12, 2)
    await count(store, "a", 12, 2)
    await count(store, "a", 3, 0)
    [found] = await store.sums("ranker", 1)
    assert (found.n, found.bad) == (17, 2)
    assert await store.sums("ranker", 2) == []
    await store.forget_counts("ranker", 2)
    assert await store.sums("ranker", 1) == []


async def test_a_mark_is_of_who_was_first_and_of_the_same_write_again(database):
    store = ReleaseStore(database)
    assert await marked(store, "a", 1, MINA) == [MINA]
    assert await marked(store, "b", 1, MINA) == []
    assert await marked(store, "a", 1, MINA) == [MINA]
    assert await marked(store, "a", 2, MINA) == []


async def test_processes_that_mark_the_same_units_at_once_do_not_wait_in_a_ring(database):
    store = ReleaseStore(database)
    units = [Mark("ranker", 1, "errors", "control", "bad", f"unit-{n}", 1, 60_000) for n in range(100)]
    found = await asyncio.gather(
        *(marked(store, f"process-{n}", 1, *(units if n % 2 else reversed(units))) for n in range(4))
    )
    assert sum(map(len, found)) == 100


async def test_a_path_is_thinned_and_its_crossings_stay(database):
    store = ReleaseStore(database)
    async with database.transaction() as tx:
        for ordinal in range(1, 9):
            await store.keep_point(tx, "ranker", 1, Point(ordinal, 0, int(ordinal == 3), 0, "{}"))
        await store.keep_point(tx, "ranker", 1, Point(9, 1, 0, 0, "{}"))
        await store.thin(tx, "ranker", 1, 0, 4)
    assert [point.ordinal for point in await store.points("ranker", 1)] == [3, 4, 8, 9]


async def test_the_last_word_of_each_process(database):
    store = ReleaseStore(database)
    for beat, process in enumerate(("a", "b", "a")):
        async with database.transaction() as tx:
            await store.say_recent(tx, "ranker", 1, process, beat, Minute(treatment_successes=beat))
    said = {each.process: each for each in await store.recents("ranker", 1)}
    assert {process: (each.number, each.recent.treatment_successes) for process, each in said.items()} == {
        "a": (2, 2),
        "b": (1, 1),
    }


async def test_a_version_that_was_rolled_back_is_remembered(database):
    store = ReleaseStore(database)
    for run, ending in enumerate(("promoted", "rolled_back"), 1):
        async with database.transaction() as tx:
            await store.begin_run(tx, "ranker", Run(run=run, version=f"v{run}", started_ms=run))
            await store.end_run(tx, "ranker", run, ending, "slow", 9)
    assert await store.rejected("ranker", "v1") is None
    assert await store.rejected("ranker", "v2") == "slow"
    await store.report("ranker", 2, "{}")
    assert [(run.ending, run.report) for run in await store.runs("ranker")] == [
        ("promoted", None),
        ("rolled_back", "{}"),
    ]


async def test_actions_are_remembered_by_their_latest(database):
    store = ReleaseStore(database)
    await store.tracked({"vote": 5, "click": 9})
    await store.tracked({"vote": 3})
    assert await store.actions() == ["click", "vote"]
    assert await store.is_tracked("vote")
    assert not await store.is_tracked("votes")


async def test_of_actions_only_those_seen_last_are_kept(database):
    store = ReleaseStore(database)
    await store.tracked({"old": 1, "d": 5, "b": 5, "c": 5, "new": 9})
    await store.forget_actions(5)
    assert len(await store.actions()) == 5
    await store.forget_actions(3)
    assert sorted(await store.actions()) == ["b", "c", "new"]
    await store.forget_actions(3)
    assert sorted(await store.actions()) == ["b", "c", "new"]


async def test_a_row_that_cannot_be_read_keeps_no_other_from_being_judged(database):
    store = ReleaseStore(database)
    async with database.transaction() as tx:
        for name in ("ranker", "prompt"):
            await store.add(tx, Release(name), 1)
    for standing in await store.all():
        async with database.transaction() as tx:
            running = type(standing)(name=standing.name, definition=standing.definition, status="running")
            await store.move(tx, standing, running)
    await database.run(update(releases).where(releases.c.name == "prompt").values(definition='{"new": 1}'))
    assert [standing.name for standing in await store.alive()] == ["ranker"]
