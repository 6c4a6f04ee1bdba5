"""What happens to a release when something else goes wrong."""

import asyncio

import pytest
from sqlalchemy import func, select, update

from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.rooms.experiments.engine.canary.state import read_state, read_verdict
from holdfast.rooms.experiments.rules.canary.counts import Counts
from holdfast.rooms.experiments.rules.outcomes import Outcome
from holdfast.rooms.experiments.rules.releases import Gate
from holdfast.rooms.experiments.store.release_tables import marks, releases
from tests.rooms.experiments.engine.canary.faults import FaultySql, Killed
from tests.rooms.experiments.engine.canary.lives import NAME, Process, Site, broken, healthy, release

HALF = release(shares=(5000, 10_000))


async def begun(process, definition=HALF):
    await process.releases.operating.define(definition)
    await process.releases.start(definition.name)
    await process.changes.turn()
    return process


async def counted(process, name=NAME):
    """n and bad of the current period, over both arms and all processes."""
    standing = await process.store.one(name)
    sums = await process.store.sums(name, standing.period)
    return sum(each.n for each in sums), sum(each.bad for each in sums)


async def test_eight_controllers_that_judge_at_once_decide_once(database):
    processes = [await Process(database, seed=n).start() for n in range(8)]
    await begun(processes[0])
    for process in processes:
        await process.changes.rulebook.refresh()
        process.clock.advance(10)
    processes[0].serve([f"user-{n}" for n in range(1000)], broken)
    await processes[0].changes.flush()
    await asyncio.gather(*(process.changes.turn() for process in processes))
    assert (await processes[3].standing()).status == "rolled_back"
    audit = await processes[3].store.audit(NAME)
    assert [line.did for line in audit] == ["started", "rolled back"]
    assert [await process.share() for process in processes] == [0] * 8
    rollbacks = [
        process.meter.count("holdfast_experiments_release_rollbacks_total", "worse_than_baseline")
        for process in processes
    ]
    assert sum(rollbacks) == 1


async def test_a_controller_that_is_killed_has_decided_and_acted_or_neither(sqlite_database):
    """It dies at each point in turn; whoever comes next finds a whole state, and finishes."""
    done, dies_at = False, 0
    while not done:
        dies_at += 1
        name = f"ranker-{dies_at}"
        faulty = FaultySql(sqlite_database)
        process = await Process(faulty).start()
        definition = release(name=name, shares=(5000, 10_000))
        await begun(process, definition)
        process.clock.advance(10)
        process.serve([f"user-{n}" for n in range(1000)], broken, name=name)
        await process.changes.flush()
        faulty.points, faulty.dies_at = 0, dies_at
        try:
            await process.changes.turn()
            done = True
        except Killed:
            pass
        heir = await Process(sqlite_database).start()
        decided = (await heir.standing(name)).status == "rolled_back"
        assert await heir.share(name) == (0 if decided else 5000)
        for _ in range(2):
            heir.clock.advance(10)
            await heir.changes.turn()
        standing = await heir.standing(name)
        assert (standing.status, standing.generation, standing.told) == ("rolled_back", 2, 2)
        assert [line.did for line in await heir.store.audit(name)] == ["started", "rolled back"]
        assert (await heir.store.runs(name))[0].report
        assert (await heir.releases.report(name)).gates[0].treatment.units > 0
    assert dies_at > 15


async def test_while_the_database_is_away_requests_go_on_and_counts_wait(database):
    faulty = FaultySql(database)
    process = await begun(await Process(faulty).start())
    process.serve([f"user-{n}" for n in range(500)], healthy)
    await process.changes.flush()
    before = await counted(process)
    assert before == (500, 1)
    faulty.is_away = True
    for second in range(5):
        process.clock.advance(1)
        assert process.changes.variant(NAME, "user-1") in ("control", "treatment")
        process.serve([f"guest-{second}-{n}" for n in range(500)], healthy)
        await process.changes.flush()
        await process.changes.turn()
    process.clock.advance(7200)
    faulty.is_away = False
    assert await counted(process) == before
    await process.changes.turn()
    assert (await process.standing()).status == "running"
    await process.changes.flush()
    assert await counted(process) == (3000, 6)
    await process.changes.flush()
    assert await counted(process) == (3000, 6)


async def test_what_is_used_by_rules_newer_than_the_row_that_could_be_read_is_counted(sqlite_database):
    """Another process goes to the next stage, and then the database is away before this one has read it."""
    faulty = FaultySql(sqlite_database)
    process = await begun(await Process(faulty).start())
    await process.changes.flush()
    process.serve(["mina"])
    await process.changes.flush()
    other = await Process(sqlite_database).start()
    await other.releases.promote(NAME)
    await process.changes.rulebook.refresh()
    faulty.is_away = True
    process.serve([f"user-{n}" for n in range(500)], healthy)
    await process.changes.flush()
    faulty.is_away = False
    await process.changes.flush()
    assert await counted(process) == (500, 1)


async def test_a_write_whose_end_nobody_heard_of_is_counted_once(database):
    faulty = FaultySql(database)
    process = await begun(await Process(faulty).start())
    faulty.loses_commits = True
    for second in range(3):
        process.clock.advance(1)
        process.serve([f"user-{second}-{n}" for n in range(500)], healthy)
        await process.changes.flush()
    assert await counted(process) == (1500, 3)
    faulty.loses_commits = False
    await process.changes.flush()
    assert await counted(process) == (1500, 3)


async def test_retries_that_reach_different_processes_are_one_burst(database):
    first, second = [await Process(database, seed=n).start() for n in range(2)]
    await begun(first)
    await second.changes.rulebook.refresh()
    for seconds in (0, 3, 50):  # the last one is in the next minute by the clock
        for process in (first, second):
            process.clock.advance(seconds)
            process.serve(["mina"], lambda arm, at: True)
            await process.changes.flush()
    assert await counted(first) == (1, 1)


async def test_clocks_that_disagree_by_hours_change_nothing(sqlite_database):
    processes = [
        await Process(sqlite_database, skew_s=skew_s, seed=n).start()
        for n, skew_s in enumerate((0, 18_000, -25_200))
    ]
    site = Site(*processes)
    await begun(processes[0])
    await site.until("promoted", healthy, requests=999)
    audit = await processes[0].store.audit(NAME)
    assert [line.did for line in audit] == ["started", "next stage", "promoted"]
    state = read_state(await processes[0].standing())
    assert 60 <= state.in_stage_s <= 300


async def test_one_process_judges_and_when_it_dies_the_next_takes_over(sqlite_database):
    first, second = [await Process(sqlite_database, seed=n).start() for n in range(2)]
    await begun(first)
    await second.changes.turn()

    async def judged(process):
        before = (await process.standing()).turn
        process.clock.advance(1)
        await process.changes.turn()
        return (await process.standing()).turn - before

    assert [await judged(process) for process in (first, second) * 3] == [0, 1, 0, 1, 0, 1]
    assert [await judged(first) for _ in range(3)] == [0, 1, 1]


async def test_a_busy_process_whose_word_stays_the_same_is_not_taken_for_dead(sqlite_database):
    """Its successes are bounded, so they do not change; a sick host beside it is no crash of the release."""
    busy, sick = [await Process(sqlite_database, seed=n).start() for n in range(2)]
    await begun(busy, release(shares=(5000, 10_000), dwell_s=3600.0))
    await sick.changes.rulebook.refresh()
    users = [f"user-{n}" for n in range(900)]
    failing = [user for user in users if sick.arm(user).variant == "treatment"][:5]
    others = [user for user in users if sick.arm(user).variant == "control"][:20]
    for _ in range(10):
        for process in (busy, sick):
            process.clock.advance(10)
        busy.serve(users)
        await busy.changes.flush()
        await sick.changes.turn()
    sick.serve(failing, lambda arm, at: True)
    sick.serve(others, lambda arm, at: at < 5)
    await sick.changes.flush()
    for _ in range(2):
        await sick.changes.turn()
    standing = await sick.standing()
    assert (standing.status, standing.reason) == ("running", "")


async def test_a_declared_release_that_cannot_be_read_keeps_no_other_from_being_judged(sqlite_database):
    """A newer version wrote its row, and the older one was deployed again."""
    process = await begun(await Process(sqlite_database).start())
    await process.releases.operating.define(release(name="newer"))
    written = update(releases).where(releases.c.name == "newer").values(definition='{"new": 1}')
    await sqlite_database.run(written)
    process.releases.define(release(name="newer"))
    process.clock.advance(10)
    process.serve([f"user-{n}" for n in range(1000)], broken)
    await process.changes.flush()
    await process.changes.turn()
    assert (await process.standing()).status == "rolled_back"
    assert [each.name for each in await process.releases.listed()] == [NAME]


async def test_bursts_of_a_long_stage_are_forgotten_once_they_are_in_the_sums(database):
    process = await begun(await Process(database).start(), release(shares=(5000, 10_000), dwell_s=1e7))
    for _ in range(3):
        process.serve([f"user-{n}" for n in range(500)], healthy)
        await process.changes.flush()
        await process.changes.turn()
        process.clock.advance(86_500)
    await process.changes.turn()
    [(kept,)] = await database.fetch(select(func.count()).select_from(marks))
    assert (kept, await counted(process)) == (0, (1500, 3))


async def test_what_a_dead_process_counted_stays_counted(sqlite_database):
    gone, heir = [await Process(sqlite_database, seed=n).start() for n in range(2)]
    await begun(gone)
    gone.serve([f"user-{n}" for n in range(400)], healthy)
    await gone.changes.flush()
    del gone
    await heir.changes.rulebook.refresh()
    heir.serve([f"guest-{n}" for n in range(100)], healthy)
    await heir.changes.flush()
    await heir.changes.turn()
    evidence = read_state(await heir.standing()).evidences["errors"]
    assert evidence.treatment + evidence.control == Counts(500, 0)


async def test_a_restart_goes_on_from_the_evidence_that_was_kept(sqlite_database):
    first = Site(await begun(await Process(sqlite_database, seed=1).start()))
    for _ in range(4):
        await first.step(healthy)
    before = read_state(await first.processes[0].standing())
    second = Site(await Process(sqlite_database, seed=2).start())
    second.served = first.served
    await second.step(healthy)
    after = read_state(await second.processes[0].standing())
    assert after.turns == before.turns + 1
    was, now = before.evidences["errors"], after.evidences["errors"]
    assert now.treatment.n + now.control.n == was.treatment.n + was.control.n + 1000
    assert now.age_s >= was.age_s


async def test_what_comes_late_belongs_to_the_stage_in_which_it_was_used(sqlite_database):
    process = await begun(await Process(sqlite_database).start())
    uses = {f"user-{n}": process.arm(f"user-{n}") for n in range(100)}
    await process.releases.promote(NAME)
    process.serve([f"guest-{n}" for n in range(10)], healthy)
    for unit, use in uses.items():
        late = Outcome(kind="request", at_s=process.clock.wall(), uses={NAME: use}, failed=True, user=unit)
        process.changes.intake.called(late)
    await process.changes.flush()
    assert await counted(process) == (10, 0)
    standing = await process.standing()
    old = await process.store.sums(NAME, standing.period - 1)
    assert sum(each.bad for each in old) == 100


async def test_when_counts_stop_it_does_not_go_on(sqlite_site):
    for _ in range(3):
        await sqlite_site.step(healthy)
    for _ in range(8):
        await sqlite_site.step(requests=0)
    process = sqlite_site.processes[0]
    verdict = read_verdict(await process.standing())
    assert (verdict.kind, verdict.why) == ("INCONCLUSIVE", "nothing_counted")
    assert (await process.standing()).stage == 0
    await sqlite_site.until("promoted", healthy)


@pytest.mark.parametrize(("agent", "counted_n"), [("Mozilla/5.0", 1), ("Googlebot/2.1", 0)])
async def test_bots_are_not_counted(sqlite_database, agent, counted_n):
    process = await begun(await Process(sqlite_database).start(), release(routes=("/",)))
    scope = {"type": "http", "path": "/shop", "headers": [(b"user-agent", agent.encode())]}
    ctx = detached(Event(user_id="mina", path="/shop", status=500), process.clock)
    process.changes.door.assign(scope, ctx)
    token = enter(ctx)
    process.changes.variant(NAME)
    leave(token)
    process.changes.intake.saw(ctx.event)
    await process.changes.flush()
    assert (await counted(process))[0] == counted_n


async def test_a_crash_is_stopped_without_statistics(sqlite_database):
    process = await Process(sqlite_database).start()
    process.releases.define(release(gates=(Gate("errors"), Gate("slow", of="latency", target_s=1.0))))
    await process.releases.start(NAME)
    await Site(process).step(lambda arm, at: arm == "treatment", requests=600)
    standing = await process.standing()
    assert standing.status == "rolled_back"
    assert standing.reason.startswith("crash")
    said = {gate.name: gate.verdict for gate in (await process.releases.report(NAME)).gates}
    assert said == {"errors": "HARD STOP", "slow": ""}, "failures say nothing of how long answers took"
