"""What is told of a job never changes its place, on both databases."""

import random

import pytest

from holdfast.kernel.errors import Conflict
from holdfast.rooms.jobs.rules.states import ENDED
from tests.rooms.jobs.lives import Lives

WORKER = (
    "progress",
    "progress",
    "succeeded",
    "retrying",
    "failed",
    "cancelled",
    "returned",
    "lost",
    "undoing",
)
PEOPLE = ("cancel", "replay", "discard", "retry")


@pytest.fixture
def lives(ledger):
    return Lives(ledger)


async def move(lives, job_id, what):
    row = await lives.reading.one(job_id)
    if what in PEOPLE:
        try:
            if what == "cancel":
                await lives.decisions.cancel(job_id, "왜")
            elif what == "discard":
                await lives.decisions.discard(job_id, "no use")
            else:
                await getattr(lives.decisions, what)(job_id)
        except Conflict:
            assert row.state not in ("failed", "cancelled") or what == "discard"
    elif row.state == "running":
        await (lives.progress(job_id) if what == "progress" else lives.end(job_id, what))
    else:
        await lives.claim(job_id)


@pytest.mark.parametrize("seed", range(6))
async def test_what_was_told_stays_whatever_happens(lives, seed):
    draw = random.Random(seed)
    job_id = await lives.add()
    seen = []
    for _ in range(35):
        lives.clock.advance(1)
        await move(lives, job_id, draw.choice(WORKER + WORKER + PEOPLE))
        told = await lives.events(job_id)
        assert told[: len(seen)] == seen
        numbers = [event.seq for event in told]
        assert numbers == sorted(set(numbers))
        assert ((await lives.reading.one(job_id)).state in ENDED) == (told[-1].kind in ENDED)
        seen = told
        after = draw.choice([0, *numbers])
        assert await lives.events(job_id, after) == [event for event in seen if event.seq > after]


async def test_a_mark_moves_with_everything_that_is_told(lives):
    job_id = await lives.add()
    marks = []

    async def note():
        marks.append((await lives.history.marks([job_id, "nobody"]))[job_id])

    await note()
    await lives.claim(job_id)
    await note()
    await lives.progress(job_id)
    await note()
    await lives.end(job_id, "failed")
    await note()
    await lives.decisions.replay(job_id)
    await note()
    await lives.decisions.cancel(job_id)
    await note()
    assert len(set(marks)) == len(marks)
    assert await lives.history.follow("nobody") is None


async def test_an_end_outside_an_attempt_is_told_and_kept_when_the_row_forgets_it(lives):
    job_id = await lives.add()
    await lives.decisions.cancel(job_id, "not needed")
    first = await lives.events(job_id)
    assert [(event.kind, dict(event.data)) for event in first[1:]] == [
        ("cancelled", {"error_kind": "cancelled", "reason": "not needed"})
    ]
    await lives.decisions.replay(job_id)
    await lives.decisions.cancel(job_id)
    assert await lives.kinds(job_id) == ["queued", "cancelled", "replayed", "cancelled"]


async def test_a_replay_meets_a_sibling_of_its_unique_key_and_changes_nothing(lives):
    job_id = await lives.dead(unique_key="doc:7")
    await lives.add(unique_key="doc:7")
    seen = await lives.history.follow(job_id)
    with pytest.raises(Conflict):
        await lives.history.replay(job_id, seen, more=5, now_ms=lives.now_ms, at_ms=lives.now_ms)
    assert await lives.kinds(job_id) == ["queued", "started", "failed"]


async def test_who_comes_too_late_with_a_replay_writes_nothing(lives):
    job_id = await lives.dead()
    seen = await lives.history.follow(job_id)
    assert await lives.history.replay(job_id, seen, more=5, now_ms=1, at_ms=1) == "bulk"
    assert await lives.history.replay(job_id, seen, more=5, now_ms=1, at_ms=1) == ""
    assert not await lives.history.discard(job_id, seen, "late", 1)
    assert await lives.kinds(job_id) == ["queued", "started", "failed", "replayed"]
    assert (await lives.reading.one(job_id)).max_attempts == 6


async def test_dead_letters_are_counted_in_all_and_since(lives):
    await lives.dead()
    lives.clock.advance(700)
    since_ms = lives.now_ms
    await lives.dead()
    assert await lives.history.dead(since_ms) == (2, 1)
    assert await lives.history.dead(lives.now_ms + 1) == (2, 0)


@pytest.mark.parametrize(
    ("undo", "edited", "kept"),
    [(False, None, {"read": "1"}), (True, None, {}), (False, ('{"n": 2}', 1), {})],
)
async def test_a_replay_keeps_no_step_that_was_undone_or_came_of_another_payload(lives, undo, edited, kept):
    job_id = await lives.add()
    assert await lives.claim(job_id)
    fence = (await lives.reading.one(job_id)).fence
    await lives.store.add_step(job_id, fence, "read", "1", lives.now_ms)
    if undo:
        await lives.store.add_compensation(job_id, fence, "unread", "{}")
    await lives.end(job_id, "failed")
    seen = await lives.history.follow(job_id)
    await lives.history.replay(job_id, seen, more=5, now_ms=lives.now_ms, at_ms=lives.now_ms, edited=edited)
    assert await lives.store.steps(job_id) == kept
    assert await lives.store.compensations(job_id) == []
