"""An orderly stop: nothing that runs or was just claimed is abandoned, and nobody is charged for it."""

import asyncio
import threading

from holdfast.kernel.clock import SystemClock
from holdfast.ports.jobs import JobCancelled, JobSpec
from tests.waiting import until


async def test_what_a_turn_claims_while_the_stop_begins_is_given_back_uncharged(make):
    world = make(grace_s=1.0)
    begun = []

    async def works(run, payload):
        begun.append(run.attempt)

    world.jobs.declare(JobSpec(name="works", run=works, attempts=1))
    await world.start()
    turn, claimed, go = world.jobs.store.turn, asyncio.Event(), asyncio.Event()

    async def slow(progress, ends, asks, *more):
        good, taken = await turn(progress, ends, asks, *more)
        if taken:
            claimed.set()
            await go.wait()
        return good, taken

    world.jobs.store.turn = slow
    job = (await world.jobs.enqueue("works", {})).id
    await claimed.wait()
    stopping = asyncio.create_task(world.worker.stop(1.0))
    await until(lambda: world.worker.stopping)
    go.set()
    await stopping
    row = await world.row(job)
    assert (row.state, row.crashes, row.max_attempts - row.attempts, begun) == ("available", 0, 1, [])
    await world.crew.decide()
    assert not world.worker.claiming


async def test_a_stop_waits_for_a_thread_that_was_left_behind(make):
    world = make()
    begun, release, left = threading.Event(), threading.Event(), []

    @world.jobs.job("ai", name="stays")
    def stays(run):
        begun.set()
        release.wait(60)
        left.append(1)

    await world.start()
    job = (await world.jobs.enqueue("stays", {})).id
    await until(begun.is_set)
    await world.jobs.cancel(job)
    world.clock.advance(6)
    assert (await world.ended(job)).state == "cancelled"
    stopping = asyncio.create_task(world.worker.stop(60.0))
    await until(lambda: world.worker.stopping)
    release.set()
    await stopping
    assert left == [1]


async def test_a_job_that_is_to_stop_before_its_first_step_ends_without_it(make):
    world = make()
    attempts, begun = [], []

    async def works(run, payload):
        begun.append(run.attempt)

    world.jobs.declare(JobSpec(name="works", run=works))
    begin = world.worker.begin

    def and_cancel(job, told=None):
        attempts.append(begin(job, told))
        assert world.worker.cancel(job.id)
        return attempts[-1]

    world.worker.begin = and_cancel
    await world.start()
    job = (await world.jobs.enqueue("works", {})).id
    await until(lambda: attempts and attempts[0].task.done())
    assert (world.worker.running, begun) == ({}, [])
    assert (await world.ended(job)).state == "cancelled"
    assert world.worker.written_off == 0


async def test_nothing_is_left_running_by_a_stop_under_load(make):
    world = make(clock=SystemClock(), grace_s=2.0)

    async def quick(run, payload):
        await asyncio.sleep(0)

    world.jobs.declare(JobSpec(name="quick", run=quick, attempts=1))
    await world.start()
    ids = [each.id for each in await world.jobs.enqueue_many("quick", [{}] * 200)]
    await until(lambda: world.worker.ended_total > 20)
    await world.worker.stop(2.0)
    rows = [await world.row(job) for job in ids]
    assert {row.state for row in rows} <= {"available", "succeeded"}
    assert not any(row.crashes for row in rows)


async def test_the_folder_of_a_thread_that_was_left_behind_goes_when_it_ends(make):
    world = make()
    begun, release, folders = threading.Event(), threading.Event(), []

    @world.jobs.job("ai", name="stays")
    def stays(run):
        folders.append(run.folder())
        begun.set()
        release.wait(60)
        (run.folder() / "late.txt").write_text("secret")

    await world.start()
    job = (await world.jobs.enqueue("stays", {})).id
    await until(begun.is_set)
    await world.jobs.cancel(job)
    world.clock.advance(6)
    assert (await world.ended(job)).state == "cancelled"
    await until(lambda: not folders[0].exists())
    release.set()
    assert await world.worker._threads.quiet(60.0)
    assert not folders[0].exists()


async def test_a_job_that_sees_itself_that_its_time_is_up_has_as_long_to_leave_as_any(make):
    world = make()
    seen = []

    @world.jobs.job("ai", name="tidies", timeout_s=3.0, attempts=1)
    async def tidies(run):
        world.clock.advance(4)
        try:
            run.check()
        except JobCancelled:
            world.worker.look()
            seen.append(world.worker.written_off)
            raise

    await world.start()
    world.clock.advance(100)
    view = await world.ended((await world.jobs.enqueue("tidies", {})).id)
    assert (view.state, view.error_kind, seen) == ("failed", "timeout", [0])
