"""Embedding a version against the real fake provider: its faults, the pace, halves, going on after a stop."""

import asyncio
import random
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest
from sqlalchemy import select

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.errors import BadInput, Unavailable
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.cache import NoCache
from holdfast.ports.guards import PlainGuards
from holdfast.ports.jobs import JobCancelled
from holdfast.ports.model import ModelFailed
from holdfast.ports.services import NoEventLog, NoMeter
from holdfast.rooms.faults import FaultServer
from holdfast.rooms.knowledge.engine.embedders import ModelEmbedder
from holdfast.rooms.knowledge.engine.embedding import Embedding
from holdfast.rooms.knowledge.rules.embedding import Batching, EmbedderRefuses, Pace
from holdfast.rooms.knowledge.rules.store_problems import VersionGone
from holdfast.rooms.knowledge.rules.stored import ordinal_of, text_hash
from holdfast.rooms.knowledge.store.paces import Paces
from holdfast.rooms.knowledge.store.store import Store
from holdfast.rooms.knowledge.store.sweeping import Sweeper
from holdfast.rooms.knowledge.store.vectors import Stored, VectorStore
from holdfast.rooms.knowledge.store.vectors import rows as stored
from holdfast.rooms.llm.room import Config, LlmRoom
from holdfast.rooms.llm.rules.settings import Deployment
from holdfast.stores.migrate import migrate
from tests.rooms.knowledge.databases import NOW, pending
from tests.rooms.knowledge.databases import sql as sql
from tests.rooms.knowledge.databases import sqlite as sqlite

FAULTS = ["good", "429-retry-after:2", "bad-dimensions", "nan-embedding", "outage:2", "context-length", "401"]
TEXTS = [f"문장 {number}: 딸기 농장은 {number}월에 연다" for number in range(20)]


class World:
    """An embedding of one model of the fake provider, whose clock and naps the test owns."""

    def __init__(self, sql, model, **how):
        self.clock = ManualClock(NOW / 1000)
        self.naps = []
        self.sql = sql
        self.store = Store(sql)
        self.vectors = VectorStore(sql)
        self.sweeper = Sweeper(sql, self.store.index)
        pace = how.pop("pace", Pace(burst_s=60.0))
        self.paces = Paces(sql, "p", pace)
        self.embedder = ModelEmbedder(model, how.pop("served", "good"))
        batching = Batching(**{"size": 4, "concurrency": 3, "attempts": 3, **how})
        self.embedding = Embedding(
            self.embedder, self.store, self.vectors, self.paces, self.clock, batching, self.nap
        )

    async def nap(self, seconds):
        self.naps.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def left(self, version):
        return len(await self.vectors.missing(version.no, self.embedder.id))

    async def poisoned(self):
        """(hash of the text, why) of each text that the embedder gave no vector for."""
        marked = select(stored.c.text_hash, stored.c.poison).where(
            stored.c.embedder == self.embedding.embedder.id, stored.c.poison != ""
        )
        return await self.sql.fetch(marked)


@asynccontextmanager
async def model_of(sqlite):
    async with FaultServer() as server:
        await migrate(sqlite, {"llm": LlmRoom.migrations}, SystemClock().wall)
        deployments = {
            f"d{at}": Deployment(
                base_url=server.url, model=f"m+{fault}", serves=(fault,), attempts=1, probe=False, failures=99
            )
            for at, fault in enumerate(FAULTS)
        }
        deployments["d0"] = Deployment(base_url=server.url, model="m+ok", serves=("good",), probe=False)
        supervisor, clock = Supervisor(), SystemClock()
        supervisor.open()
        room = LlmRoom(
            Config(deployments=deployments),
            clock=clock,
            ids=IdSource(),
            meter=NoMeter(),
            log=NoEventLog(),
            supervisor=supervisor,
            guards=PlainGuards(clock=clock),
            cache=NoCache(),
            sql=sqlite,
            shared=None,
            nodes=1,
            production=False,
            rng=random.Random(7),
        )
        await room.start()
        try:
            yield room.model
        finally:
            await supervisor.stop(5.0)
            await room.stop()


@pytest.fixture
async def model(sqlite):
    async with model_of(sqlite) as made:
        yield made


class Picky:
    """The provider's model, which also refuses a text that has the poison in it, and counts."""

    def __init__(self, inner, poison="독"):
        self.inner, self.poison, self.asked = inner, poison, []
        self.id = inner.id

    async def embed(self, texts, tenant):
        self.asked.append(len(texts))
        if any(self.poison in text for text in texts):
            raise BadInput("the input is not liked")
        return await self.inner.embed(texts, tenant)


async def test_every_chunk_has_a_vector_and_what_it_took_is_known(sqlite, model):
    world = World(sqlite, model)
    version = await pending(world.store, "a", TEXTS)
    told = []
    report = await world.embedding.version(version, told.append)
    assert (report.embedded, report.requests, report.poisoned, told[-1]) == (20, 5, 0, 20)
    rows = await world.vectors.of_version(version.no, world.embedder.id)
    assert len(rows) == 20
    lengths = [np.linalg.norm(np.frombuffer(blob, "<f2").astype(float)) for _, _, blob in rows]
    assert np.allclose(lengths, 1.0, atol=2e-3)
    assert (await world.store.version(version.no)).tokens == report.tokens > 0
    assert world.naps == []


async def test_what_was_embedded_once_is_never_paid_again(sqlite, model):
    world = World(sqlite, model)
    first = await pending(world.store, "a", TEXTS)
    await world.embedding.version(first)
    second = await pending(world.store, "a", [*TEXTS, "새 문장"])
    report = await world.embedding.version(second)
    assert (report.embedded, report.requests) == (1, 1)


async def test_a_stop_in_the_middle_keeps_what_was_done(sqlite, model):
    world = World(sqlite, model, concurrency=1)
    version = await pending(world.store, "a", TEXTS)
    done = []

    def check():
        if done and done[-1] >= 8:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        await world.embedding.version(version, done.append, check)
    assert await world.left(version) == 12
    assert (await world.embedding.version(version)).embedded == 12


async def test_the_poisoned_chunk_is_marked_and_the_rest_goes_on(sqlite, model):
    world = World(sqlite, model, concurrency=1, size=8)
    picky = world.embedding.embedder = Picky(world.embedder)
    version = await pending(world.store, "a", [*TEXTS[:13], "독이 든 문장", *TEXTS[13:]])
    report = await world.embedding.version(version)
    assert (report.embedded, report.poisoned) == (20, 1)
    assert picky.asked == [8, 8, 4, 4, 2, 1, 1, 2, 5] or sum(picky.asked) < 60
    [(text, why)] = await world.poisoned()
    assert (text, "not liked" in why) == (text_hash("acme", (), "독이 든 문장"), True)
    embedded = {ordinal_of(row[0]) for row in await world.vectors.of_version(version.no, picky.id)}
    assert embedded == {*range(21)} - {13}
    assert (await world.embedding.version(version)).requests == 0


class Breaking(Picky):
    """An endpoint that goes down after its first answer."""

    down = True

    async def embed(self, texts, tenant):
        if self.asked and self.down:
            raise ModelFailed("connection refused")
        return await super().embed(texts, tenant)


async def test_an_outage_is_no_fault_of_a_text(sqlite, model):
    world = World(sqlite, model, concurrency=1, attempts=2)
    breaking = world.embedding.embedder = Breaking(world.embedder)
    version = await pending(world.store, "a", TEXTS)
    with pytest.raises(ModelFailed) as failure:
        await world.embedding.version(version)
    assert failure.value.retryable
    assert await world.poisoned() == []
    breaking.down = False
    report = await world.embedding.version(version)
    assert (report.embedded, report.poisoned) == (16, 0)


class Zero(Picky):
    """Answers the poison with a vector of zeros."""

    async def embed(self, texts, tenant):
        given = await self.inner.embed(texts, tenant)
        vectors = [
            [0.0] * len(vector) if self.poison in text else vector
            for text, vector in zip(texts, given.vectors, strict=True)
        ]
        return msgspec.structs.replace(given, vectors=vectors)


async def test_another_attempt_may_find_only_the_text_that_has_no_vector(sqlite, model):
    world = World(sqlite, model)
    world.embedding.embedder = Zero(world.embedder)
    await world.embedding.version(await pending(world.store, "a", TEXTS))
    version = await pending(world.store, "b", [*TEXTS, "독이 든 문장"])
    report = await world.embedding.version(version)
    assert (report.embedded, report.poisoned) == (0, 1)
    assert len(await world.poisoned()) == 1


async def test_retry_after_is_heeded_by_everyone_at_this_pace(sqlite, model):
    world = World(sqlite, model, served="429-retry-after:2", attempts=2, size=32, pace=Pace())
    version = await pending(world.store, "a", TEXTS)
    with pytest.raises(ModelFailed) as failure:
        await world.embedding.version(version)
    assert failure.value.status == 429
    assert world.naps[0] > 1.5  # what is left of the two seconds
    assert await world.paces.reserve(1, NOW + 3_000) > 0.9  # told again at second 2: until second 4
    assert await world.left(version) == 20


@pytest.mark.parametrize("fault", ["nan-embedding", "context-length", "401"])
async def test_an_embedder_of_no_use_is_told_and_nothing_is_stored(sqlite, model, fault):
    world = World(sqlite, model, served=fault, attempts=1)
    version = await pending(world.store, "a", TEXTS)
    with pytest.raises((EmbedderRefuses, ModelFailed)) as failure:  # or the breaker was first
        await world.embedding.version(version)
    assert failure.value.detail
    assert await world.left(version) == 20


async def test_another_length_than_the_index_has_is_refused(sqlite, model):
    world = World(sqlite, model)
    await world.embedding.version(await pending(world.store, "a", TEXTS[:4]))
    other = World(sqlite, model, served="bad-dimensions")
    other.embedder.id = other.embedding.embedder.id = (
        world.embedder.id
    )  # the endpoint serves another model now
    version = await pending(world.store, "b", ["아주 다른 문장이다"])
    with pytest.raises(EmbedderRefuses, match="dimensions"):
        await other.embedding.version(version)
    assert await world.left(version) == 1


async def test_an_outage_passes(sqlite, model):
    world = World(sqlite, model, served="outage:2", concurrency=1)
    report = await world.embedding.version(await pending(world.store, "a", TEXTS[:4]))
    assert report.embedded == 4
    assert world.naps


async def test_deleting_the_document_stops_the_work(sqlite, model):
    world = World(sqlite, model, concurrency=1)
    version = await pending(world.store, "a", TEXTS)

    class Deleting(Picky):
        async def embed(self, texts, tenant):
            if len(self.asked) == 2:
                await world.sweeper.erase("acme", NOW)
            return await super().embed(texts, tenant)

    world.embedding.embedder = Deleting(world.embedder, "없음")
    with pytest.raises(VersionGone):
        await world.embedding.version(version)
    assert await world.vectors.dims(world.embedder.id) is None


async def test_a_pace_is_one_for_all_processes(sql):
    pace = Pace(requests_per_minute=60, tokens_per_minute=6_000, burst_s=2.0)
    mine, others = Paces(sql, "p", pace), Paces(sql, "p", pace)
    now = float(NOW)
    assert [await mine.reserve(1, now), await others.reserve(1, now)] == [0.0, 0.0]
    waits = await asyncio.gather(*(each.reserve(1, now) for each in [mine, others] * 4))
    assert sorted(waits) == pytest.approx([1, 2, 3, 4, 5, 6, 7, 8])
    assert await mine.reserve(1, now + 60_000) == 0.0
    await mine.correct(1, 1_001)  # ten seconds' worth more than was thought
    assert await others.reserve(1, now + 60_000) == pytest.approx(8.02, abs=0.01)
    await others.correct(1_001, 1)
    await mine.hold_back(30, now + 60_000)
    assert await others.reserve(1, now + 60_000) == pytest.approx(31.0, abs=0.1)
    assert await Paces(sql, "another", pace).reserve(1, now) == 0.0


async def test_who_cannot_wait_takes_nothing(sql):
    paces = Paces(sql, "p", Pace(requests_per_minute=60, tokens_per_minute=6_000, burst_s=2.0))
    now = float(NOW)
    for _ in range(4):
        await paces.reserve(1, now)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await paces.reserve(1, now, 0.5)
    assert await paces.reserve(1, now + 2_600, 0.5) == pytest.approx(0.4)


async def test_a_clock_that_was_set_back_holds_nobody_up(sql):
    paces = Paces(sql, "p", Pace(requests_per_minute=60, burst_s=2.0))
    now = float(NOW)
    await paces.reserve(1, now + 86_400_000)
    assert await paces.reserve(1, now, 0.5) == 0.0
    assert [await paces.reserve(1, now) for _ in range(2)] == pytest.approx([0.0, 1.0])


async def test_vectors_of_another_version_are_not_touched(sqlite, model):
    world = World(sqlite, model)
    version = await pending(world.store, "a", TEXTS[:1])
    await world.store.fail(version.no, "x", NOW)
    with pytest.raises(VersionGone):
        await world.vectors.put(version.no, "e", [Stored("h", 1, b"\0\0")], NOW)
