"""Vectors in memory and fused: exact and approximate search, filters, what other processes do, the trial."""

import asyncio

import numpy as np
import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.ports.model import Embedded
from holdfast.rooms.knowledge.engine.dense import Dense
from holdfast.rooms.knowledge.engine.embedding import Embedding
from holdfast.rooms.knowledge.engine.lexical import Lexical
from holdfast.rooms.knowledge.engine.matrix import Matrix
from holdfast.rooms.knowledge.engine.search import Search
from holdfast.rooms.knowledge.engine.trials import Trials
from holdfast.rooms.knowledge.engine.vectors import packed, units, unpacked
from holdfast.rooms.knowledge.rules.embedding import MixedIndex, Pace, UnfitVector
from holdfast.rooms.knowledge.rules.mmr import Likeness
from holdfast.rooms.knowledge.rules.stored import Filter
from holdfast.rooms.knowledge.store.paces import Paces
from holdfast.rooms.knowledge.store.store import Store
from holdfast.rooms.knowledge.store.sweeping import Sweeper
from holdfast.rooms.knowledge.store.vectors import VectorStore
from tests.rooms.knowledge.databases import ACME, NOW, pending
from tests.rooms.knowledge.databases import sqlite as sqlite

draw = np.random.default_rng(5)


def rows(count, dims=16):
    return units(draw.normal(size=(count, dims)).tolist())


@pytest.mark.parametrize(
    "vectors", [[[0.0, 0.0]], [[float("nan"), 1.0]], [[1.0], [1.0, 2.0]], [[float("inf"), 1.0]], [[]]]
)
def test_what_no_cosine_can_be_had_of_is_refused(vectors):
    with pytest.raises(UnfitVector):
        units(vectors)


def test_half_floats_keep_three_digits():
    made = rows(50, 384)
    again = unpacked([packed(row) for row in made], 384)
    assert np.abs((made * again).sum(1) - 1).max() < 1e-3


@pytest.mark.parametrize("exact", [10_000, 200])
def test_the_nearest_are_found_also_after_versions_came_and_went(exact):
    matrix = Matrix(exact)
    kept = {}
    for version in range(1, 13):
        made = rows(100)
        matrix.add(version, np.arange(100) + (version << 20), made)
        kept[version] = made
        if version % 3 == 0:
            matrix.drop(version - 1)
            del kept[version - 1]
    matrix.add(99, np.zeros(0, np.int64), np.zeros((0, 0), np.float32))
    assert len(matrix) == 800
    chunks = np.concatenate([np.arange(100) + (version << 20) for version in kept])
    whole = np.concatenate(list(kept.values()))
    found_first = 0
    for _ in range(20):
        asked = rows(1)[0]
        order = np.argsort(-(whole @ asked))
        found = matrix.nearest(asked, 5)
        found_first += found[0][0] == chunks[order[0]]
        assert all(
            score == pytest.approx(float(whole[np.where(chunks == chunk)[0][0]] @ asked))
            for chunk, score in found
        )
        some = matrix.nearest(asked, 5, [1, 4, 77, 99])
        assert {chunk >> 20 for chunk, _ in some} <= {1, 4}
        assert len(some) == 5
        assert matrix.nearest(asked, 5, []) == []
    assert found_first >= (20 if exact > 1_000 else 18)
    for version in list(kept):
        matrix.drop(version)
    assert matrix.nearest(rows(1)[0], 5) == []


class Meaning:
    """An embedder that knows a few things by both names, and nothing at all when it is foreign."""

    id = "meaning"

    def __init__(self, foreign=False):
        self.foreign = foreign

    async def embed(self, texts, tenant):
        return Embedded([self._of(text) for text in texts])

    def _of(self, text):
        about = [float("자동차" in text or "차량" in text), float("배" in text or "선박" in text)]
        if self.foreign:
            return [1.0, 0.0, 0.0, 0.0]
        spread = [0.01 + sum(map(ord, text)) % 97 / 500, 0.01 + len(text) % 13 / 500]
        return about + spread


class World:
    def __init__(self, sql, embedder, share=None):
        self.clock = ManualClock(NOW / 1000)
        self.store, self.vectors = Store(sql), VectorStore(sql)
        self.embedder = embedder
        paces = Paces(sql, embedder.id, Pace())
        self.embedding = Embedding(embedder, self.store, self.vectors, paces, self.clock)
        self.dense = Dense(self.embedding, self.store, self.vectors)
        self.trials = Trials(self.embedding, self.store, self.vectors, self.clock)
        self.search = Search(
            self.store, Lexical(self.store, self.clock), self.dense, self.trials, embedder.id
        )
        self.sweeper = Sweeper(sql, self.store.index)

    async def ingest(self, name, paragraphs, tags=()):
        version = await pending(self.store, name, paragraphs, tags=tags, embedder=self.embedder.id)
        await self.embedding.version(version)
        assert await self.store.swap(version, NOW)
        return version


async def test_what_another_process_took_in_or_deleted_counts(sqlite):
    mine, other = World(sqlite, Meaning()), World(sqlite, Meaning())
    first = await mine.ingest("a", ["자동차 이야기", "다른 이야기"], tags=("x",))
    assert (await mine.dense.search(ACME, "차량", 1))[0].chunk == first.no << 20
    second = await other.ingest("b", ["배를 만드는 곳"])
    assert (await mine.dense.search(ACME, "선박", 1))[0].chunk == second.no << 20
    assert {hit.chunk >> 20 for hit in await mine.dense.search(Filter("acme", ("x",)), "선박", 9)} == {
        first.no
    }
    await other.sweeper.delete("acme", second.document_id, NOW)
    assert {hit.chunk >> 20 for hit in await mine.dense.search(ACME, "선박", 9)} == {first.no}
    assert await mine.dense.search(Filter("evil"), "선박", 9) == []
    await other.sweeper.erase("acme", NOW)
    assert await mine.dense.search(ACME, "선박", 9) == []


async def test_an_index_of_two_embedders_is_an_error_and_terms_go_on(sqlite):
    world = World(sqlite, Meaning())
    await world.ingest("a", CHUNKS)
    assert await world.trials.hold("acme")
    stranger = await pending(world.store, "b", ["자동차 값"], embedder="another")
    await world.store.swap(stranger, NOW)
    with pytest.raises(MixedIndex, match="1 of 2"):
        await world.dense.search(ACME, "자동차", 3)
    found = await world.search.find(ACME, "자동차 값", 3)
    assert found[0].version == stranger.no
    assert "not embedded by" in (await world.search.leg("acme")).says


NAMES = "자동차 차량 배나무 선박 사과 하늘 바다 도서관 딸기 농장 시계 안경"
CHUNKS = [
    f"{name}에 대한 첫 번째 이야기이다. {name}의 값과 쓰임새를 오래 살펴보고 적어 둔 글이며 {at}쪽에 있다."
    for at, name in enumerate(NAMES.split())
]


async def test_an_embedder_that_knows_nothing_is_not_fused(sqlite):
    world = World(sqlite, Meaning(foreign=True))
    await world.ingest("a", CHUNKS)
    before = await world.search.hits(ACME, "딸기 값", 5)
    trial = await world.trials.hold("acme")
    assert trial.sample == 12
    assert trial.dense < 0.5 < trial.lexical
    leg = await world.search.leg("acme")
    assert (leg.weight, "too far behind" in leg.says) == (0.0, True)
    assert await world.search.hits(ACME, "딸기 값", 5) == before
    assert await world.trials.hold("acme") == trial  # not due again


class Knowing(Meaning):
    """Knows each of the chunks by its first word."""

    def _of(self, text):
        names = [chunk.split("에")[0] for chunk in CHUNKS]
        if "탈것" in text:
            return [1.0, *[0.0] * (len(names) - 1)]
        return [1.0 if name in text else 0.01 for name in names]


async def test_one_that_knows_finds_what_terms_do_not(sqlite):
    world = World(sqlite, Knowing())
    version = await world.ingest("a", CHUNKS)
    assert await world.search.hits(ACME, "탈것", 3) == []
    await world.trials.hold("acme")
    assert (await world.search.leg("acme")).weight >= 0.6
    found = await world.search.find(ACME, "탈것", 3)
    assert found[0].chunk == version.no << 20
    assert found[0].text == CHUNKS[0]


@pytest.mark.parametrize("how", ["busy", "silent"])
async def test_a_question_does_not_wait_for_the_embedder(sqlite, how):
    world = World(sqlite, Knowing())
    version = await world.ingest("a", CHUNKS)
    await world.trials.hold("acme")
    if how == "busy":  # with the documents of somebody else
        await world.embedding._pace.reserve(1_000_000, NOW)
    else:
        world.embedder.embed = lambda texts, tenant: asyncio.Event().wait()
        world.dense._embed_s = 0.01
    found = await world.search.find(ACME, "딸기 농장", 1)
    assert found[0].version == version.no
    assert "the embedder" in (await world.search.leg("acme")).says


async def test_a_document_swapped_in_between_is_not_lost(sqlite):
    store = Store(sqlite)
    await store.swap(await pending(store, "a", ["딸기 농장은 겨울에 연다"]), NOW)
    newer = await pending(store, "a", ["딸기 농장은 봄에 연다"])
    search = Search(store, Lexical(store, ManualClock()))
    found_of, swaps = store.found, [newer]

    async def found(tenant, hits):
        while swaps:
            await store.swap(swaps.pop(), NOW)
        return await found_of(tenant, hits)

    store.found = found
    assert [one.version for one in await search.find(ACME, "딸기 농장", 3)] == [newer.no]


async def test_however_many_are_wanted_few_are_compared(sqlite, monkeypatch):
    store = Store(sqlite)
    texts = [f"딸기 {at}번 농장은 {at}월에 연다" for at in range(90)]
    await store.swap(await pending(store, "a", texts), NOW)
    compared = []

    class Counting(Likeness):
        def __init__(self, packed):
            compared.append(len(packed))
            super().__init__(packed)

    monkeypatch.setattr("holdfast.rooms.knowledge.engine.search.Likeness", Counting)
    found = await Search(store, Lexical(store, ManualClock())).find(ACME, "딸기 농장", 80)
    assert len({one.chunk for one in found}) == 80
    assert compared == [64]


async def test_without_an_embedder_terms_are_searched_and_copies_wait(sqlite):
    store = Store(sqlite)
    for name in ("a", "b"):
        await store.swap(await pending(store, name, ["딸기 농장은 겨울에 연다", "딸기 값은 올랐다"]), NOW)
    search = Search(store, Lexical(store, ManualClock()))
    assert (await search.leg("acme")).weight == 0.0
    texts = [found.text for found in await search.find(ACME, "딸기 농장", 2)]
    assert texts == ["딸기 농장은 겨울에 연다", "딸기 값은 올랐다"]
    both = await search.find(ACME, "딸기 농장", 2, spread_out=False)
    assert [found.text for found in both] == ["딸기 농장은 겨울에 연다"] * 2
