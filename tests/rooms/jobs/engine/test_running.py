"""Attempts: how they run, end, are tried again, stopped and undone."""

import asyncio
import threading

import pytest

from holdfast.kernel.context import current_ctx, detached, enter, leave, span
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.event import Event, JobRun, Span
from holdfast.ports.jobs import Enqueue, JobCancelled, JobFailed, JobSpec, Retry
from tests.rooms.jobs.engine import isolated_work
from tests.waiting import until


async def test_async_plain_and_isolated_functions_run(make_on_both):
    world = make_on_both()
    threads = []

    @world.jobs.job("bulk")
    async def on_the_loop(run, text: str, times: int = 1):
        run.progress(0.5, "절반")
        return text * times

    @world.jobs.job("bulk")
    def in_a_thread(n: int):
        threads.append(threading.get_ident())
        return n + 1

    world.jobs.declare(
        JobSpec(name="apart", run=isolated_work.repeat, payload=isolated_work.Parcel, isolated=True)
    )
    await world.start()
    first = await world.jobs.enqueue(on_the_loop, text="가", times=3)
    second = await world.jobs.enqueue(in_a_thread, n=1)
    third = await world.jobs.enqueue("apart", isolated_work.Parcel(text="나"))
    seen = [event async for event in world.jobs.events(first.id)]
    assert [event.kind for event in seen] == ["queued", "started", "progress", "succeeded"]
    assert seen[2].data == {"progress": 0.5, "message": "절반"}
    assert (await world.ended(first.id)).result == "가가가"
    assert (await world.ended(second.id)).result == 2
    assert (await world.ended(third.id)).result["text"] == "나"
    assert threads != [threading.get_ident()]
    assert in_a_thread(4) == 5


async def test_an_app_has_error_kinds_of_its_own(make):
    class Refused(Exception):
        pass

    world = make()
    world.jobs.kind("editor_away", 600.0, meaning="nobody approves at night")
    world.jobs.fails_as(Refused, "editor_away")
    with pytest.raises(Misconfigured, match="no error kind"):
        world.jobs.fails_as(Refused, "editor_gone")

    @world.jobs.job("bulk")
    async def publish():
        raise Refused("내일 다시")

    await world.start()
    view = await world.state((await world.jobs.enqueue(publish)).id, "retrying")
    assert (view.error_kind, view.error) == ("editor_away", "Refused: 내일 다시")
    assert 590 < (view.run_at_ms - world.clock.wall() * 1000) / 1000 < 700


async def test_failures_are_tried_again_by_the_table_and_end_as_dead_letters(make_on_both):
    world = make_on_both()
    attempts = []

    @world.jobs.job("bulk")
    async def fails(run):
        attempts.append(run.attempt)
        raise JobFailed("temporary", "not yet")

    await world.start()
    job = (await world.jobs.enqueue(fails)).id
    waits = []
    for _ in range(4):
        view = await world.state(job, "retrying")
        waits.append((view.run_at_ms - world.clock.wall() * 1000) / 1000)
        await world.pass_time(waits[-1] + 0.01)
        await until(lambda: len(attempts) == len(waits) + 1)
    view = await world.ended(job)
    assert [1 <= waits[0] < 5, 5 <= waits[1] < 25, 25 <= waits[2] < 125, 125 <= waits[3] < 151] == [True] * 4
    assert (view.state, view.attempts, view.error_kind, attempts) == (
        "failed",
        5,
        "temporary",
        [1, 2, 3, 4, 5],
    )
    assert view.error.startswith("not yet")
    rows = (await world.jobs.reading.attempts([job]))[job]
    assert [row.outcome for row in rows] == ["retrying"] * 4 + ["failed"]
    assert "JobFailed" in rows[0].traceback


async def test_a_job_s_own_retries_and_retry_after_win(make):
    world = make()

    @world.jobs.job("bulk", retry={"rate_limited": Retry((2.0,))})
    async def limited(run):
        raise JobFailed("rate_limited", retry_after_s=40.0)

    await world.start()
    job = (await world.jobs.enqueue(limited)).id
    view = await world.state(job, "retrying")
    assert 40_000 <= view.run_at_ms - world.clock.wall() * 1000 < 50_000
    await world.pass_time(51)
    assert (await world.ended(job)).attempts == 2


async def test_steps_that_finished_are_not_taken_again(make_on_both):
    world = make_on_both()
    taken = []

    @world.jobs.job("bulk")
    async def long(run):
        async def work(name):
            taken.append(name)
            return {"of": name}

        first = await run.step("first", lambda: work("first"))
        if run.attempt == 1:
            raise JobFailed("temporary")
        return [first, await run.step("second", lambda: work("second"), dict[str, str])]

    await world.start()
    job = (await world.jobs.enqueue(long)).id
    await world.state(job, "retrying")
    await world.pass_time(2)
    assert (await world.ended(job)).result == [{"of": "first"}, {"of": "second"}]
    assert taken == ["first", "second"]


@pytest.mark.parametrize("how", ["async", "thread", "isolated"])
async def test_a_running_job_is_cancelled(make_on_both, how, tmp_path):
    world = make_on_both()
    begun, left = [], []

    @world.jobs.job("bulk", name="async")
    async def waits(run):
        begun.append(run.id)
        try:
            await asyncio.Event().wait()
        finally:
            left.append(run.id)

    @world.jobs.job("bulk", name="thread")
    def loops(run):
        begun.append(run.id)
        try:
            while True:
                run.check()
        finally:
            left.append(run.id)

    world.jobs.declare(JobSpec(name="isolated", run=isolated_work.hang, isolated=True))
    await world.start()
    job = (await world.jobs.enqueue(how, {"file": str(tmp_path / "pids")} if how == "isolated" else {})).id
    if how == "isolated":
        await until(lambda: (tmp_path / "pids").exists())
    else:
        await until(lambda: begun)
    assert await world.jobs.cancel(job, "그만")
    view = await world.ended(job)
    assert (view.state, view.status, view.error_kind) == ("cancelled", "FAILURE", "cancelled")
    assert left == begun
    assert not await world.jobs.cancel(job)


async def test_a_cancel_from_another_process_is_heard_with_the_heartbeat(make_on_both):
    here, there = make_on_both(), make_on_both(workers=False)
    begun = []

    @here.jobs.job("bulk", name="waits")
    async def waits(run):
        begun.append(run.id)
        await asyncio.Event().wait()

    there.jobs.declare(JobSpec(name="waits", run=waits))
    await here.start()
    await there.start()
    job = (await there.jobs.enqueue("waits", {})).id
    await until(lambda: begun)
    assert await there.jobs.cancel(job)
    assert (await there.ended(job)).state == "cancelled"


async def test_a_job_that_waits_is_cancelled_at_once(make):
    world = make()

    @world.jobs.job("bulk")
    async def later(run): ...

    await world.start()
    job = (await world.jobs.enqueue(later, {}, Enqueue(delay_s=60))).id
    assert (await world.jobs.find(job)).state == "scheduled"
    assert await world.jobs.cancel(job)
    assert [event.kind async for event in world.jobs.events(job)] == ["queued", "cancelled"]


@pytest.mark.parametrize("how", ["thread", "swallows"])
async def test_the_place_of_a_job_that_ignores_its_cancel_is_written_off(make, how):
    world = make()
    release, begun = threading.Event(), []

    @world.jobs.job("ai", name="thread")
    def ignores(run):
        begun.append(1)
        release.wait(60)

    @world.jobs.job("ai", name="swallows")
    async def swallows(run):
        begun.append(1)
        while not release.is_set():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                begun.append(2)

    await world.start()
    job = (await world.jobs.enqueue(how, {})).id
    await until(lambda: begun)
    await world.jobs.cancel(job)
    assert world.worker.claims.lines["ai"].busy == 1
    world.clock.advance(6)
    assert (await world.ended(job)).state == "cancelled"
    assert world.worker.claims.lines["ai"].busy == 0
    assert world.worker.written_off == 1
    release.set()


async def test_an_attempt_that_takes_too_long_is_stopped_and_tried_again(make):
    world = make()
    begun = []

    @world.jobs.job("bulk", timeout_s=30.0)
    async def slow(run):
        begun.append(run.id)
        await asyncio.Event().wait()

    @world.jobs.job("bulk", timeout_s=30.0)
    def checks(run):
        begun.append(run.id)
        while True:
            run.check()

    await world.start()
    jobs = [(await world.jobs.enqueue(each)).id for each in (slow, checks)]
    await until(lambda: len(begun) == 2)  # their rows say so sooner, and their time runs only from here
    world.clock.advance(31)
    for job in jobs:
        view = await world.state(job, "retrying")
        assert view.error_kind == "timeout"


async def test_what_was_done_is_undone_in_reverse(make_on_both):
    world = make_on_both()
    undone = []

    @world.jobs.job("bulk")
    async def undo(run, what: str):
        undone.append(what)
        if what == "broken":
            raise ValueError("it cannot be undone")

    @world.jobs.job("bulk")
    async def build(run):
        for what in ("first", "broken", "last"):
            await run.compensate(run_name, {"what": what})
        raise JobFailed("validation", "no good")

    run_name = "test_running.undo"
    await world.start()
    job = (await world.jobs.enqueue(build)).id
    view = await world.ended(job)
    assert (view.state, view.error_kind) == ("failed", "validation")
    assert "it cannot be undone" in view.error
    assert undone == ["last", "broken", "first"]
    assert [each.outcome for each in await world.jobs.store.compensations(job)] == ["done", "failed", "done"]


async def test_a_folder_of_its_own_is_removed_afterwards(make):
    world = make()
    folders = []

    @world.jobs.job("bulk")
    def writes(run):
        folders.append(run.folder())
        (run.folder() / "notes.txt").write_text("비밀")

    await world.start()
    await world.ended((await world.jobs.enqueue(writes)).id)
    assert len(folders) == 1
    assert not folders[0].exists()


async def test_a_stop_gives_back_what_runs_without_charging_it(make):
    first, second = make(), make()
    attempts = []

    async def long(run, payload):
        await run.step("kept", lambda: give(1))
        attempts.append(run.attempt)
        if len(attempts) == 1:
            await asyncio.Event().wait()
        return "done"

    async def give(value):
        return value

    for world in (first, second):
        world.jobs.declare(JobSpec(name="long", run=long, attempts=1))
    await first.start()
    job = (await first.jobs.enqueue("long", {})).id
    await until(lambda: attempts)
    await first.stop()
    await second.start()
    view = await second.ended(job)
    assert (view.state, view.result, attempts) == ("succeeded", "done", [1, 2])
    rows = (await second.jobs.reading.attempts([job]))[job]
    assert [row.outcome for row in rows] == ["returned", "succeeded"]


async def test_a_result_under_a_lost_fence_is_dropped(make_on_both):
    world = make_on_both()
    begun, go = [], asyncio.Event()

    @world.jobs.job("bulk")
    async def works(run):
        begun.append(run)
        if len(begun) == 1:
            await go.wait()
        return len(begun)

    await world.start()
    job = (await world.jobs.enqueue(works)).id
    await until(lambda: begun)
    row = (await world.jobs.upkeep.left_by(world.crew.id))[0]
    # As a rescuer does that takes us for dead; the second attempt comes to us too, and the first one goes.
    await world.crew.rescue._take([row])
    await until(lambda: len(begun) == 2)
    go.set()
    view = await world.ended(job)
    assert (view.result, view.attempts) == (2, 2)
    with pytest.raises(JobCancelled):
        begun[0].check()


async def test_an_attempt_is_a_record_in_the_trace_of_who_enqueued_it(make):
    world = make()
    seen = []

    @world.jobs.job("bulk")
    async def traced(run):
        with span("inside"):
            seen.append(current_ctx())

    await world.start()
    request = detached(Event(trace_id="a" * 32, span_id="b" * 16))
    token = enter(request)
    job = (await world.jobs.enqueue(traced, {}, Enqueue(tenant="acme", user="kim"))).id
    leave(token)
    await world.ended(job)
    await until(lambda: world.log.records[-1:] and isinstance(world.log.records[-1], JobRun))
    inside, record = world.log.records
    assert isinstance(inside, Span)
    assert (record.trace_id, record.parent_id, record.user_id) == ("a" * 32, "b" * 16, "kim")
    assert (record.job, record.outcome, record.attempt) == ("test_running.traced", "succeeded", 1)
    assert record.facts["job_id"] == job
    assert (inside.trace_id, inside.parent_id) == ("a" * 32, record.span_id)
    assert seen[0].tenant == "acme"
    assert seen[0] is not request


async def test_a_payload_of_an_older_version_is_brought_up_to_date(make):
    old, new, newer = make(workers=False), make(), make(workers=False)
    seen = []

    async def takes(run, payload):
        seen.append(payload)

    old.jobs.declare(JobSpec(name="job", run=takes))
    upgrades = {1: lambda payload: {"ids": [payload["id"]]}}
    new.jobs.declare(
        JobSpec(name="job", run=takes, payload=dict[str, list[int]], version=2, upgrades=upgrades)
    )
    newer.jobs.declare(JobSpec(name="job", run=takes, version=3, upgrades={2: dict}))
    for world in (old, newer, new):
        await world.start()
    done = (await old.jobs.enqueue("job", {"id": 7})).id
    waits = (await newer.jobs.enqueue("job", {"of": "tomorrow"})).id
    await new.ended(done)
    assert seen == [{"ids": [7]}]
    view = await new.state(waits, "retrying")
    assert view.error_kind == "temporary"


async def test_a_job_whose_deadline_has_passed_is_not_begun(make):
    world = make(workers=False)
    worker = make()
    begun = []

    async def never(run, payload):
        begun.append(1)

    for each in (world, worker):
        each.jobs.declare(JobSpec(name="never", run=never))
    await world.start()
    now_ms = int(world.clock.wall() * 1000)
    job = (await world.jobs.enqueue("never", {}, Enqueue(deadline_ms=now_ms + 1000))).id
    world.clock.advance(2)
    await worker.start()
    view = await worker.ended(job)
    assert (view.state, view.error_kind, begun) == ("failed", "deadline", [])


async def test_what_a_job_gives_must_be_json_and_a_name_must_be_known(make):
    world = make()

    @world.jobs.job("bulk")
    async def gives(run):
        return object()

    @world.jobs.job("bulk")
    async def leaves(run):
        raise SystemExit(1)

    await world.start()
    assert (await world.ended((await world.jobs.enqueue(gives)).id)).error_kind == "unsupported"
    view = await world.state((await world.jobs.enqueue(leaves)).id, "retrying")
    assert view.error_kind == "unknown"


async def test_progress_beyond_what_an_attempt_may_store_is_dropped(make, monkeypatch):
    monkeypatch.setattr("holdfast.rooms.jobs.engine.attempt._MOST_REPORTS", 2)
    world = make()

    @world.jobs.job("bulk")
    async def tells(run):
        for share in (0.1, 0.2, 0.3, 0.4):
            run.progress(share)
            run.flush()

    await world.start()
    job = (await world.jobs.enqueue(tells)).id
    shares = [event.data["progress"] async for event in world.jobs.events(job) if event.kind == "progress"]
    assert shares == [0.1, 0.2]
