"""Scores, on SQLite and on PostgreSQL: the first of each answer, erased with it."""

import asyncio

from holdfast.rooms.conversations.rules.ratings import Rating
from holdfast.rooms.conversations.store.ratings import Ratings
from holdfast.rooms.conversations.store.store import Store
from tests.rooms.conversations.store.test_store import claim, conversation, turn


async def test_of_many_at_once_one_score_is_kept(sql):
    store, ratings = Store(sql), Ratings(sql)
    await store.add(conversation("c"))
    await turn(store, "c", 1, "hello")
    given = [Rating(score, "좋아요", 7) for score in (1, -1, 1, -1, 1, -1, 1, -1)]
    added = await asyncio.gather(*(ratings.add("c", 2, one) for one in given))
    assert sum(added) == 1
    assert await ratings.get("c", 2) == given[added.index(True)]


async def test_only_an_answer_that_has_ended_takes_one(sql):
    store, ratings = Store(sql), Ratings(sql)
    await store.add(conversation("c"))
    await turn(store, "c", 1, "hello")
    await claim(store, "c", 3)
    for seq in (1, 3, 4, 6, 0):
        assert not await ratings.add("c", seq, Rating(1, "", 7))
        assert await ratings.get("c", seq) is None
    assert not await ratings.add("elsewhere", 2, Rating(1, "", 7))


async def test_scores_are_erased_with_their_conversation(sql):
    store, ratings = Store(sql), Ratings(sql)
    for name in ("c", "other"):
        await store.add(conversation(name))
        await turn(store, name, 1, "hello")
        assert await ratings.add(name, 2, Rating(1, "", 7))
    await store.erase(["c"])
    assert await ratings.get("c", 2) is None
    assert await ratings.get("other", 2) is not None
