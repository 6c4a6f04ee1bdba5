"""Definitions are kept whole, one change after another, on both databases."""

import asyncio

import msgspec
import pytest

from holdfast.rooms.experiments.rules.flags import (
    BUCKETS,
    Condition,
    Flag,
    Holdout,
    Lane,
    Layer,
    Rule,
    Segment,
    Split,
)
from holdfast.rooms.experiments.rules.problems import BadDefinition, Stale, UnknownName
from holdfast.rooms.experiments.store.rules import RuleStore

SPLIT = Rule(split=Split((Lane("treatment", BUCKETS),), 500))
FLAG = Flag("ranker", {"control": "old", "treatment": "new"}, rules=(SPLIT,), description="새 추천")


@pytest.fixture
def store(database):
    return RuleStore(database)


async def put(store, flag, actor="kim", at_ms=7):
    async with store.sql.transaction() as tx:
        return await store.put_flag(tx, flag, actor, at_ms)


async def version_of(store):
    version, _ = await store.stamp()
    return version


def rolled_out(flag, rollout):
    rule = msgspec.structs.replace(SPLIT, split=msgspec.structs.replace(SPLIT.split, rollout=rollout))
    return msgspec.structs.replace(flag, rules=(rule,))


async def test_nothing_is_version_zero(store):
    assert await version_of(store) == 0
    assert (await store.load()).flags == {}


async def test_a_flag_is_read_as_it_was_put_with_a_salt_drawn(store):
    kept = await put(store, FLAG)
    assert kept.salt
    assert kept.generation == 1
    assert (await store.load()).flags == {"ranker": kept}
    assert await version_of(store) == (await store.load()).version == 1


async def test_a_version_says_when_it_was_made(store):
    assert (await store.stamp(), (await store.load()).made_ms) == ((0, 0), 0)
    await put(store, FLAG, at_ms=8)
    assert (await store.stamp(), (await store.load()).made_ms) == ((1, 8), 8)


async def test_a_change_keeps_the_salt(store):
    kept = await put(store, FLAG)
    changed = await put(store, msgspec.structs.replace(kept, salt="", description="x"))
    assert changed.salt == kept.salt


async def test_a_change_on_what_no_longer_stands_is_stale(store):
    kept = await put(store, FLAG)
    await put(store, kept)
    for stale in (FLAG, kept):
        with pytest.raises(Stale) as refused:
            await put(store, stale)
        assert refused.value.members["generation"] == 2
    assert await version_of(store) == 2


async def test_what_fails_with_the_callers_transaction_never_was(store):
    async def fails_later():
        async with store.sql.transaction() as tx:
            await store.put_flag(tx, FLAG, "kim", 7)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails_later()
    assert (await store.load()).flags == {}
    assert await version_of(store) == 0
    assert await store.history("ranker") == []


async def test_one_transaction_may_change_several_things(store):
    async with store.sql.transaction() as tx:
        await store.put_layer(tx, Layer("page"), "kim", 7)
        await store.put_flag(tx, msgspec.structs.replace(FLAG, layer="page", slots=(0, 5000)), "kim", 7)
    found = await store.load()
    assert found.version == 2
    assert found.layers["page"].salt


async def test_eight_contenders_each_change_what_the_last_one_left(store):
    await put(store, FLAG)

    async def raise_rollout():
        async with store.sql.transaction() as tx:
            await store.change_flag(
                tx, "ranker", lambda flag: rolled_out(flag, flag.rules[0].split.rollout + 1), "c", 8
            )

    await asyncio.gather(*(raise_rollout() for _ in range(8)))
    found = await store.load()
    assert found.flags["ranker"].rules[0].split.rollout == 508
    assert found.flags["ranker"].generation == found.version == 9


async def test_of_eight_contenders_on_one_generation_one_wins(store):
    kept = await put(store, FLAG)
    outcomes = await asyncio.gather(
        *(put(store, rolled_out(kept, 600 + n)) for n in range(8)), return_exceptions=True
    )
    assert sum(isinstance(each, Flag) for each in outcomes) == 1
    assert sum(isinstance(each, Stale) for each in outcomes) == 7
    assert await version_of(store) == 2


async def test_a_change_that_changes_nothing_makes_no_version(store):
    kept = await put(store, FLAG)
    async with store.sql.transaction() as tx:
        assert await store.change_flag(tx, "ranker", lambda flag: flag, "kim", 8) == kept
    assert await version_of(store) == 1


async def test_who_changed_what_and_when_is_written_down(store):
    kept = await put(store, FLAG, "kim", 7)
    await put(store, rolled_out(kept, 2500), "release ranker", 8)
    await store.override("ranker", 42, "treatment", "lee", 9)
    override, change, creation = await store.history("ranker")
    assert (creation.actor, creation.at_ms, creation.before) == ("kim", 7, None)
    assert change.before["rules"][0]["split"]["rollout"] == 500
    assert change.after["rules"][0]["split"]["rollout"] == 2500
    assert (override.kind, override.after) == ("override", {"unit": "42", "variant": "treatment"})
    assert [each.version for each in (override, change, creation)] == [3, 2, 1]


async def test_overrides_are_of_normalised_units_and_go_with_their_flag(store):
    await put(store, FLAG)
    assert await store.override("ranker", 42, "treatment", "kim", 8) == "42"
    await store.override("ranker", " 42 ", "control", "kim", 8)
    assert (await store.load()).overrides == {"ranker": {"42": "control"}}
    await store.override("ranker", "43", "control", "kim", 8)
    await store.override("ranker", "42", None, "kim", 8)
    assert (await store.load()).overrides == {"ranker": {"43": "control"}}
    async with store.sql.transaction() as tx:
        await store.delete_flag(tx, "ranker", "kim", 9)
    assert (await store.load()).overrides == {}
    assert (await store.history("ranker"))[0].after is None


async def test_an_override_of_what_is_not_there_is_refused(store):
    await put(store, FLAG)
    with pytest.raises(UnknownName, match="rankr"):
        await store.override("rankr", "1", "control", "kim", 8)
    with pytest.raises(BadDefinition) as refused:
        await store.override("ranker", "1", "treatmnt", "kim", 8)
    assert "treatment" in refused.value.hint
    for nobody in (True, "", None):
        with pytest.raises(BadDefinition):
            await store.override("ranker", nobody, "control", "kim", 8)
    assert await version_of(store) == 1


async def test_a_variant_that_an_override_gives_does_not_go(store):
    kept = await put(store, FLAG)
    await store.override("ranker", "1", "treatment", "kim", 8)
    with pytest.raises(BadDefinition, match="override"):
        await put(store, msgspec.structs.replace(kept, variants={"control": "old"}, rules=()))


async def test_segments_layers_and_the_holdout_are_kept(store):
    segment = Segment("staff", ((Condition("email", "ends_with", "@example.com"),),))
    async with store.sql.transaction() as tx:
        await store.put_segment(tx, segment, "kim", 7)
        await store.put_layer(tx, Layer("page"), "kim", 7)
        await store.put_holdout(tx, Holdout(100), "kim", 7)
    found = await store.load()
    assert found.segments == {"staff": msgspec.structs.replace(segment, generation=1)}
    assert found.layers["page"].salt
    assert found.holdout.salt
    assert found.holdout.share == 100
    async with store.sql.transaction() as tx:
        moved = await store.put_holdout(tx, Holdout(200, generation=1), "kim", 8)
    assert (moved.salt, moved.generation) == (found.holdout.salt, 2)


async def test_what_a_flag_needs_does_not_go(store):
    async with store.sql.transaction() as tx:
        await store.put_segment(tx, Segment("staff", ((Condition("a", "exists"),),)), "kim", 7)
        await store.put_layer(tx, Layer("page"), "kim", 7)
        rules = (Rule(segments=("staff",), variant="treatment"),)
        await store.put_flag(
            tx, msgspec.structs.replace(FLAG, rules=rules, layer="page", slots=(0, 1)), "kim", 7
        )
    async with store.sql.transaction() as tx:
        with pytest.raises(BadDefinition, match="ranker"):
            await store.delete_segment(tx, "staff", "kim", 8)
        with pytest.raises(BadDefinition, match="ranker"):
            await store.delete_layer(tx, "page", "kim", 8)
    async with store.sql.transaction() as tx:
        await store.delete_flag(tx, "ranker", "kim", 9, generation=1)
        await store.delete_segment(tx, "staff", "kim", 9)
        await store.delete_layer(tx, "page", "kim", 9)
    assert (await store.load()).segments == {}


async def test_what_code_offers_is_what_releases_may_have(store):
    store.offered["ranker"] = ("control", "treatment")
    with pytest.raises(BadDefinition) as refused:
        await put(store, Flag("ranker", {"control": 1, "treatmnt": 2}, kind="release"))
    assert "treatment" in refused.value.hint
    await put(store, msgspec.structs.replace(FLAG, kind="release"))
