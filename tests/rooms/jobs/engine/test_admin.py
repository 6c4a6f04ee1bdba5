"""Queues, workers, schedules and the engine, on both databases."""

import pytest

from holdfast.kernel.errors import BadInput
from holdfast.rooms.jobs.engine.admin import Admin
from holdfast.rooms.jobs.rules.problems import UnknownJob, UnknownQueue, UnknownSchedule
from holdfast.rooms.jobs.rules.settings import Config, Queue
from holdfast.rooms.jobs.store.rows import Schedule, Worker
from tests.rooms.jobs.lives import Lives


@pytest.fixture
def lives(ledger):
    return Lives(ledger)


@pytest.fixture
def admin(lives):
    begun = []

    async def run_now(schedule):
        begun.append(schedule.name)
        return "job-1"

    made = Admin(
        Config(queues={"mail": Queue(concurrency=2, rate="5/s")}),
        upkeep=lives.upkeep,
        reading=lives.reading,
        clock=lives.clock,
        ring=lives.rung.append,
        run_now=run_now,
    )
    made.begun = begun
    return made


async def test_a_queue_is_paused_and_reshaped_for_all_and_shows_what_stands_in_it(lives, admin):
    await lives.add()
    await lives.add(state="scheduled", run_at_ms=lives.now_ms + 9_000)
    assert (await admin.pause("bulk", True)).paused
    found = await admin.queue("bulk")
    assert found.jobs == {"available": 1, "scheduled": 1}
    assert found.oldest_ms is not None
    assert not (await admin.pause("bulk", False)).paused
    found = await admin.shape("mail", 9, "")
    assert (found.concurrency, found.rate, found.is_decided) == (9, "", True)
    found = await admin.shape("mail", None, None)
    assert (found.concurrency, found.rate, found.is_decided) == (2, "5/s", False)
    assert {queue.name for queue in await admin.queues()} >= {"ai", "bulk", "mail"}
    assert lives.rung == ["bulk", "bulk", "mail", "mail"]


async def test_what_cannot_be_set_is_refused(admin):
    with pytest.raises(UnknownQueue, match="mails"):
        await admin.pause("mails", True)
    with pytest.raises(UnknownQueue):
        await admin.queue("mails")
    with pytest.raises(BadInput, match="fast"):
        await admin.shape("mail", None, "fast")
    with pytest.raises(BadInput, match="concurrency"):
        await admin.shape("mail", 0, None)
    with pytest.raises(BadInput, match="kafka"):
        await admin.switch("kafka")


async def test_workers_are_shown_with_the_age_of_their_heartbeat(lives, admin):
    now_ms = lives.now_ms
    await lives.upkeep.register(
        Worker(
            id="w1",
            engine="embedded",
            host="here",
            pid=7,
            queues="ai,bulk",
            started_ms=now_ms - 60_000,
            beat_ms=now_ms - 20_000,
            lease_until_ms=now_ms - 5_000,
            facts='{"running":["a"],"rss_bytes":1}',
        )
    )
    (found,) = await admin.workers()
    assert (found.heartbeat_age_s, found.alive, found.queues) == (20.0, False, ("ai", "bulk"))
    assert found.facts == {"running": ["a"], "rss_bytes": 1}


async def test_a_schedule_is_paused_and_run_now(lives, admin):
    await lives.upkeep.declare_schedule(
        Schedule(
            name="nightly",
            job="count",
            payload="{}",
            cron="0 3 * * *",
            zone="Asia/Seoul",
            catch_up="once",
            next_ms=5,
        )
    )
    assert (await admin.pause_schedule("nightly", True)).paused
    assert [one.name for one in await admin.schedules()] == ["nightly"]
    assert await admin.run_schedule("nightly") == "job-1"
    assert admin.begun == ["nightly"]
    with pytest.raises(UnknownSchedule):
        await admin.pause_schedule("weekly", True)
    with pytest.raises(UnknownSchedule):
        await admin.run_schedule("weekly")


async def test_the_engine_is_switched_and_given_back_to_the_settings(lives, admin):
    assert (await admin.engine()).engine == "embedded"
    found = await admin.switch("background")
    assert (found.engine, found.configured, found.decided) == ("background", "embedded", "background")
    assert (await admin.switch(None)).engine == "embedded"
    assert lives.rung == ["", ""]


async def test_a_job_is_shown_with_every_attempt_and_its_traceback(lives, admin):
    job_id = await lives.dead(owner="mina", tenant="farm", lane="090farm")
    found = await admin.show(job_id)
    assert (found.job.user, found.job.tenant, found.job.priority, found.payload) == (
        "mina",
        "farm",
        10,
        {"n": 1},
    )
    assert [(one.outcome, one.traceback) for one in found.attempts] == [("failed", "Traceback: 한글")]
    with pytest.raises(UnknownJob):
        await admin.show("nobody")
