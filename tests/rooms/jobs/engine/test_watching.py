"""Listeners get everything once, in order, however often they come back."""

import asyncio
import random
from contextlib import aclosing

import pytest

from holdfast.kernel.errors import NotFound
from holdfast.rooms.jobs.engine import watching
from holdfast.rooms.jobs.engine.watching import Watching
from tests.rooms.jobs.lives import Lives


@pytest.fixture
def lives(ledger):
    return Lives(ledger)


@pytest.fixture
async def watch(lives):
    made = Watching(lives.history, poll_s=0.05)
    yield made
    await made.close()


async def all_of(watch, job_id, after=0):
    return [event async for event in watch.follow(job_id, after)]


async def a_life(lives, job_id, progress=30):
    for attempt in range(2):
        await lives.claim(job_id)
        for n in range(progress):
            await lives.progress(job_id, n / progress)
        await lives.end(job_id, "retrying" if attempt == 0 else "succeeded")


async def test_a_listener_hears_a_whole_life_and_then_the_end(lives, watch):
    job_id = await lives.add()
    listening = asyncio.create_task(all_of(watch, job_id))
    await a_life(lives, job_id)
    heard = await listening
    stored = await lives.events(job_id)
    assert [(event.seq, event.kind) for event in heard] == [(event.seq, event.kind) for event in stored]
    assert heard[-1].is_last
    assert watch.watched == 0


async def test_nothing_is_lost_or_repeated_over_many_reconnects(lives, watch):
    job_id = await lives.add()
    draw = random.Random(7)

    async def impatient():
        got, after = [], 0
        while not (got and got[-1].is_last):
            async with aclosing(watch.follow(job_id, after)) as events:
                stay = draw.randrange(1, 4)
                async for event in events:
                    got.append(event)
                    after = event.seq
                    stay -= 1
                    if stay == 0:
                        break
        return [event.seq for event in got]

    listeners = [asyncio.create_task(impatient()) for _ in range(5)]
    await a_life(lives, job_id, progress=60)
    numbers = [event.seq for event in await lives.events(job_id)]
    for listener in listeners:
        assert await listener == numbers


async def test_who_is_far_behind_reads_for_itself(lives, watch, monkeypatch):
    monkeypatch.setattr(watching, "_TAIL", 4)
    job_id = await lives.add()
    early = watch.parts(job_id, 0, silence_s=60.0)
    first = await anext(early)
    slow = asyncio.create_task(all_of(watch, job_id))
    await a_life(lives, job_id, progress=20)
    await slow
    rest = [event async for part in early for event in part]
    assert [event.seq for event in [*first, *rest]] == [event.seq for event in await lives.events(job_id)]


async def test_silence_is_told_so_that_proxies_keep_the_line_open(lives, watch):
    job_id = await lives.add()
    async with aclosing(watch.parts(job_id, 0, silence_s=0.01)) as parts:
        assert [event.kind for event in await anext(parts)] == ["queued"]
        assert await anext(parts) == []


async def test_a_stop_ends_every_stream_and_who_leaves_is_forgotten(lives, watch):
    job_id = await lives.add()
    gone = asyncio.Event()
    leaving = watch.parts(job_id, 0, silence_s=60.0, gone=gone)
    staying = watch.parts(job_id, 0, silence_s=60.0)
    await anext(leaving)
    await anext(staying)
    waiting = asyncio.create_task(anext(leaving, None))
    gone.set()
    assert await waiting is None
    assert watch.watched == 1
    waiting = asyncio.create_task(anext(staying, None))
    await watch.close()
    assert await waiting is None
    assert watch.watched == 0


async def test_a_job_that_is_not_there_or_is_removed_is_not_found(lives, watch):
    with pytest.raises(NotFound):
        await all_of(watch, "nobody")
    job_id = await lives.add()
    async with aclosing(watch.parts(job_id, 0, silence_s=60.0)) as parts:
        await anext(parts)
        await lives.upkeep.drop([job_id])
        watch.stir()
        with pytest.raises(NotFound):
            await anext(parts)


async def test_one_query_serves_all_jobs_that_are_watched(lives, watch):
    ids = [await lives.add() for _ in range(20)]
    streams = [watch.parts(job_id, 0, silence_s=60.0) for job_id in ids]
    for stream in streams:
        await anext(stream)
    asked = []
    marks = lives.history.marks

    async def counted(of):
        asked.append(len(of))
        return await marks(of)

    lives.history.marks = counted
    await watch.look()
    assert asked[0] == 20
    for stream in streams:
        await stream.aclose()
    assert watch.watched == 0
