"""Jobs without the jobs room: what they keep of the port's promise, and what they say they do not."""

import asyncio
import threading

import msgspec
import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import BadInput, Conflict, Misconfigured, NotFound, Unavailable
from holdfast.ports.jobs import Enqueue, JobFailed, JobSpec
from holdfast.ports.plain_jobs import PlainJobs


class Payload(msgspec.Struct):
    doc_id: str
    pages: int = 1


@pytest.fixture
async def jobs():
    made = PlainJobs(SystemClock(), kept=3, waiting=5)
    yield made
    await made.stop()
    assert made.running == 0


async def ended(jobs, job_id):
    kinds = [event.kind async for event in jobs.events(job_id)]
    return await jobs.find(job_id), kinds


async def test_a_job_runs_and_is_watched_from_any_place(jobs):
    async def work(run, payload):
        run.progress(0.5, "half")
        first = await run.step("count", lambda: asyncio.sleep(0, payload.pages))
        again = await run.step("count", lambda: asyncio.sleep(0, -1), int)
        return {"pages": first + again}

    jobs.declare(JobSpec(name="read", run=work, payload=Payload, queue="rag"))
    enqueued = await jobs.enqueue("read", {"doc_id": "a", "pages": 2}, Enqueue(tenant="acme", user="ada"))
    view, kinds = await ended(jobs, enqueued.id)
    assert kinds == ["queued", "progress", "progress", "step", "succeeded"]
    assert (view.state, view.status, view.result, view.progress) == (
        "succeeded",
        "SUCCESS",
        {"pages": 4},
        1.0,
    )
    assert (view.tenant, view.user, view.queue, view.attempts) == ("acme", "ada", "rag", 1)
    later = [event.kind async for event in jobs.events(enqueued.id, after=3)]
    assert later == ["step", "succeeded"]


async def test_a_unique_job_is_one_while_it_waits_or_runs(jobs):
    go = asyncio.Event()

    async def work(run, payload):
        await go.wait()

    jobs.declare(JobSpec(name="read", run=work, payload=Payload, unique="doc:{doc_id}"))
    first = await jobs.enqueue("read", Payload("a"))
    second = await jobs.enqueue("read", Payload("a", 9))
    other = await jobs.enqueue("read", Payload("b"))
    assert (second.id, second.is_new, other.is_new) == (first.id, False, True)
    go.set()
    await ended(jobs, first.id)
    assert (await jobs.enqueue("read", Payload("a"))).is_new


async def test_an_idempotency_key_is_one_payload(jobs):
    async def work(run, payload):
        return 1

    jobs.declare(JobSpec(name="read", run=work, payload=Payload))
    first = await jobs.enqueue("read", Payload("a"), Enqueue(key="k"))
    await ended(jobs, first.id)
    assert (await jobs.enqueue("read", Payload("a"), Enqueue(key="k"))).id == first.id
    with pytest.raises(Conflict):
        await jobs.enqueue("read", Payload("b"), Enqueue(key="k"))


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (JobFailed("quota", "no pages left"), "quota", "no pages left"),
        (Unavailable("gone", hint="wait"), "temporary", "gone (wait)"),
        (ValueError("odd"), "unknown", "odd"),
    ],
)
async def test_a_failure_is_kept_with_its_kind_and_undone(jobs, error, kind, said):
    undone = []

    async def work(run, payload):
        await run.compensate("undo", {"n": 1})
        await run.compensate("undo", {"n": 2})
        raise error

    async def undo(run, payload):
        undone.append(payload["n"])

    jobs.declare(JobSpec(name="work", run=work))
    jobs.declare(JobSpec(name="undo", run=undo))
    view, kinds = await ended(jobs, (await jobs.enqueue("work", {})).id)
    assert (view.state, view.status, view.error_kind, view.error) == ("failed", "FAILURE", kind, said)
    assert kinds[-1] == "failed"
    await jobs.stop()
    assert undone == [2, 1]


async def test_a_running_job_is_cancelled_on_the_loop_and_in_a_thread(jobs):
    started, folders = threading.Event(), []

    async def waits(run, payload):
        started.set()
        await asyncio.Event().wait()

    def spins(run, payload):
        folders.append(run.folder())
        (folders[0] / "secret").write_text("비밀", "utf-8")
        started.set()
        while True:
            run.check()

    jobs.declare(JobSpec(name="waits", run=waits))
    jobs.declare(JobSpec(name="spins", run=spins))
    for name in ("waits", "spins"):
        started.clear()
        enqueued = await jobs.enqueue(name, {})
        await asyncio.to_thread(started.wait)
        assert await jobs.cancel(enqueued.id, "not wanted")
        view, _ = await ended(jobs, enqueued.id)
        assert (view.state, view.error, view.cancel_requested) == ("cancelled", "not wanted", True)
        assert not await jobs.cancel(enqueued.id)
    await jobs.stop()
    assert not folders[0].exists()


async def test_a_job_that_has_not_begun_is_cancelled(jobs):
    async def work(run, payload):
        raise AssertionError

    jobs.declare(JobSpec(name="work", run=work))
    for delay_s in (0.0, 3600.0):
        enqueued = await jobs.enqueue("work", {}, Enqueue(delay_s=delay_s))
        assert await jobs.cancel(enqueued.id)
        view, kinds = await ended(jobs, enqueued.id)
        assert (view.state, view.attempts, kinds) == ("cancelled", 0, ["queued", "cancelling", "cancelled"])


async def test_a_cancel_while_it_is_undone_changes_nothing(jobs):
    undoing, go = asyncio.Event(), asyncio.Event()

    async def work(run, payload):
        run.folder()
        await run.compensate("undo", {})
        raise JobFailed("quota", "no pages left")

    async def undo(run, payload):
        undoing.set()
        await go.wait()

    jobs.declare(JobSpec(name="work", run=work))
    jobs.declare(JobSpec(name="undo", run=undo))
    enqueued = await jobs.enqueue("work", {})
    await undoing.wait()
    assert await jobs.cancel(enqueued.id, "not wanted")
    go.set()
    async with asyncio.timeout(30):
        view, _ = await ended(jobs, enqueued.id)
    assert (view.state, view.error, jobs.running) == ("failed", "no pages left", 0)


async def test_a_job_whose_task_is_ended_is_forgotten_all_the_same(jobs):
    undoing = asyncio.Event()

    async def work(run, payload):
        await run.compensate("undo", {})
        raise JobFailed("quota")

    async def undo(run, payload):
        undoing.set()
        await asyncio.Event().wait()

    jobs.declare(JobSpec(name="work", run=work))
    jobs.declare(JobSpec(name="undo", run=undo))
    enqueued = await jobs.enqueue("work", {})
    await undoing.wait()
    [task] = jobs._tasks
    task.cancel()
    async with asyncio.timeout(30):
        view, _ = await ended(jobs, enqueued.id)
    assert (view.state, jobs.running) == ("failed", 0)


async def test_an_erased_tenant_has_no_jobs(jobs):
    go = asyncio.Event()

    async def work(run, payload):
        await go.wait()
        return "비밀"

    jobs.declare(JobSpec(name="work", run=work, payload=Payload, unique="{doc_id}"))
    mine, others = [
        (await jobs.enqueue("work", Payload(tenant), Enqueue(tenant=tenant, key="k"))).id
        for tenant in ("acme", "beta")
    ]
    assert [await jobs.erase("acme"), await jobs.erase("acme"), await jobs.erase("")] == [1, 0, 0]
    assert await jobs.find(mine) is None
    go.set()
    assert (await ended(jobs, others))[0].result == "비밀"
    async with asyncio.timeout(30):
        while jobs.running:
            await asyncio.sleep(0)
    assert await jobs.find(mine) is None
    assert (await jobs.enqueue("work", Payload("acme"), Enqueue(tenant="acme", key="k"))).is_new
    assert await jobs.erase("beta") == 1
    assert await jobs.find(others) is None


async def test_one_that_takes_too_long_has_failed(jobs):
    async def waits(run, payload):
        await asyncio.Event().wait()

    jobs.declare(JobSpec(name="waits", run=waits, timeout_s=0.01))
    view, _ = await ended(jobs, (await jobs.enqueue("waits", {})).id)
    assert (view.state, view.error_kind) == ("failed", "timeout")


async def test_memory_is_bounded(jobs):
    go = asyncio.Event()

    async def work(run, payload):
        await go.wait()

    jobs.declare(JobSpec(name="work", run=work))
    made = [(await jobs.enqueue("work", {})).id for _ in range(5)]
    with pytest.raises(Unavailable):
        await jobs.enqueue("work", {})
    go.set()
    async with asyncio.timeout(10):
        while jobs.running:
            await asyncio.sleep(0)
    assert [await jobs.find(one) is not None for one in made] == [False, False, True, True, True]


async def test_what_cannot_be_is_refused(jobs, caplog):
    async def work(run, payload):
        return None

    jobs.declare(JobSpec(name="read", run=work, payload=Payload))
    with pytest.raises(Misconfigured):
        jobs.declare(JobSpec(name="read", run=work))
    with pytest.raises(BadInput):
        await jobs.enqueue("read", {"pages": "many"})
    with pytest.raises(BadInput):
        await jobs.enqueue("unknown", {})
    with pytest.raises(NotFound):
        [event async for event in jobs.events("nobody")]
    jobs.every("nightly", "0 3 * * *", "read", {"doc_id": "a"})
    assert "does not run" in caplog.text
