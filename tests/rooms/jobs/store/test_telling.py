"""What the broker was told of, on both databases."""

import pytest

from holdfast.rooms.jobs.store.store import Store
from holdfast.rooms.jobs.store.telling import Telling
from holdfast.rooms.jobs.store.upkeep import Upkeep
from tests.rooms.jobs.store.test_store import NOW, ended, new


@pytest.fixture
def store(ledger):
    return Store(ledger)


@pytest.fixture
def telling(ledger):
    return Telling(ledger)


async def test_it_is_told_of_what_is_ready_and_again_after_an_end(store, telling):
    await store.add_all([new(published_ms=0), new(published_ms=0), new()])
    first = await telling.untold("bulk", [("100", 10)])
    assert [(each.name, each.queue, each.told_ms, each.times) for each in first] == [
        ("count", "bulk", 0, 0)
    ] * 2
    await telling.published(first, NOW)
    assert await telling.untold("bulk", [("100", 10)]) == []
    assert await telling.outstanding() == {"bulk": 2}
    assert [(each.told_ms, each.times) for each in await telling.told("bulk")] == [(NOW, 1)] * 2
    job = await store.claim_one(first[0].id, "w1", NOW)
    assert await telling.outstanding() == {"bulk": 1}
    await store.follow([], [ended(job, "available", outcome="returned", counts=False)])
    assert [each.id for each in await telling.untold("bulk", [("100", 10)])] == [job.id]
    assert await telling.adopt() == 1
    assert await telling.adopt() == 0
    assert len(await telling.untold("bulk", [("100", 10)])) == 2


async def test_lanes_come_in_order_and_those_told_of_are_left_out(store, telling):
    await store.add_all([new(lane=lane, published_ms=0) for lane in ("100b", "100b", "050a", "100a")])
    await store.add_all([new(lane="000z"), new(queue="ai", lane="100q", published_ms=0)])
    assert await telling.lanes("bulk") == ["050a", "100a", "100b"]
    assert await telling.lanes("rag") == []
    some = await telling.untold("bulk", [("050a", 9), ("100b", 1)])
    assert len(some) == 2
    await telling.published(some, NOW)
    assert await telling.lanes("bulk") == ["100a", "100b"]


async def test_late_news_of_a_job_that_came_back_is_no_news(store, telling):
    """It was claimed and came back between the broker's answer and our note of it: it is told again."""
    await store.add(new(published_ms=0))
    told = await telling.untold("bulk", [("100", 1)])
    job = await store.claim_one(told[0].id, "w1", NOW)
    await telling.published(told, NOW)
    await store.follow([], [ended(job, "available", outcome="lost")])
    await telling.published(told, NOW)
    assert await telling.outstanding() == {}
    assert [each.id for each in await telling.untold("bulk", [("100", 1)])] == [job.id]


async def test_a_queue_that_goes_on_is_told_of_anew(ledger, store, telling):
    upkeep = Upkeep(ledger)
    await store.add_all([new(published_ms=0), new(queue="ai", published_ms=0)])
    for queue in ("bulk", "ai"):
        await telling.published(await telling.untold(queue, [("100", 1)]), NOW)
    await upkeep.pause("bulk", True)
    assert await telling.untell("bulk") == 1
    assert await telling.outstanding() == {"ai": 1}
    assert await telling.lanes("bulk") == ["100"]
