"""What people decide about jobs, on both databases."""

import pytest

from holdfast.kernel.errors import BadInput
from holdfast.rooms.jobs.rules.problems import (
    AlreadyEnded,
    BadPayload,
    NotDead,
    NotEnded,
    Superseded,
    UnknownJob,
)
from holdfast.rooms.jobs.store.reading import Filters
from holdfast.rooms.jobs.store.tables import NEVER_MS
from tests.rooms.jobs.lives import Lives


@pytest.fixture
def lives(ledger):
    return Lives(ledger)


@pytest.fixture
def decide(lives):
    return lives.decisions


async def test_what_waits_is_cancelled_at_once_and_what_runs_is_asked(lives, decide):
    waits, runs = await lives.add(), await lives.add()
    assert await decide.cancel(waits, "왜")
    assert (await lives.reading.one(waits)).state == "cancelled"
    assert not await decide.cancel(waits), "it has ended"
    assert not await decide.cancel("nobody")
    await lives.claim(runs)
    assert await decide.cancel(runs, "enough")
    row = await lives.reading.one(runs)
    assert (row.state, row.cancel_reason) == ("running", "enough")
    events = await lives.events(runs)
    assert (events[-1].kind, dict(events[-1].data)) == ("cancelling", {"reason": "enough"})
    assert lives.rung == ["bulk", "bulk"]


async def test_a_retry_begins_what_failed_anew_and_what_waits_at_once(lives, decide):
    job_id = await lives.dead()
    found = await decide.retry(job_id)
    assert (found.state, found.status, found.attempts, found.max_attempts) == ("available", "PENDING", 1, 6)
    with pytest.raises(NotEnded):
        await decide.retry(job_id)
    await lives.claim(job_id)
    with pytest.raises(NotEnded, match="running"):
        await decide.retry(job_id)
    await lives.end(job_id, "retrying", run_at_ms=lives.now_ms + 99_000)
    assert (await decide.retry(job_id)).run_at_ms == lives.now_ms
    await lives.claim(job_id)
    await lives.end(job_id)
    with pytest.raises(AlreadyEnded):
        await decide.retry(job_id)
    with pytest.raises(UnknownJob):
        await decide.retry("nobody")


async def test_a_dead_letter_is_mended_and_replayed(lives, decide):
    job_id = await lives.dead()
    with pytest.raises(BadPayload):
        await decide.replay(job_id, {"n": "no number"})
    await decide.replay(job_id, {"n": 7})
    row = await lives.reading.one(job_id)
    assert (row.payload, row.state, row.error, row.crashes) == ('{"n":7}', "available", "", 0)
    assert (await lives.events(job_id))[-1].data == {"edited": True}
    with pytest.raises(NotDead):
        await decide.replay(job_id)


async def test_of_a_kind_that_is_not_known_here_any_payload_is_taken(lives, decide):
    job_id = await lives.dead(name="of another release")
    await decide.replay(job_id, ["한글"])
    assert (await lives.reading.one(job_id)).payload == '["한글"]'


async def test_a_replay_does_not_double_what_is_unique(lives, decide):
    job_id = await lives.dead(unique_key="doc:7")
    await lives.add(unique_key="doc:7")
    with pytest.raises(Superseded):
        await decide.replay(job_id)
    assert (await lives.reading.one(job_id)).state == "failed"


async def test_many_are_replayed_so_far_apart_and_the_rest_on_asking_again(lives, decide):
    ids = [await lives.dead(queue="ai") for _ in range(5)]
    await lives.dead(queue="rag")
    taken = await lives.dead(queue="ai", unique_key="doc:9")
    await lives.add(queue="ai", unique_key="doc:9")
    found = await decide.replay_all(Filters(queue="ai"), rate="2/s", most=4)
    assert (found.done, found.left_alone, found.is_all) == (3, 1, False)
    rest = await decide.replay_all(Filters(queue="ai"), most=100)
    assert (rest.done, rest.left_alone, rest.is_all) == (2, 1, True)
    starts = sorted(row.run_at_ms for row in (await lives.reading.some(ids[2:])).values())
    assert [at - starts[0] for at in starts] == [0, 500, 1000]
    assert (await lives.reading.one(taken)).state == "failed"
    assert await lives.upkeep.dead() == 2


async def test_a_dead_letter_is_discarded_with_a_reason(lives, decide):
    job_id = await lives.dead()
    with pytest.raises(BadInput, match="reason"):
        await decide.discard(job_id, " ")
    assert (await decide.discard(job_id, "the customer has left")).state == "cancelled"
    assert await lives.kinds(job_id) == ["queued", "started", "failed", "cancelled"]
    with pytest.raises(NotDead):
        await decide.discard(job_id, "again")
    await lives.dead()
    assert (await decide.discard_all(Filters(name="count"), "old")).done == 1
    assert await lives.upkeep.dead() == 0


async def test_a_replay_lets_those_behind_it_wait_for_it_again(lives, decide):
    first = await lives.dead(batch="g")
    later = {"state": "scheduled", "run_at_ms": NEVER_MS, "batch": "g"}
    second = await lives.add(after_job=first, **later)
    third = await lives.add(after_job=second, **later)
    await lives.jobs.settle()
    await decide.replay(first)
    rows = await lives.reading.some([second, third])
    assert {row.state for row in rows.values()} == {"scheduled"}
    await lives.claim(first)
    await lives.end(first)
    await lives.jobs.settle()
    rows = await lives.reading.some([second, third])
    assert [rows[each].state for each in (second, third)] == ["available", "scheduled"]
