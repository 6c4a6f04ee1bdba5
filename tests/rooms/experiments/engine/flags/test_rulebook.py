"""Every process goes by the newest rules it can see, and by the last ones while it sees none."""

import msgspec
import pytest
from sqlalchemy import delete

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import Unavailable
from holdfast.rooms.experiments.engine.flags.rulebook import LOOKS_TO_GO_BACK, Rulebook
from holdfast.rooms.experiments.rules.flags import Ruleset
from holdfast.rooms.experiments.store.rules import RAISE, REMOVE
from holdfast.rooms.experiments.store.rules_tables import history
from holdfast.stores.open import open_shared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.rooms.experiments.world import Dying, Process, rolled
from tests.waiting import until


def variants(process):
    return process.changes.variant("ranker", "u")


async def test_a_change_is_seen_by_looking_alone(database):
    one, two = Process(database), Process(database)
    kept = await one.put(rolled(0))
    assert (variants(one), two.rulebook.ruleset.flags) == ("control", {})
    await two.rulebook.refresh()
    assert variants(two) == "control"
    await one.put(msgspec.structs.replace(rolled(), generation=kept.generation))
    await two.rulebook.refresh()
    assert (variants(one), variants(two)) == ("treatment", "treatment")


async def test_a_change_is_told_at_once_over_the_shared_store(sqlite_database, redis_database):
    stores = [
        open_shared(redis_database, SystemClock(), SharedConfig(budget_ms=10_000, connect_timeout_s=20))
        for _ in range(2)
    ]
    for store in stores:
        await store.start()
    one, two = (Process(sqlite_database, shared=store) for store in stores)
    await one.rulebook.start()
    await two.rulebook.start()
    heard = []
    two.rulebook.on_change(lambda ruleset: heard.append(ruleset.version))
    await one.put(rolled())
    await until(lambda: heard)
    assert (heard, variants(two)) == ([1], "treatment")
    for process, store in zip((one, two), stores, strict=True):
        await process.rulebook.stop()
        await store.stop()


async def test_without_its_shared_store_looking_goes_on(sqlite_database, own_redis):
    store = open_shared(own_redis.url, SystemClock(), SharedConfig(budget_ms=1000))
    await store.start()
    one, two = Process(sqlite_database, shared=store), Process(sqlite_database, shared=store)
    await one.rulebook.start()
    own_redis.kill()
    await one.put(rolled())
    await two.rulebook.refresh()
    assert (variants(one), variants(two)) == ("treatment", "treatment")
    await one.rulebook.stop()
    await store.stop()


@pytest.mark.parametrize("failure", [Unavailable("gone"), OSError("gone"), RuntimeError("odd")])
async def test_while_the_store_is_away_the_last_rules_hold(sqlite_database, failure):
    dying = Dying(sqlite_database, failure)
    process = Process(dying)
    await process.put(rolled())
    dying.is_gone = True
    await process.rulebook.refresh()
    assert process.rulebook.stale
    found = process.changes.use("ranker", "u")
    assert (found.variant, found.reason, found.counted) == ("treatment", "STALE", True)
    assert (await process.changes.asking.finding()).status == "degraded"
    dying.is_gone = False
    await process.rulebook.refresh()
    assert process.changes.use("ranker", "u").reason == "SPLIT"
    assert (await process.changes.asking.finding()).status == "ok"


async def test_a_process_starts_without_its_store_and_knows_no_flag(sqlite_database):
    dying = Dying(sqlite_database, Unavailable("gone"))
    dying.is_gone = True
    process = Process(dying)
    await process.rulebook.start()
    assert (
        process.changes.variant("ranker", "u", otherwise="what it does by itself") == "what it does by itself"
    )
    await process.rulebook.stop()


async def test_it_never_goes_back_to_older_rules():
    class Replica:
        answers = iter([(5, 5), (6, 4), (3, 3), (7, 7)])

        async def stamp(self):
            self.answer = next(self.answers)
            return self.answer[0], 0

        async def load(self):
            return Ruleset(self.answer[1])

    rulebook, seen = Rulebook(Replica()), []
    for _ in range(4):
        await rulebook.refresh()
        seen.append(rulebook.ruleset.version)
    assert seen == [5, 5, 5, 7]


async def test_a_store_that_was_restored_from_a_backup_is_believed_after_a_while():
    class Restored:
        at = 100

        async def stamp(self):
            return self.at, 0

        async def load(self):
            return Ruleset(self.at)

    store = Restored()
    rulebook = Rulebook(store)
    await rulebook.refresh()
    store.at = 90
    for _ in range(LOOKS_TO_GO_BACK - 1):
        await rulebook.refresh()
    assert rulebook.ruleset.version == 100
    await rulebook.refresh()
    assert rulebook.ruleset.version == 90
    store.at = 91
    await rulebook.refresh()
    assert rulebook.ruleset.version == 91


async def test_a_kill_switch_works_though_a_restored_database_gives_its_number_a_second_time(database):
    """A failover that lost the last change: the next one gets the version that every process has seen."""
    one, two = Process(database), Process(database)
    kept = await one.put(rolled())
    await one.put(msgspec.structs.replace(kept, description="lost"))
    await two.rulebook.refresh()
    async with database.transaction() as tx:
        store = one.changes.rules
        await tx.run(REMOVE, {"of_kind": "flag", "of_name": "ranker"})
        await tx.run(delete(history))
        await tx.run(RAISE, {"to": 0})
        await store.put_flag(tx, msgspec.structs.replace(kept, generation=0), "test", 1)
    one.clock.advance(60)
    await one.editor.switch("ranker", False, "kim")
    await two.rulebook.refresh()
    assert (await store.stamp())[0] == 2 == one.rulebook.ruleset.version
    assert (variants(one), variants(two)) == ("control", "control")


async def test_a_listener_that_fails_keeps_nobody_from_the_new_rules(sqlite_database, caplog):
    process, seen = Process(sqlite_database), []

    def fails(ruleset):
        raise RuntimeError("mine")

    process.rulebook.on_change(fails)
    process.rulebook.on_change(lambda ruleset: seen.append(ruleset.version))
    await process.put(rolled())
    assert (seen, variants(process)) == ([1], "treatment")
    assert "a listener failed" in caplog.text


async def test_one_definition_that_cannot_be_read_is_left_out(sqlite_database, caplog):
    from sqlalchemy import insert

    from holdfast.rooms.experiments.store.rules_tables import definitions

    process = Process(sqlite_database)
    row = {
        "kind": "flag",
        "name": "newer",
        "generation": 1,
        "body": '{"name":"newer","of":"a later release"}',
    }
    await sqlite_database.run(insert(definitions), row)
    await process.put(rolled())
    assert list(process.rulebook.ruleset.flags) == ["ranker"]
    assert "'newer' cannot be read" in caplog.text
