"""Search by terms through the store: what is found, what is not, and that memory changes neither."""

import random

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.knowledge.engine import lexical as module
from holdfast.rooms.knowledge.engine.keeper import Keeper
from holdfast.rooms.knowledge.engine.lexical import Lexical
from holdfast.rooms.knowledge.rules.stored import Filter
from tests.rooms.knowledge.databases import ACME, NOW, pending, serving
from tests.rooms.knowledge.databases import sql as sql
from tests.rooms.knowledge.databases import store as store

FACTS = [
    "서울의 인구는 약 940만 명이다.",
    "부산은 항구 도시이며 영화제가 열린다.",
    "The library enables caching of answers for a day.",
    "Bees live in hives and make honey.",
    "東京は日本の首都です。",
]


@pytest.fixture(params=["memory", "database"])
def lexical(store, request):
    """Both ways to an answer: what is in memory answers, and what is not."""
    keeper = None if request.param == "memory" else kept_nothing(store)
    return Lexical(store, ManualClock(), keeper)


def kept_nothing(store):
    return Keeper(store, ManualClock(), chunks=0)


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("서울에는 몇 명이 사나요? 인구가 궁금해요", 0),
        ("영화제는 어디에서?", 1),
        ("how do I enable the cache", 2),
        ("what lives in a hive", 3),
        ("東京", 4),
    ],
)
async def test_questions_find_their_chunk(store, lexical, question, place):
    version = await serving(store, "facts", FACTS)
    found = await lexical.search(ACME, question, 3)
    assert found[0].chunk == (version.no << 20) + place
    assert 0 < found[0].held <= 1
    assert (await lexical.search(ACME, question, 3)) == found  # from what was remembered


async def test_nothing_is_found_for_nothing(store, lexical):
    await serving(store, "facts", FACTS)
    for question in ("", "그 것은?", "the of", "zzzqqq", '" OR *'):
        assert await lexical.search(ACME, question, 3) == []
    assert await lexical.search(Filter("nobody"), "서울", 3) == []


async def test_what_came_a_moment_ago_is_found(store, lexical):
    assert await lexical.search(ACME, "망고", 3) == []
    await serving(store, "a", ["바나나는 노랗다"])
    assert await lexical.search(ACME, "망고", 3) == []
    version = await serving(store, "b", ["망고는 달다"])
    assert [hit.chunk for hit in await lexical.search(ACME, "망고", 3)] == [version.no << 20]
    late = await pending(store, "c", ["망고와 바나나"])
    assert len(await lexical.search(ACME, "망고", 3)) == 1
    await store.swap(late, NOW)
    assert len(await lexical.search(ACME, "망고", 3)) == 2


async def test_all_ways_to_the_candidates_rank_alike(store, monkeypatch):
    draw = random.Random(3)
    words = [f"낱말{chr(0xAC00 + at * 37)}{chr(0xB098 + at * 11)}" for at in range(60)]
    texts = [" ".join(draw.choices(words, k=12)) for _ in range(40)]
    tagged = ("t",)
    await serving(store, "a", texts, tags=tagged)
    questions = [" ".join(draw.choices(words, k=6)) for _ in range(12)]

    async def all_of(few, keeper):
        monkeypatch.setattr(module, "FEW", few)
        lexical = Lexical(store, ManualClock(), keeper)
        answers = []
        for where in (ACME, ACME, Filter("acme", tagged)):
            answers.append([[hit.chunk for hit in await lexical.search(where, q, 1)] for q in questions])
        assert answers[0] == answers[1] == answers[2]
        return answers[0]

    # All that have a rare term, or those with most of them, or all there is: the best is among each.
    in_memory = await all_of(256, None)
    assert in_memory == await all_of(256, kept_nothing(store)) == await all_of(10, kept_nothing(store))


async def test_memory_and_the_database_score_alike(store):
    await serving(store, "facts", FACTS)
    in_memory = Lexical(store, ManualClock())
    beside = Lexical(store, ManualClock(), kept_nothing(store))
    page = " ".join(FACTS + [f"word{at}" for at in range(module.INLINE)])
    for question in ("서울의 인구는?", "영화제가 열리는 도시", "make honey or zzzqqq", page):
        expected = await beside.search(ACME, question, 5)
        found = await in_memory.search(ACME, question, 5)
        assert [hit.chunk for hit in found] == [hit.chunk for hit in expected]
        assert [hit.document_id for hit in found] == [hit.document_id for hit in expected]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected])
        assert [hit.held for hit in found] == pytest.approx([hit.held for hit in expected])
