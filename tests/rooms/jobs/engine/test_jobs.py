"""What users call: enqueueing in every way, keys, batches, chains, schedules."""

import asyncio
import sqlite3
from contextlib import suppress

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from holdfast.kernel.errors import BadInput, Misconfigured
from holdfast.ports.jobs import Enqueue, JobFailed, JobSpec
from holdfast.rooms.jobs.rules.problems import (
    BadEnqueue,
    BadPayload,
    KeyReused,
    UnknownKindOfJob,
    UnknownQueue,
)
from holdfast.rooms.jobs.store.reading import Filters
from tests.waiting import until


def declare(world):
    @world.jobs.job("bulk", name="note", unique="doc:{doc_id}")
    async def note(run, doc_id: int, text: str = ""):
        return doc_id

    @world.jobs.job("bulk", name="add")
    async def add(run, n: int):
        if n < 0:
            raise JobFailed("validation", "below zero")
        return (run.previous or 0) + n

    @world.jobs.job("bulk", name="tell")
    async def tell(run):
        return run.previous

    return note


async def test_one_unique_key_is_one_job_until_it_has_ended(make_on_both):
    world = make_on_both(workers=False)
    note = declare(world)
    await world.start()
    first = await world.jobs.enqueue(note, doc_id=7)
    again = await world.jobs.enqueue("note", {"doc_id": 7, "text": "more"})
    other = await world.jobs.enqueue(note, doc_id=8)
    assert first.is_new
    assert (again.id, again.is_new) == (first.id, False)
    assert other.is_new
    await world.jobs.cancel(first.id)
    assert (await world.jobs.enqueue(note, doc_id=7)).is_new
    many = await world.jobs.enqueue_many(note, [{"doc_id": n} for n in (7, 8, 9, 9)])
    assert [each.is_new for each in many] == [False, False, True, False]


async def test_an_idempotency_key_gives_the_same_job_even_after_its_end(make_on_both):
    world = make_on_both()
    declare(world)
    await world.start()
    how = Enqueue(key="order-1", user="kim")
    first = await world.jobs.enqueue("add", {"n": 1}, how)
    await world.ended(first.id)
    again = await world.jobs.enqueue("add", {"n": 1}, how)
    assert (again.id, again.is_new) == (first.id, False)
    with pytest.raises(KeyReused):
        await world.jobs.enqueue("add", {"n": 2}, how)
    assert (await world.jobs.enqueue("add", {"n": 2}, Enqueue(key="order-1", user="lee"))).is_new
    world.clock.advance(86_401)
    await world.crew.sweep.look()
    assert (await world.jobs.enqueue("add", {"n": 2}, how)).is_new


async def test_what_cannot_be_enqueued_is_refused(make):
    world = make()
    note = declare(world)
    await world.start()
    with pytest.raises(UnknownKindOfJob, match="noted"):
        await world.jobs.enqueue("noted", {})
    with pytest.raises(BadPayload):
        await world.jobs.enqueue(note, doc_id="seven")
    with pytest.raises(UnknownQueue):
        await world.jobs.enqueue(note, {"doc_id": 1}, Enqueue(queue="nowhere"))
    with pytest.raises(BadEnqueue):
        await world.jobs.enqueue(note, {"doc_id": 1}, Enqueue(priority=101))
    with pytest.raises(BadEnqueue):
        world.jobs.enqueue_now(note, doc_id=1)
    with pytest.raises(Misconfigured):
        world.jobs.declare(JobSpec(name="note", run=note))
    assert (await asyncio.to_thread(world.jobs.enqueue_now, note, doc_id=1)).is_new


async def test_a_job_is_there_exactly_when_the_caller_s_transaction_is(make_on_both, url, tmp_path):
    world = make_on_both()
    note = declare(world)
    await world.start()
    kept, lost = [], []
    ours = ("commit", "rollback")

    async def both(doc_id, open_tx):
        for n, end in enumerate(ours):
            async with open_tx(end) as tx:
                (kept if end == "commit" else lost).append(
                    (await world.jobs.enqueue(note, doc_id=doc_id + n, tx=tx)).id
                )

    await both(10, lambda end: _ours(world.sql, end))
    if url.startswith("sqlite"):
        await both(20, lambda end: _sqlite3(tmp_path / "jobs.db", end))
        await both(30, lambda end: _sqlalchemy(f"sqlite:///{tmp_path}/jobs.db", end))
    else:
        await both(20, lambda end: _asyncpg(url, end))
        await both(30, lambda end: _sqlalchemy_async(url, end))
    for job in kept:
        assert (await world.ended(job)).state == "succeeded"
    for job in lost:
        assert await world.jobs.find(job) is None
    with pytest.raises(BadInput):
        await world.jobs.enqueue(note, doc_id=1, tx=object())


class _Gone(Exception):
    pass


class _Tx:
    """An open transaction that commits or rolls back at its end."""

    def __init__(self, begin, end):
        self._begin, self._end = begin, end

    async def __aenter__(self):
        return await self._begin()

    async def __aexit__(self, *error):
        await self._end()


def _ours(sql, end):
    manager = sql.transaction()

    async def leave():
        with suppress(_Gone):
            await manager.__aexit__(*((None,) * 3 if end == "commit" else (_Gone, _Gone(), None)))

    return _Tx(manager.__aenter__, leave)


def _sqlite3(path, end):
    connection = sqlite3.connect(path, isolation_level=None)

    async def begin():
        connection.execute("BEGIN IMMEDIATE")
        return connection

    async def leave():
        connection.execute(end.upper())
        connection.close()

    return _Tx(begin, leave)


def _sqlalchemy(url, end):
    engine = sa.create_engine(url)
    connection = engine.connect()

    async def begin():
        return connection

    async def leave():
        getattr(connection, end)()
        connection.close()
        engine.dispose()

    return _Tx(begin, leave)


def _asyncpg(url, end):
    state = {}

    async def begin():
        state["connection"] = await asyncpg.connect(url)
        state["tx"] = state["connection"].transaction()
        await state["tx"].start()
        return state["connection"]

    async def leave():
        await getattr(state["tx"], end)()
        await state["connection"].close()

    return _Tx(begin, leave)


def _sqlalchemy_async(url, end):
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    connection = engine.connect()

    async def begin():
        await connection.start()
        return connection

    async def leave():
        await getattr(connection, end)()
        await connection.close()
        await engine.dispose()

    return _Tx(begin, leave)


async def test_a_chain_runs_one_after_the_other_with_the_result_before(make_on_both):
    world = make_on_both()
    declare(world)
    await world.start()
    of = world.jobs.of
    group = await world.jobs.chain(of("add", n=1), of("add", n=2), of("add", n=4))
    assert (await world.ended(group.jobs[-1])).result == 7
    broken = await world.jobs.chain(of("add", n=1), of("add", n=-1), of("add", n=4), of("tell"))
    views = [await world.ended(job) for job in broken.jobs]
    assert [view.state for view in views] == ["succeeded", "failed", "failed", "failed"]
    assert [view.error_kind for view in views] == ["", "validation", "dependency", "dependency"]


async def test_what_follows_a_batch_runs_when_all_have_ended(make_on_both):
    world = make_on_both()
    declare(world)
    await world.start()
    of = world.jobs.of
    group = await world.jobs.batch([of("add", n=n) for n in (1, 2, -1)], then=of("tell"))
    assert (await world.ended(group.then)).result == {"succeeded": 2, "failed": 1}
    empty = await world.jobs.batch([], then=of("tell"))
    assert (await world.ended(empty.then)).result == {}
    with pytest.raises(BadEnqueue):
        await world.jobs.batch([of("note", doc_id=1), of("note", doc_id=1)])


async def test_a_job_enqueued_for_later_begins_when_it_is_due(make_on_both):
    world = make_on_both()
    declare(world)
    await world.start()
    job = (await world.jobs.enqueue("add", {"n": 1}, Enqueue(delay_s=60))).id
    await world.pass_time(59)
    assert (await world.jobs.find(job)).state == "scheduled"
    await world.pass_time(2)
    assert (await world.ended(job)).state == "succeeded"


async def test_a_schedule_fires_once_over_all_processes(make_on_both):
    worlds = [make_on_both(workers=False) for _ in range(3)]
    for world in worlds:
        declare(world)
        world.jobs.every("hourly", "0 * * * *", "add", {"n": 1}, zone="Asia/Seoul")
        await world.start()
    for _ in range(3):
        worlds[0].clock.advance(3600)
        await asyncio.gather(*(world.crew.recurring.look() for world in worlds))
    assert len(await worlds[0].jobs.reading.listed(Filters(name="add"), 10)) == 3
    worlds[0].clock.advance(5 * 3600)  # nobody was there: once, as the setting says
    assert sum(await asyncio.gather(*(world.crew.recurring.look() for world in worlds))) <= 1
    worlds[0].clock.step_wall(-7200)  # the clock goes back: nothing comes twice
    assert await worlds[1].crew.recurring.look() == 0


async def test_what_is_past_its_time_is_removed(make):
    world = make(keep_succeeded_s=100.0, keep_failed_s=1000.0)
    declare(world)
    await world.start()
    good = (await world.jobs.enqueue("add", {"n": 1})).id
    bad = (await world.jobs.enqueue("add", {"n": -1})).id
    for job in (good, bad):
        await world.ended(job)
    world.clock.advance(200)
    assert await world.crew.sweep.look() == 1
    assert await world.jobs.find(good) is None
    assert await world.jobs.find(bad) is not None
    world.clock.advance(1000)
    assert await world.crew.sweep.look() == 1


async def test_tenants_take_turns_and_priorities_go_first(make):
    world = make(workers=False)
    worker = make(concurrency=1)
    order = []

    async def work(run, payload):
        order.append(payload["of"])

    for each in (world, worker):
        each.jobs.declare(JobSpec(name="work", run=work))
    await world.start()
    for n in range(3):
        await world.jobs.enqueue("work", {"of": f"a{n}"}, Enqueue(tenant="a"))
    await world.jobs.enqueue("work", {"of": "b0"}, Enqueue(tenant="b"))
    await world.jobs.enqueue("work", {"of": "first"}, Enqueue(tenant="c", priority=5))
    await worker.start()
    await until(lambda: len(order) == 5)
    assert order == ["first", "a0", "b0", "a1", "a2"]


async def test_a_paused_queue_begins_nothing_and_a_rate_is_kept(make):
    world = make()
    begun = []

    @world.jobs.job("ai")
    async def work(run):
        begun.append(1)

    await world.start()
    await world.room.admin.pause("ai", True)
    await until(lambda: world.worker.claims.lines["ai"].paused)
    for _ in range(4):
        await world.jobs.enqueue(work)
    await world.crew.decide()
    await until(lambda: not world.worker._news.is_set())
    assert begun == []
    await world.room.admin.shape("ai", None, "2/60s")
    await world.room.admin.pause("ai", False)
    await until(lambda: len(begun) == 1)  # a burst of one, then one every 30 s
    for count in (2, 3, 4):
        world.clock.advance(30.1)
        await until(lambda count=count: len(begun) == count)


async def test_a_rate_counts_jobs_and_not_the_places_that_were_free_for_them(make):
    world = make()

    @world.jobs.job("bulk", name="work")
    async def work(run):
        return run.attempt

    await world.start()
    await world.room.admin.shape("bulk", None, "40/60s")  # four of them at once, as many as there are places
    await until(lambda: world.worker.claims.lines["bulk"].rate)
    for _ in range(4):
        assert (await world.ended((await world.jobs.enqueue(work)).id)).state == "succeeded"


async def test_a_transaction_of_another_database_is_refused_with_what_to_set(make, tmp_path):
    world = make(workers=False)
    note = declare(world)
    await world.start()
    with sqlite3.connect(tmp_path / "other.db") as other, pytest.raises(Misconfigured) as refused:
        await world.jobs.enqueue(note, doc_id=1, tx=other)
    other.close()
    assert "[jobs] url" in refused.value.hint
