"""A job is followed in one process while others run it, stop in the middle of it, and replay it."""

import asyncio
from contextlib import aclosing

from holdfast.ports.jobs import JobFailed, JobSpec


async def test_news_comes_from_other_processes_by_the_bell_and_goes_on_over_a_stop(make_on_both):
    go = asyncio.Event()

    async def work(run, payload: dict):
        run.progress(run.attempt / 4, f"{run.attempt}번째")
        await go.wait()
        return run.attempt

    def process(**settings):
        world = make_on_both(**settings)
        world.jobs.declare(JobSpec(name="work", run=work))
        world.jobs.watching._poll_s = 3600.0  # so that nothing but the bell brings news
        return world

    desk = await process(workers=False).start()
    first = await process(kind="worker").start()
    job = await desk.jobs.enqueue("work", {})
    seen = []
    async with aclosing(desk.jobs.events(job.id)) as events:
        async for event in events:
            seen.append(event)
            if event.kind == "progress" and event.data["message"] == "1번째":
                await first.supervisor.stop(1.0)
                await first.room.stop()
                await process(kind="worker").start()
            if event.kind == "progress" and event.data["message"] == "2번째":
                go.set()
    assert [event.kind for event in seen] == [
        "queued",
        "started",
        "progress",
        "retrying",
        "started",
        "progress",
        "succeeded",
    ]
    assert seen[3].data["outcome"] == "returned"
    assert [event.seq for event in seen] == sorted({event.seq for event in seen})
    again = [event async for event in desk.jobs.events(job.id, seen[2].seq)]
    assert again == seen[3:]
    found = await desk.jobs.find(job.id)
    assert (found.result, found.attempts, found.max_attempts) == (2, 2, 6)


async def test_a_dead_letter_is_mended_replayed_and_followed_from_where_it_was_seen_last(make_on_both):
    async def work(run, payload: dict):
        if payload["n"] < 0:
            raise JobFailed("validation", "음수")
        return payload["n"]

    world = make_on_both()
    world.jobs.declare(JobSpec(name="work", run=work))
    await world.start()
    job = await world.jobs.enqueue("work", {"n": -1})
    seen = [event async for event in world.jobs.events(job.id)]
    assert seen[-1].kind == "failed"
    assert seen[-1].data["error_kind"] == "validation"
    await world.jobs.decisions.replay(job.id, {"n": 7})
    rest = [event async for event in world.jobs.events(job.id, seen[-1].seq)]
    assert [event.kind for event in rest] == ["replayed", "started", "succeeded"]
    assert (await world.jobs.find(job.id)).result == 7
    assert [event async for event in world.jobs.events(job.id)] == seen + rest
