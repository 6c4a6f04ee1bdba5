"""What is kept in memory: of whom, as of when, and what happens where there is no place for it."""

import asyncio

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import Unavailable
from holdfast.rooms.knowledge.engine.keeper import FRESH_S, IDLE_S, Keeper
from holdfast.rooms.knowledge.engine.lexical import Lexical
from holdfast.rooms.knowledge.rules.stored import Filter
from holdfast.rooms.knowledge.store.sweeping import Sweeper
from tests.rooms.knowledge.databases import ACME, NOW, serving
from tests.rooms.knowledge.databases import sql as sql
from tests.rooms.knowledge.databases import store as store


@pytest.fixture
def clock():
    return ManualClock()


async def test_what_has_changed_is_taken_in_and_what_has_not_stays(store, clock):
    keeper = Keeper(store, clock)
    first = await serving(store, "a", ["바나나는 노랗다", "사과는 빨갛다"])
    before = await keeper.of("acme")
    assert list(before.versions) == [first.no]
    assert await keeper.of("acme") is before
    second = await serving(store, "b", ["망고는 달다"])
    clock.advance(FRESH_S)
    after = await keeper.of("acme")
    assert list(after.versions) == [first.no, second.no]
    assert [hit.chunk for hit in after.best(["망고"], 9)] == [second.no << 20]
    assert [hit.chunk for hit in after.best(["사과"], 9)] == [(first.no << 20) + 1]


async def test_while_it_is_behind_the_database_answers(store, clock):
    keeper = Keeper(store, clock)
    await serving(store, "a", ["바나나는 노랗다"])
    assert await keeper.of("acme") is not None
    clock.advance(FRESH_S / 2)
    version = await serving(store, "b", ["망고는 달다"])
    assert await keeper.of("acme") is None
    found = await Lexical(store, clock, keeper).search(ACME, "망고", 3)
    assert [hit.chunk for hit in found] == [version.no << 20]


async def test_another_version_takes_the_place_of_the_one_before(store, clock):
    keeper = Keeper(store, clock)
    await serving(store, "a", ["바나나는 노랗다"])
    await keeper.of("acme")
    version = await serving(store, "a", ["바나나는 초록이다", "망고는 달다"])
    clock.advance(FRESH_S)
    kept = await keeper.of("acme")
    assert [hit.chunk for hit in kept.best(["바나"], 9)] == [version.no << 20]


async def test_what_is_deleted_or_erased_is_forgotten(sql, store, clock):
    keeper, sweeper = Keeper(store, clock), Sweeper(sql, store.index)
    gone = await serving(store, "a", ["바나나는 노랗다"])
    stays = await serving(store, "b", ["바나나는 달다"])
    assert len((await keeper.of("acme")).best(["바나"], 9)) == 2
    await sweeper.delete("acme", gone.document_id, NOW)
    clock.advance(FRESH_S)
    assert [hit.chunk for hit in (await keeper.of("acme")).best(["바나"], 9)] == [stays.no << 20]
    await sweeper.erase("acme", NOW)
    assert len(await keeper.of("acme")) == 0


async def test_tenants_are_apart(store, clock):
    keeper = Keeper(store, clock)
    await serving(store, "a", ["바나나는 노랗다"])
    theirs = await serving(store, "a", ["바나나는 달다"], tenant="other")
    found = await Lexical(store, clock, keeper).search(Filter("other"), "바나나", 9)
    assert [hit.chunk for hit in found] == [theirs.no << 20]


async def test_a_tenant_with_too_many_chunks_is_looked_at_again_after_a_while(store, clock):
    keeper = Keeper(store, clock, chunks=2)
    await serving(store, "a", ["하나", "바나나", "셋"])
    assert await keeper.of("acme") is None
    await serving(store, "a", ["바나나"])
    clock.advance(IDLE_S - 1)
    assert await keeper.of("acme") is None
    clock.advance(1)
    assert len((await keeper.of("acme")).best(["바나"], 9)) == 1


async def test_whoever_is_asked_for_keeps_the_place(store, clock):
    keeper = Keeper(store, clock, pairs=1)
    for tenant in ("acme", "other"):
        await serving(store, "a", ["바나나는 노랗다"], tenant=tenant)
    assert await keeper.of("acme") is not None
    assert await keeper.of("other") is None
    clock.advance(IDLE_S)
    assert await keeper.of("other") is not None
    assert await keeper.of("acme") is None


async def test_whoever_has_grown_makes_no_room_for_the_others_to_grow(store, clock):
    for tenant in ("acme", "other"):
        await serving(store, "a", ["바나나"], tenant=tenant)
    size = len(await Keeper(store, clock).of("acme"))
    keeper = Keeper(store, clock, pairs=size + 1)
    assert await keeper.of("acme") is not None
    assert await keeper.of("other") is not None
    for tenant, is_kept in (("acme", True), ("other", False)):
        clock.advance(FRESH_S)
        await serving(store, "b", ["망고", "사과"], tenant=tenant)
        assert (await keeper.of(tenant) is not None) == is_kept


async def test_nobody_waits_while_it_is_read(store, clock, monkeypatch):
    keeper = Keeper(store, clock)
    await serving(store, "a", ["바나나는 노랗다"])
    reading, go_on = asyncio.Event(), asyncio.Event()
    packed = store.index.packed

    async def held_up(versions):
        reading.set()
        await go_on.wait()
        return await packed(versions)

    monkeypatch.setattr(store.index, "packed", held_up)
    first = asyncio.create_task(keeper.of("acme"))
    await reading.wait()
    assert await keeper.of("acme") is None
    go_on.set()
    assert await first is not None
    assert await keeper.of("acme") is await first


async def test_what_cannot_be_read_is_left_to_the_database_for_a_moment(store, clock, monkeypatch):
    keeper = Keeper(store, clock)
    await serving(store, "a", ["바나나는 노랗다"])

    async def broken(versions):
        raise Unavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(store.index, "packed", broken)
        with pytest.raises(Unavailable):
            await keeper.of("acme")
    assert await keeper.of("acme") is None
    clock.advance(FRESH_S)
    assert await keeper.of("acme") is not None


async def test_many_versions_are_read_a_part_at_a_time(store, clock, monkeypatch):
    monkeypatch.setattr("holdfast.rooms.knowledge.engine.keeper._VERSIONS", 2)
    for name in "abcde":
        await serving(store, name, [f"바나나 {name}", f"사과 {name}"])
    kept = await Keeper(store, clock).of("acme")
    assert len(kept.best(["바나"], 9)) == len(kept.best(["사과"], 9)) == 5
