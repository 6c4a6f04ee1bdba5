"""Rows that the database refuses: one bad text or number must not stop a worker."""

from holdfast.kernel.errors import BadInput
from holdfast.ports.jobs import JobFailed, JobSpec
from tests.rooms.jobs.engine import isolated_work


async def test_a_nul_in_any_text_of_a_job_is_written_as_a_mark(make_on_both):
    world = make_on_both()

    async def odd(run, payload):
        run.progress(0.5, "a\0b \ud800")
        raise JobFailed("no\0kind", "bad \0 text")

    world.jobs.declare(JobSpec(name="odd", run=odd, attempts=1))
    world.jobs.declare(JobSpec(name="alone", run=isolated_work.blot, payload=dict, isolated=True, attempts=1))
    await world.start()
    view = await world.ended((await world.jobs.enqueue("odd", {})).id)
    assert (view.state, view.error_kind, view.message) == ("failed", "no\ufffdkind", "a\ufffdb \\ud800")
    assert view.error.startswith("bad \ufffd text")
    alone = (await world.jobs.enqueue("alone", {})).id
    assert (await world.ended(alone)).state == "failed"
    [row] = (await world.jobs.reading.attempts([alone]))[alone]
    assert "bad \ufffd text" in row.traceback


async def test_a_refused_row_holds_up_no_other(make):
    world = make()
    follow, turn = world.jobs.store.follow, world.jobs.store.turn

    def check(progress, ends):
        if any(each.message == "refused" for each in progress) or any(
            end.result == '"refused"' for end in ends
        ):
            raise BadInput("a value that the database does not take")

    async def picky_turn(progress, ends, *more):
        check(progress, ends)
        return await turn(progress, ends, *more)

    async def picky_follow(progress, ends):
        check(progress, ends)
        return await follow(progress, ends)

    world.jobs.store.turn, world.jobs.store.follow = picky_turn, picky_follow

    async def gives(run, payload):
        run.progress(0.5, payload.get("says", ""))
        return payload.get("gives")

    world.jobs.declare(JobSpec(name="gives", run=gives, payload=dict))
    await world.start()
    bad = (await world.jobs.enqueue("gives", {"gives": "refused"})).id
    mute = (await world.jobs.enqueue("gives", {"says": "refused", "gives": "well"})).id
    good = (await world.jobs.enqueue("gives", {"gives": "well"})).id
    assert [(await world.ended(job)).state for job in (bad, mute, good)] == [
        "failed",
        "succeeded",
        "succeeded",
    ]
    view = await world.jobs.find(bad)
    assert (view.result, view.error) == (None, "its end was refused by the database: BadInput")
    assert (await world.jobs.find(mute)).result == "well"
    assert world.worker._unwritten.is_empty


async def test_an_attempt_that_ended_meanwhile_is_not_given_back_as_well(make):
    world = make()
    finish, waiting = world.worker._finish, []

    def twice(attempt, declared, end):
        finish(attempt, declared, end)
        world.worker.give_back(attempt.job)  # as when the ledger was asked before the end stood in it
        waiting.append(len(world.worker._unwritten.ends))

    world.worker._finish = twice

    @world.jobs.job("bulk", name="quick")
    async def quick(run):
        return run.attempt

    await world.start()
    view = await world.ended((await world.jobs.enqueue("quick", {})).id)
    assert (view.state, view.result) == ("succeeded", 1)
    assert waiting == [1]
