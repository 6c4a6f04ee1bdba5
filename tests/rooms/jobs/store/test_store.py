"""The life of jobs, on both databases."""

import asyncio
import itertools

import pytest

from holdfast.kernel.errors import Conflict
from holdfast.rooms.jobs.store.history import History
from holdfast.rooms.jobs.store.reading import Filters, Reading
from holdfast.rooms.jobs.store.rows import Ended, NewJob, Progress, Schedule, Worker
from holdfast.rooms.jobs.store.store import Store
from holdfast.rooms.jobs.store.tables import NEVER_MS
from holdfast.rooms.jobs.store.upkeep import Upkeep

_numbers = itertools.count()
NOW = 1_750_000_000_000


def new(**more):
    number = next(_numbers)
    lane = more.pop("lane", "100")
    known = {
        "id": f"job-{number:08d}",
        "name": "count",
        "queue": "bulk",
        "lane": lane,
        "state": "available",
        "payload": '{"글":"한글 🦦"}',
        "created_ms": NOW + number,
        "run_at_ms": NOW,
        "max_attempts": 5,
    }
    return NewJob(**{**known, **more})


def ended(job, state="succeeded", **more):
    known = {
        "id": job.id,
        "fence": job.fence,
        "attempt": job.attempts,
        "worker": job.worker,
        "started_ms": job.started_ms,
        "now_ms": NOW + 50,
        "outcome": state,
        "state": state,
        "run_at_ms": job.run_at_ms,
    }
    return Ended(**{**known, **more})


@pytest.fixture
def store(ledger):
    return Store(ledger)


@pytest.fixture
def upkeep(ledger):
    return Upkeep(ledger)


@pytest.fixture
def reading(ledger):
    return Reading(ledger)


@pytest.fixture
def history(ledger):
    return History(ledger)


async def again(history, job_id, more, **how):
    seen = await history.follow(job_id)
    return await history.replay(job_id, seen, more=more, now_ms=NOW, at_ms=NOW, **how)


async def claim(store, most=10, worker="w1", lane="100", queue="bulk"):
    return (await store.turn([], [], [(queue, lane, most)], worker, NOW + 10))[1]


async def test_a_job_is_claimed_once_by_eight_contenders(store):
    await store.add_all([new() for _ in range(200)])

    async def contend(worker):
        mine = []
        while batch := await claim(store, 7, worker):
            mine += batch
        return mine

    taken = await asyncio.gather(*(contend(f"w{n}") for n in range(8)))
    ids = [job.id for mine in taken for job in mine]
    assert len(ids) == len(set(ids)) == 200
    assert all(
        job.attempts == job.fence == 1 and job.payload == '{"글":"한글 🦦"}' for mine in taken for job in mine
    )


async def test_the_oldest_of_a_lane_come_first_and_lanes_come_in_order(store):
    await store.add_all(
        [new(lane="100b"), new(lane="050a"), new(lane="100a", run_at_ms=NOW + 1), new(lane="100a")]
    )
    assert await store.lanes("bulk") == ["050a", "100a", "100b"]
    assert await store.lanes("bulk", after="100", below="101") == ["100a", "100b"]
    assert await store.lanes("ai") == []
    _, taken = await store.turn([], [], [("bulk", "100a", 5), ("bulk", "050a", 1)], "w1", NOW)
    assert [(job.lane, job.run_at_ms - NOW) for job in taken] == [("050a", 0), ("100a", 0), ("100a", 1)]


async def test_nothing_is_claimed_of_a_paused_queue(store, upkeep):
    job = new(queue="ai")
    await store.add(job)
    await upkeep.pause("ai", paused=True)
    assert await claim(store, queue="ai") == []
    assert await store.claim_one(job.id, "w1", NOW) is None
    await upkeep.pause("ai", paused=False)
    assert (await store.claim_one(job.id, "w1", NOW)).id == job.id
    assert await store.claim_one(job.id, "w2", NOW) is None


async def test_an_end_is_written_once_and_only_under_its_fence(store, reading):
    await store.add_all([new(), new()])
    first, second = await claim(store)
    stale = ended(first, fence=first.fence + 1)
    done = ended(second, result='"gut"', result_until_ms=NOW + 1000)
    assert await store.follow([], [stale, done]) == {second.id}
    assert await store.follow([], [stale, done]) == set()
    there = await reading.some([first.id, second.id])
    assert there[first.id].state == "running"
    assert (there[second.id].state, there[second.id].result, there[second.id].progress) == (
        "succeeded",
        '"gut"',
        1,
    )
    attempts = await reading.attempts([first.id, second.id])
    assert list(attempts) == [second.id]
    assert [(each.attempt, each.outcome) for each in attempts[second.id]] == [(1, "succeeded")]


async def test_progress_is_numbered_behind_its_floor_and_stands_in_the_row(store, reading):
    await store.add(new())
    (job,) = await claim(store)
    floor = (1 << 20) + 1
    told = [
        Progress(job.id, job.fence, floor, "progress", NOW, '{"n":1}', 0.25, "하나"),
        Progress(job.id, job.fence, floor, "step", NOW, '{"step":"fetch"}'),
    ]
    assert await store.follow(told, []) == {job.id}
    found = await reading.events([job.id])
    assert [(each.seq, each.kind) for each in found[job.id]] == [(floor, "progress"), (floor + 1, "step")]
    assert await reading.events([job.id], after=floor + 1) == {}
    row = await reading.one(job.id)
    assert (row.progress, row.message) == (0.25, "하나")
    assert await store.follow([Progress(job.id, 99, floor, "progress", NOW, "{}", 0.5)], []) == set()


async def test_a_decision_is_told_only_of_the_job_as_it_was_seen(store, reading):
    job = new()
    await store.add(job)
    seen = {"floor": 2, "kind": "cancelling", "at_ms": NOW, "data": "{}"}
    assert await store.tell(job.id, attempts=0, running=False, **seen)
    await claim(store)
    assert not await store.tell(job.id, attempts=0, running=False, **seen)
    assert await store.tell(job.id, attempts=1, running=True, **{**seen, "floor": 1 << 20})
    assert [each.seq for each in (await reading.events([job.id]))[job.id]] == [2, 1 << 20]


async def test_a_shutdown_gives_one_attempt_more_and_a_crash_does_not(store, reading):
    await store.add(new())
    (job,) = await claim(store)
    assert await store.follow([], [ended(job, "available", outcome="returned", counts=False)])
    (again,) = await claim(store)
    assert (again.attempts, again.max_attempts, again.fence) == (2, 6, 2)
    assert await store.follow([], [ended(again, "retrying", outcome="lost", crashed=True)])
    row = await reading.one(job.id)
    assert (row.attempts, row.max_attempts, row.crashes, row.state, row.worker) == (2, 6, 1, "retrying", "")
    assert [each.outcome for each in (await reading.attempts([job.id]))[job.id]] == ["returned", "lost"]


async def test_what_is_due_is_promoted_and_what_waits_for_others_never(store):
    await store.add_all(
        [
            new(state="scheduled", run_at_ms=NOW + 5, queue="ai"),
            new(state="retrying", run_at_ms=NOW + 9),
            new(state="scheduled", run_at_ms=NEVER_MS, after_job="nobody"),
        ]
    )
    assert await store.next_due_ms() == NOW + 5
    assert await store.promote(NOW + 5) == {"ai"}
    assert await store.next_due_ms() == NOW + 9
    assert await store.promote(NOW + 100) == {"bulk"}
    assert await store.next_due_ms() is None


async def test_a_unique_key_is_held_while_the_job_is_open(store, history):
    first, second = new(unique_key="doc:7"), new(unique_key="doc:7")
    assert await store.add(first)
    assert not await store.add(second)
    assert (await store.holder("doc:7", None))[0] == first.id
    assert await store.add_all([new(unique_key="doc:7"), new()]) != set()
    (job,) = [each for each in await claim(store) if each.id == first.id]
    await store.follow([], [ended(job, "failed")])
    assert await store.holder("doc:7", None) is None
    assert await store.add(second)
    with pytest.raises(Conflict):
        await again(history, first.id, 5)


async def test_a_repeat_key_is_held_after_the_end_until_it_is_dropped(store):
    first = new(repeat_key="k", digest="d")
    assert await store.add(first)
    (job,) = await claim(store)
    await store.follow([], [ended(job)])
    assert not await store.add(new(repeat_key="k"))
    assert await store.holder(None, "k") == (first.id, "d", "k")
    assert await store.drop_repeat_keys(first.created_ms + 1) == 1
    assert await store.add(new(repeat_key="k"))


async def test_jobs_are_added_with_their_callers_data_or_not_at_all(store, reading):
    job = new()

    async def order():
        async with store.sql.transaction() as tx:
            assert await store.add_all([job], within=tx) == {job.id}
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await order()
    assert await reading.one(job.id) is None


async def test_steps_and_compensations_belong_to_the_attempt_that_runs(store):
    await store.add(new())
    (job,) = await claim(store)
    assert await store.add_step(job.id, job.fence, "fetch", '"x"', NOW)
    assert await store.add_step(job.id, job.fence, "fetch", '"y"', NOW)
    assert not await store.add_step(job.id, 9, "parse", "1", NOW)
    assert await store.steps(job.id) == {"fetch": '"x"'}
    assert await store.add_compensation(job.id, job.fence, "refund", "1")
    assert await store.add_compensation(job.id, job.fence, "refund", "2")
    assert not await store.add_compensation(job.id, 9, "refund", "3")
    assert [(each.ordinal, each.payload) for each in await store.compensations(job.id)] == [
        (1, "2"),
        (0, "1"),
    ]
    assert await store.compensated(job.id, job.fence, 1, "done", "")
    assert not await store.compensated(job.id, 9, 0, "done", "")
    assert [each.outcome for each in await store.compensations(job.id)] == ["done", ""]


async def test_cancel_says_what_it_found(store, reading):
    waits, runs, undoes = new(), new(), new()
    await store.add_all([runs, undoes])
    taken = {job.id: job for job in await claim(store)}
    await store.add(waits)
    assert await store.cancel(waits.id, "why", NOW) == "cancelled"
    assert await store.cancel(waits.id, "why", NOW) == ""
    assert await store.cancel("nobody", "", NOW) == ""
    assert await store.cancel(runs.id, "why", NOW + 3) == "asked"
    assert await store.cancel(runs.id, "why", NOW + 9) == "asked"
    assert (await reading.one(runs.id)).cancel_ms == NOW + 3
    job = taken[undoes.id]
    await store.add_compensation(job.id, job.fence, "refund", "1")
    await store.follow([], [ended(job, "retrying", run_at_ms=NOW + 10_000)])
    assert await store.cancel(undoes.id, "why", NOW) == "rolling back"
    row = await reading.one(undoes.id)
    assert (row.state, row.ending, row.run_at_ms) == ("available", "cancelled", NOW)


async def test_a_dead_letter_is_tried_again_edited_or_discarded(store, upkeep, reading, history):
    await store.add_all([new(), new()])
    one, two = await claim(store)
    ends = [ended(each, "failed", error_kind="quota", error="쿼터", traceback="...") for each in (one, two)]
    await store.follow([], ends)
    assert await upkeep.dead() == 2
    assert [job.id for job in await reading.listed(Filters(state="failed", error_kind="quota"), 9)] == [
        two.id,
        one.id,
    ]
    assert await again(history, one.id, 3, edited=('{"a":1}', 1)) == "bulk"
    row = await reading.one(one.id)
    assert (row.state, row.payload, row.max_attempts, row.ended_ms, row.error) == (
        "available",
        '{"a":1}',
        4,
        None,
        "",
    )
    seen = await history.follow(two.id)
    assert await history.discard(two.id, seen, "old", NOW)
    assert not await history.discard(two.id, seen, "old", NOW)
    assert await upkeep.dead() == 0


async def test_a_chain_goes_on_or_fails_to_its_end(store, reading):
    heads = [new(), new()]
    tails = [new(state="scheduled", run_at_ms=NEVER_MS, after_job=head.id) for head in heads]
    ends = [new(state="scheduled", run_at_ms=NEVER_MS, after_job=tail.id) for tail in tails]
    await store.add_all([*heads, *tails, *ends])
    assert await store.settle_followers(NOW) == set()
    good, bad = await claim(store)
    await store.follow([], [ended(good), ended(bad, "failed")])
    assert await store.settle_followers(NOW) == {"bulk"}
    states = await reading.some([job.id for job in (*tails, *ends)])
    assert [states[job.id].state for job in (*tails, *ends)] == ["available", "failed", "scheduled", "failed"]
    assert states[ends[1].id].error_kind == "dependency"


async def test_a_callback_waits_for_all_of_its_batch(store):
    members = [new(batch="b"), new(batch="b")]
    callback = new(state="scheduled", run_at_ms=NEVER_MS, after_batch="b", queue="ai")
    await store.add_all([*members, callback])
    one, two = await claim(store)
    await store.follow([], [ended(one)])
    assert await store.settle_followers(NOW) == set()
    await store.follow([], [ended(two, "failed")])
    assert await store.settle_followers(NOW) == {"ai"}
    assert await store.batch("b") == {"succeeded": 1, "failed": 1}


async def test_a_worker_hears_with_its_heartbeat_what_it_holds(store, upkeep):
    worker = Worker(
        id="w1",
        engine="embedded",
        host="h",
        pid=1,
        queues="bulk",
        started_ms=NOW,
        beat_ms=NOW,
        lease_until_ms=NOW,
    )
    await upkeep.register(worker)
    await store.add_all([new(), new()])
    one, two = await claim(store)
    await store.cancel(two.id, "", NOW)
    beat = await upkeep.beat("w1", NOW + 1, NOW + 2, '{"rss":1}', stopping=False)
    assert beat == {one.id: (1, False), two.id: (1, True)}
    assert [job.id for job in await upkeep.left_by("w1", after=one.id)] == [two.id]
    assert await upkeep.strays() == []
    assert not await upkeep.remove_worker("w1")
    await store.follow([], [ended(one), ended(two, "cancelled")])
    assert await upkeep.remove_worker("w1")
    assert await upkeep.beat("w1", NOW, NOW, "{}", stopping=False) is None
    assert await upkeep.workers() == []


async def test_jobs_of_workers_that_nobody_knows_are_found(store, upkeep):
    await store.add_all([new(), new()])
    one, two = await claim(store, worker="gone")
    assert [job.id for job in await upkeep.strays()] == [one.id, two.id]
    assert [job.id for job in await upkeep.strays(after=one.id)] == [two.id]


async def test_of_many_schedulers_one_fires(store, upkeep, reading):
    schedule = Schedule(
        name="nightly",
        job="count",
        payload="{}",
        cron="0 3 * * *",
        zone="Asia/Seoul",
        catch_up="once",
        next_ms=NOW,
    )
    await upkeep.declare_schedule(schedule)
    (due,) = await upkeep.due_schedules(NOW)
    fired = await asyncio.gather(*(upkeep.fire(due, NOW + 1000, [new(batch="s")]) for _ in range(8)))
    assert sum(fired) == 1
    assert await store.batch("s") == {"available": 1}
    await upkeep.declare_schedule(schedule)
    (kept,) = await upkeep.schedules()
    assert (kept.next_ms, kept.last_ms) == (NOW + 1000, NOW)
    await upkeep.declare_schedule(
        Schedule(**{**{f: getattr(schedule, f) for f in schedule.__struct_fields__}, "cron": "0 4 * * *"})
    )
    assert (await upkeep.schedules())[0].next_ms == NOW
    assert await upkeep.pause_schedule("nightly", paused=True)
    assert await upkeep.due_schedules(NOW) == []
    assert await upkeep.drop_schedule("nightly")


async def test_a_rate_is_taken_from_one_at_a_time(upkeep):
    def one_a_call(tat_ms):
        return 1, tat_ms + 1

    await asyncio.gather(*(upkeep.pace("ai", one_a_call) for _ in range(8)))
    assert (await upkeep.queues())["ai"].tat_ms == 8


async def test_what_is_old_is_thrown_away_with_all_it_left(store, upkeep, reading):
    await store.add_all([new(tenant="t"), new(tenant="t"), new(tenant="t")])
    one, two, _ = await claim(store)
    await store.follow(
        [Progress(one.id, one.fence, 1 << 20, "progress", NOW, "{}", 0.5)],
        [ended(one, result="1", result_until_ms=NOW + 60), ended(two, "failed")],
    )
    assert await upkeep.drop_results(NOW + 59) == 0
    assert await upkeep.drop_results(NOW + 60) == 1
    assert await upkeep.drop_old(NOW + 50, NOW) == 1
    assert await reading.one(one.id) is None
    assert await reading.attempts([one.id]) == await reading.events([one.id]) == {}
    assert await upkeep.drop_old(NOW + 50, NOW + 50) == 1
    assert [state for _, state in await upkeep.of_tenant("t")] == ["running"]
    assert await upkeep.of_tenant("") == []


async def test_lists_are_narrowed_and_go_on_where_they_ended(store, reading, upkeep):
    await store.add_all([new(tenant="a", owner="u"), new(tenant="b", owner="u"), new(tenant="a", queue="ai")])
    assert len(await reading.listed(Filters(owner="u"), 10)) == 2
    newest, older = await reading.listed(Filters(tenant="a"), 10)
    assert newest.id > older.id
    assert await reading.listed(Filters(tenant="a", before=newest.id, state="available"), 10) == [older]
    assert await reading.listed(Filters(state="strange"), 10) == []
    assert sorted(row[:3] for row in await upkeep.lengths()) == [
        ("ai", "available", 1),
        ("bulk", "available", 2),
    ]


async def test_a_decision_holds_until_the_next(upkeep):
    assert await upkeep.decision("engine") is None
    await upkeep.decide("engine", "celery", NOW)
    await upkeep.decide("engine", "embedded", NOW)
    assert await upkeep.decision("engine") == "embedded"


async def test_a_worker_whose_clock_is_behind_claims_what_it_was_told_of(store):
    job = new(run_at_ms=NOW + 60_000)
    await store.add(job)
    assert (await store.claim_one(job.id, "w1", NOW)).id == job.id


async def test_two_ends_of_one_attempt_at_once_are_one_and_stop_no_other(store, reading):
    await store.add_all([new(), new()])
    first, second = await claim(store)
    assert await store.follow([], [ended(first), ended(first, "failed"), ended(second)]) == {
        first.id,
        second.id,
    }
    found = await reading.some([first.id, second.id])
    assert {row.state for row in found.values()} == {"succeeded"}
    assert len((await reading.attempts([first.id]))[first.id]) == 1
