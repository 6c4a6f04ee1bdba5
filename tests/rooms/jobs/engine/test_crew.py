"""Who works: heartbeats, rescues, engines that change, a database that does not answer."""

import asyncio

import msgspec
import sqlalchemy as sa

from holdfast.kernel.errors import Unavailable
from holdfast.ports.jobs import Enqueue, JobSpec
from holdfast.rooms.jobs.rules import liveness
from holdfast.rooms.jobs.store.rows import Worker
from holdfast.rooms.jobs.store.tables import jobs
from tests.waiting import until

NUMBERS = sa.select((sa.bindparam("after", type_=sa.Integer) + 1).label("n")).cte("numbers", recursive=True)
NUMBERS = NUMBERS.union_all(sa.select(NUMBERS.c.n + 1).where(NUMBERS.c.n < sa.bindparam("last")))
COLUMNS = [column.name for column in jobs.columns if column.name != "id"]
MANY = sa.insert(jobs).from_select(
    ["id", *COLUMNS],
    sa.select(jobs.c.id + sa.cast(NUMBERS.c.n, sa.Text), *(jobs.c[name] for name in COLUMNS)).where(
        jobs.c.id == sa.bindparam("of")
    ),
)
"""A job, many times over."""
PLAN = sa.text(
    "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE state = 'available' AND queue = 'bulk' "
    "AND lane = '100' ORDER BY run_at_ms, id LIMIT 4"
)


class Works:
    """A job that waits to be let go."""

    def __init__(self):
        self.begun, self.left, self.go = [], [], asyncio.Event()

    async def __call__(self, run, payload):
        self.begun.append(run.attempt)
        try:
            await self.go.wait()
        finally:
            self.left.append(run.attempt)
        return "done"


def declare(world):
    works = Works()
    world.jobs.declare(JobSpec(name="works", run=works, attempts=3))
    return works


async def dead_worker(world, job, *, host="", lock=False, beat_ms=None):
    """A row of a worker that has died with this job at hand; its host is ours unless said otherwise."""
    now_ms = int(world.clock.wall() * 1000)
    beat_ms = now_ms if beat_ms is None else beat_ms
    row = Worker(
        id=f"dead-{job}",
        engine="worker",
        host=host or world.crew.host,
        pid=1,
        queues="bulk",
        started_ms=now_ms,
        beat_ms=beat_ms,
        lease_until_ms=beat_ms + 1000,
    )
    await world.jobs.upkeep.register(row)
    assert await world.jobs.store.claim_one(job, row.id, now_ms)
    return row


async def test_a_dead_worker_s_jobs_go_back_with_the_crash_counted(make_on_both):
    world, other = make_on_both(workers=False), make_on_both()
    declare(world)
    works = declare(other)
    await world.start()
    ids = [(await world.jobs.enqueue("works", {"n": n})).id for n in range(3)]
    for job in ids:
        await dead_worker(world, job)
    works.go.set()
    await other.start()
    for job in ids:
        view = await other.ended(job)
        assert (view.state, view.attempts) == ("succeeded", 2)
        row = await other.row(job)
        assert row.crashes == 1

    async def only_the_living_are_listed():
        return [row.id for row in await other.jobs.upkeep.workers()] == [other.crew.id]

    await until(only_the_living_are_listed)  # a row goes after the jobs that were held under it


async def test_the_third_death_of_a_worker_is_a_dead_letter(make):
    world = make(workers=False)
    works = declare(world)
    await world.start()
    await world.supervisor.stop(1.0)  # the looks are this test's
    job = (await world.jobs.enqueue("works", {})).id
    for _ in range(3):
        await world.state(job, "available")
        await dead_worker(world, job)
        await world.crew.rescue.look()
    view = await world.jobs.find(job)
    assert (view.state, view.error_kind, works.begun) == ("failed", "unknown", [])
    assert "died 3 times" in view.error


async def test_a_rollback_goes_on_when_its_worker_dies(make):
    world, other = make(workers=False), make()
    undone = []

    async def undo(run, payload):
        undone.append(payload)

    for each in (world, other):
        declare(each)
        each.jobs.declare(JobSpec(name="undo", run=undo))
    await world.start()
    await world.supervisor.stop(1.0)  # the looks are this test's
    job = (await world.jobs.enqueue("works", {})).id
    row = await dead_worker(world, job)
    for name in ("first", "last"):
        assert await world.jobs.store.add_compensation(job, 1, "undo", f'{{"of":"{name}"}}')
    await world.jobs.cancel(job)
    await world.crew.rescue.look()
    assert (await world.row(job)).ending == "cancelled"
    assert row.id not in {each.id for each in await world.jobs.upkeep.workers()}
    await dead_worker(world, job)
    assert await world.jobs.store.compensated(job, 2, 1, "done", "")
    await other.start()
    assert (await other.ended(job)).state == "cancelled"
    assert undone == [{"of": "first"}]


async def test_a_silent_worker_elsewhere_is_given_up_and_one_here_keeps_its_time(make):
    world = make(workers=False, lease_s=10.0)
    declare(world)
    await world.start()
    await world.supervisor.stop(1.0)  # the looks are this test's
    ids = [(await world.jobs.enqueue("works", {"n": n})).id for n in range(2)]
    here = await dead_worker(world, ids[0])
    there = await dead_worker(world, ids[1], host="elsewhere")
    held = []

    class Holding:
        """Both locks are held, or cannot be seen: the workers say nothing."""

        async def free(self, names):
            held.append(list(names))
            return []

    world.crew.rescue._presence = Holding()
    assert await world.crew.rescue.look() == 0
    world.clock.advance(11.0)
    assert await world.crew.rescue.look() == 0
    world.clock.step_wall(-3600.0)
    world.clock.advance(2.0)
    assert await world.crew.rescue.look() == 1
    left = {row.id for row in await world.jobs.upkeep.workers()}
    assert (here.id in left, there.id in left) == (True, False)
    world.clock.step_wall(3600.0)
    world.clock.advance(600.0)
    assert await world.crew.rescue.look() == 1


def test_a_free_lock_is_death_and_silence_only_where_no_lock_can_be_seen():
    cases = [
        (True, 0.0, True, liveness.DEAD),
        (False, 5.0, False, liveness.ALIVE),
        (False, 100.0, True, liveness.SILENT),
        (False, 100.0, False, liveness.DEAD),
    ]
    for free, silent_s, same_host, expected in cases:
        found = liveness.verdict(lock_is_free=free, silent_s=silent_s, lease_s=10.0, same_host=same_host)
        assert found == expected


async def test_jobs_stop_before_a_lease_that_cannot_be_renewed_ends(make):
    world = make(lease_s=100.0)
    works = declare(world)
    await world.start()
    job = (await world.jobs.enqueue("works", {})).id
    await until(lambda: works.begun)
    world.crew.pulse._end.set()  # as if nothing of it arrived any more
    world.crew.pulse.poke()
    await until(lambda: not world.crew.pulse._thread.is_alive())
    world.clock.advance(91.0)
    world.worker.look()
    assert works.left == []  # it had no turn; perhaps a job holds the interpreter
    world.crew.pulse.failures = 2
    await until(lambda: works.left)
    assert world.worker.running == {}
    assert (await world.row(job)).state == "running"  # nobody wrote: the next one to look gives it back


async def test_a_tenant_s_jobs_are_erased_even_while_one_runs(make_on_both):
    world = make_on_both()
    works = declare(world)
    await world.start()
    job = (await world.jobs.enqueue("works", {}, Enqueue(tenant="acme"))).id
    other = (await world.jobs.enqueue("works", {}, Enqueue(tenant="best"))).id
    await until(lambda: len(works.begun) == 2)
    assert await world.jobs.erase("acme") == 1
    assert await world.jobs.find(job) is None
    await until(lambda: works.left)
    works.go.set()
    assert (await world.ended(other)).state == "succeeded"
    assert await world.jobs.find(job) is None
    assert (await world.jobs.reading.attempts([job])) == {}


async def test_the_engine_changes_while_jobs_run_and_nothing_is_lost(make):
    server, worker = make(), make(kind="worker")
    serving, working = declare(server), declare(worker)
    for world in (server, worker):
        await world.start()
    first = (await server.jobs.enqueue("works", {})).id
    await until(lambda: serving.begun or working.begun)
    await server.room.admin.switch("background")
    await until(lambda: (server.worker.claiming, worker.worker.claiming) == (True, False))
    second = (await server.jobs.enqueue("works", {})).id
    await server.state(second, "running")
    await server.room.admin.switch("embedded")
    await until(lambda: (server.worker.claiming, worker.worker.claiming) == (True, True))
    serving.go.set()
    working.go.set()
    for job in (first, second):
        view = await server.ended(job)
        assert (view.state, view.attempts) == ("succeeded", 1)


async def test_a_server_works_jobs_off_itself_when_no_worker_is_alive(make):
    server = make(workers=False, patience_s=15.0)
    works = declare(server)
    works.go.set()
    await server.start()
    job = (await server.jobs.enqueue("works", {})).id
    assert not server.worker.claiming
    server.clock.advance(16.0)
    assert (await server.ended(job)).state == "succeeded"


async def test_under_celery_an_embedded_worker_that_lives_serves_nobody(make):
    server, worker = make(workers=False, patience_s=5.0), make(kind="worker")
    for world in (server, worker):
        declare(world).go.set()
        await world.start()
    job = (await server.jobs.enqueue("works", {})).id
    await server.ended(job)
    await server.jobs.upkeep.decide("engine", "celery", 1)
    await until(lambda: server.crew.switching.engine == "celery" and not worker.worker.claiming)
    job = (await server.jobs.enqueue("works", {})).id
    server.clock.advance(6)
    assert (await server.ended(job)).state == "succeeded"
    assert server.worker.ended_total == 1


async def test_ends_wait_for_a_ledger_that_does_not_answer(make):
    world = make()
    works = declare(world)
    await world.start()
    job = (await world.jobs.enqueue("works", {})).id
    await until(lambda: works.begun)
    turn, refused = world.jobs.store.turn, []

    async def away(*what):
        refused.append(what)
        raise Unavailable("away")

    world.jobs.store.turn = away
    works.go.set()
    await until(lambda: len(refused) >= 2)
    assert (await world.row(job)).state == "running"
    world.jobs.store.turn = turn
    assert (await world.ended(job)).state == "succeeded"
    assert works.begun == [1]


async def test_a_claim_whose_answer_was_lost_goes_back(make):
    world = make()
    works = declare(world)
    works.go.set()
    await world.start()
    turn, lost = world.jobs.store.turn, []

    async def forgetting(*what):
        good, taken = await turn(*what)
        if taken and not lost:
            lost.append(taken)
            raise Unavailable("the answer never came")
        return good, taken

    world.jobs.store.turn = forgetting
    job = (await world.jobs.enqueue("works", {})).id
    view = await world.ended(job)
    assert (view.state, len(lost)) == ("succeeded", 1)
    assert works.begun == [2]


async def test_a_claim_whose_answer_is_late_is_not_taken_for_lost(make):
    world = make()
    works = declare(world)
    works.go.set()
    turn, heard, beats = world.jobs.store.turn, world.worker.heard, []

    def counting(held, mark):
        beats.append(held)
        return heard(held, mark)

    async def late(*what):
        good, taken = await turn(*what)
        if taken:
            seen = len(beats)
            await until(lambda: len(beats) >= seen + 5)
        return good, taken

    world.worker.heard, world.jobs.store.turn = counting, late
    await world.start()
    view = await world.ended((await world.jobs.enqueue("works", {})).id)
    assert (view.state, view.attempts, works.begun) == ("succeeded", 1, [1])
    assert any(beats)


async def test_a_worker_that_starts_during_a_look_at_the_dead_keeps_its_folders(make):
    looks, starts = make(workers=False), make()
    folders, go = [], asyncio.Event()

    async def writes(run, payload):
        folders.append(run.folder())
        await go.wait()

    for world in (looks, starts):
        world.jobs.declare(JobSpec(name="writes", run=writes))
    await looks.start()
    upkeep, looked = looks.crew.rescue._upkeep, asyncio.Event()
    workers = upkeep.workers
    stale = await workers()  # read before the other one came
    await starts.start()
    await starts.jobs.enqueue("writes", {})
    await until(lambda: folders)
    gone = starts.crew._folders.root / f"{starts.crew.host}-gone"
    gone.mkdir()

    async def slow():
        looked.set()
        return [msgspec.structs.replace((await workers())[0], id="dead"), *stale]

    upkeep.workers = slow
    await looked.wait()
    await until(lambda: not gone.exists())
    assert folders[0].exists()
    upkeep.workers = workers
    go.set()


async def test_a_hundred_thousand_paused_jobs_are_worked_off_in_turn(make):
    world = make()
    works = declare(world)
    works.go.set()
    await world.start()
    await world.room.admin.pause("bulk", True)
    await until(lambda: world.worker.claims.lines["bulk"].paused)
    first = (await world.jobs.enqueue("works", {})).id
    for after in range(0, 100_000, 5_000):  # each in a statement's time, however slow the machine
        await world.sql.run(MANY, {"of": first, "after": after, "last": after + 5_000})
    assert await world.sql.fetch(sa.select(sa.func.count()).select_from(jobs)) == [(100_001,)]
    await world.room.admin.pause("bulk", False)
    await until(lambda: len(works.left) >= 50)
    assert (await world.ended(first)).state == "succeeded"
    await world.room.admin.pause("bulk", True)
    plan = await world.sql.fetch(PLAN, {})
    assert any("jobs_ready" in str(row) for row in plan)


async def test_one_failing_look_ends_neither_the_watch_nor_the_time(make):
    world = make()
    works = declare(world)
    await world.start()
    look, due, failed = world.worker.look, world.crew.due.look, []

    def bad_look():
        failed.append("look")
        world.worker.look = look
        raise RuntimeError("a bug")

    async def bad_due():
        failed.append("due")
        world.crew.due.look = due
        raise RuntimeError("a bug")

    world.worker.look, world.crew.due.look = bad_look, bad_due
    await until(lambda: len(failed) == 2)
    works.go.set()
    await world.ended((await world.jobs.enqueue("works", {})).id)
    assert not any(task.done() for task in (*world.worker._tasks, world.crew._due_task))
