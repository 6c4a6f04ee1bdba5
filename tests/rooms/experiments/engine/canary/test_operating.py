"""What operators ask for, what is refused, and that each deed is written down."""

import pytest

from holdfast.rooms.experiments.engine.canary import moves
from holdfast.rooms.experiments.engine.canary.state import read_state
from holdfast.rooms.experiments.engine.flags.editing import Editor
from holdfast.rooms.experiments.rules.flags import Condition, Flag
from holdfast.rooms.experiments.rules.outcomes import Outcome
from holdfast.rooms.experiments.rules.problems import BadDefinition, UnknownName, WrongState
from holdfast.rooms.experiments.rules.releases import Gate
from tests.rooms.experiments.engine.canary.lives import NAME, Process, Site, broken, healthy, outage, release


@pytest.fixture
async def process(sqlite_database):
    """A process with a release that has not been started."""
    made = await Process(sqlite_database).start()
    await made.releases.operating.define(release())
    return made


async def test_a_release_that_code_declares_is_there_when_it_is_started(sqlite_database):
    process = await Process(sqlite_database).start()
    process.releases.define(release())
    standing = await process.releases.start(NAME)
    assert (standing.status, standing.stage, standing.run) == ("running", 0, 1)
    process.releases.define(release(description="another"))
    await process.changes.turn()
    assert (await process.standing()).definition.description == ""


async def test_a_release_that_code_declares_is_there_at_the_next_turn(sqlite_database):
    process = await Process(sqlite_database).start()
    process.releases.define(release())
    await process.changes.turn()
    assert [each.status for each in await process.releases.listed()] == ["draft"]


async def test_one_release_of_a_name_runs_at_a_time(process):
    await process.releases.start(NAME)
    with pytest.raises(WrongState, match="is running"):
        await process.releases.start(NAME)
    with pytest.raises(WrongState, match="is running"):
        await process.releases.operating.define(release(description="another"))
    with pytest.raises(UnknownName) as refused:
        await process.releases.start("rankr")
    assert NAME in refused.value.hint


async def test_a_gate_on_an_action_that_nobody_tracks_is_refused(process):
    definition = release(gates=(Gate("votes", of="event", action="vote", bad_below=0.0),))
    await process.releases.operating.define(definition)
    with pytest.raises(BadDefinition, match="'vote', which nobody has ever tracked") as refused:
        await process.releases.start(NAME)
    assert "track it once" in refused.value.hint
    process.changes.intake.called(Outcome(kind="event", at_s=process.clock.wall(), name="votes", user="mina"))
    await process.changes.flush()
    with pytest.raises(BadDefinition) as refused:
        await process.releases.start(NAME)
    assert refused.value.hint == "did you mean 'votes'?"
    process.clock.advance(61)
    process.changes.intake.called(Outcome(kind="event", at_s=process.clock.wall(), name="vote", user="mina"))
    await process.changes.flush()
    assert (await process.releases.start(NAME)).status == "running"


async def test_a_flag_of_the_same_name_that_is_not_its_own_stands_in_the_way(process):
    rules = process.changes.rules
    async with rules.sql.transaction() as tx:
        await rules.put_flag(tx, Flag(NAME, {"control": False, "treatment": True}), "mina", 0)
    with pytest.raises(BadDefinition, match="is no release's"):
        await process.releases.start(NAME)
    assert (await process.standing()).status == "draft"


async def test_what_code_cannot_serve_is_refused(process):
    process.changes.offer(NAME, ("control", "phase-4"), "which engine ranks")
    with pytest.raises(BadDefinition, match="cannot serve 'treatment'"):
        await process.releases.start(NAME)
    assert (await process.standing()).status == "draft"
    assert NAME not in process.changes.rulebook.ruleset.flags


async def test_a_version_that_was_rolled_back_is_not_started_again_unless_forced(process):
    await process.releases.start(NAME)
    await process.releases.roll_back(NAME, "mina", "a bad feeling")
    with pytest.raises(WrongState, match="'v2' was rolled back: a bad feeling"):
        await process.releases.start(NAME)
    assert (await process.releases.start(NAME, force=True)).run == 2
    await process.releases.roll_back(NAME)
    await process.releases.operating.define(release(version="v3"))
    assert (await process.releases.start(NAME)).run == 3
    assert await process.share() == 500
    assert [run.version for run in await process.store.runs(NAME)] == ["v2", "v2", "v3"]


async def test_a_rollback_is_idempotent_and_nothing_goes_up_after_it(process):
    await process.releases.start(NAME)
    first = await process.releases.roll_back(NAME, "mina", "no")
    assert await process.releases.roll_back(NAME, "juno", "again") == first
    for ask in (process.releases.promote, process.releases.resume, process.releases.pause):
        with pytest.raises(WrongState, match="rolled back"):
            await ask(NAME)
    await process.changes.turn()
    assert await process.share() == 0
    page = await process.releases.report(NAME)
    assert (page.cause, page.share, page.decided_share) == ("operator", 0, 500)
    assert process.meter.values("holdfast_experiments_release_rollbacks_total", "operator") == [1]


async def test_what_was_promoted_can_still_be_rolled_back(process):
    await process.releases.start(NAME)
    await process.releases.promote(NAME, fully=True)
    assert await process.share() == 10_000
    await process.releases.roll_back(NAME, "mina", "customers call")
    assert await process.share() == 0


async def test_a_list_shows_the_verdict_that_ended_a_release_and_none_that_did_not(process):
    site = Site(process)
    await process.releases.start(NAME)
    await site.until("promoted", healthy)
    assert [each.verdict for each in await process.releases.listed()] == ["PROMOTE"]
    await process.releases.roll_back(NAME, "mina", "customers call")
    (line,) = await process.releases.listed()
    assert (line.status, line.verdict, line.why, line.reason) == ("rolled_back", "", "", "customers call")


async def test_what_was_promoted_is_reported_as_it_was_when_it_is_rolled_back_after_all(process):
    """With the counts of its stages, and by its own definition: code has declared the next one meanwhile."""
    site = Site(process)
    await process.releases.start(NAME)
    await site.until("promoted", healthy)
    promoted = await process.releases.report(NAME)
    await process.releases.operating.define(release(shares=(100,), version="v3", gates=(Gate("other"),)))
    await process.releases.roll_back(NAME, "mina", "customers call")
    await process.changes.turn()
    standing = await process.standing()
    assert standing.told == standing.generation
    page = await process.releases.report(NAME)
    assert (page.status, page.version, page.gates) == ("rolled_back", "v2", promoted.gates)
    units = [(stage.share, stage.treatment, stage.control) for stage in page.stages]
    assert units == [(stage.share, stage.treatment, stage.control) for stage in promoted.stages]
    assert all(stage.treatment >= 200 for stage in page.stages)


async def test_counts_of_stages_long_past_are_not_kept(process):
    site = Site(process)
    await process.releases.start(NAME)
    await site.until("promoted", healthy)
    periods = range((await process.standing()).period)
    assert [await process.store.sums(NAME, period) for period in periods] == [[]] * len(periods)
    await process.releases.start(NAME)
    await site.step(healthy)
    await process.releases.promote(NAME)
    await site.step(healthy)
    await process.releases.promote(NAME)
    period = (await process.standing()).period
    assert await process.store.sums(NAME, period - 1)
    assert not await process.store.sums(NAME, period - 2)


async def test_a_run_that_nobody_told_of_is_told_before_the_next(process):
    await process.releases.start(NAME)
    was = await process.standing()
    await process.releases.operating._committing.commit(was, moves.rolled_back(was, "killed then", 1))
    await process.releases.start(NAME, force=True)
    assert (await process.releases.report(NAME, 1)).status == "rolled_back"


async def test_what_a_report_was_made_from_goes_with_the_next_start(process):
    site = Site(process)
    await process.releases.start(NAME)
    await site.until("rolled_back", broken)
    assert await process.store.points(NAME, 1)
    assert await process.store.examples(NAME, 1)
    page = await process.releases.report(NAME)
    await process.releases.start(NAME, force=True)
    assert await process.store.points(NAME, 1) == []
    assert await process.store.examples(NAME, 1) == []
    assert await process.releases.report(NAME, 1) == page


@pytest.mark.parametrize("ends", ["promote", "roll_back"])
async def test_of_what_has_ended_nobody_is_exposed_any_more(process, ends):
    """It would cost an event a unit and day, and a fact on each record, for ever."""
    await process.releases.start(NAME)
    await process.changes.rulebook.refresh()
    assert process.changes.look(NAME, "mina").counted
    await getattr(process.releases, ends)(NAME, **({"fully": True} if ends == "promote" else {}))
    found = process.changes.look(NAME, "mina")
    assert (found.variant, found.counted) == ("treatment" if ends == "promote" else "control", False)
    assert found.reason == "STATIC"
    if ends == "promote":
        await process.releases.roll_back(NAME)
        assert process.changes.look(NAME, "mina").variant == "control"
    assert (await process.releases.start(NAME, force=True)).status == "running"
    assert process.changes.look(NAME, "mina").counted


async def test_those_outside_have_control_after_the_promotion_too(sqlite_database):
    process = await Process(sqlite_database).start()
    when = (Condition("tier", "is", "pro"),)
    await process.releases.operating.define(release(when=when))
    await process.releases.start(NAME)
    await process.releases.promote(NAME, fully=True)
    arms = [process.changes.look(NAME, "mina", {"tier": tier}).variant for tier in ("pro", "free")]
    assert arms == ["treatment", "control"]


async def test_a_start_does_not_undo_a_kill_switch(process):
    editor = Editor(process.changes.rules, process.changes.rulebook, process.clock)
    await process.releases.start(NAME)
    await editor.switch(NAME, False, "juno")
    site = Site(process)
    await site.until("rolled_back", healthy, most=400, requests=0)
    await process.releases.operating.define(release(version="v3"))
    with pytest.raises(WrongState, match="switched off") as refused:
        await process.releases.start(NAME)
    assert "restore the flag" in refused.value.hint
    await editor.switch(NAME, True, "juno")
    assert (await process.releases.start(NAME)).status == "running"


async def test_a_paused_release_does_not_go_on_and_is_rolled_back_all_the_same(process):
    site = Site(process)
    await process.releases.start(NAME)
    await process.releases.pause(NAME, "mina", "lunch")
    for _ in range(20):
        await site.step(healthy)
    standing = await process.standing()
    assert (standing.status, standing.stage) == ("paused", 0)
    assert read_state(standing).in_stage_s == 0
    await process.releases.resume(NAME, "mina")
    await site.step(healthy)
    await process.releases.pause(NAME, "mina")
    await site.until("rolled_back", broken)
    assert await process.share() == 0


async def test_an_operator_may_go_on_from_a_hold(process):
    site = Site(process)
    await process.releases.start(NAME)
    await site.until("held", outage)
    await process.releases.resume(NAME, "mina", "known, and not ours")
    [incident] = await process.store.incidents(NAME)
    assert incident.closed_by == "mina"
    assert (await process.standing()).incident == ""


async def test_each_deed_is_written_down_with_who_did_it(process):
    await process.releases.start(NAME, "mina")
    await process.releases.pause(NAME, "juno", "lunch")
    await process.releases.resume(NAME, "juno")
    await process.releases.promote(NAME, "mina", "looks well")
    await process.releases.roll_back(NAME, "mina", "no")
    audit = await process.store.audit(NAME)
    assert [(line.generation, line.actor, line.did, line.reason, line.share) for line in audit] == [
        (1, "mina", "started", "", 500),
        (2, "juno", "paused", "lunch", 500),
        (3, "juno", "resumed", "", 500),
        (4, "mina", "next stage", "looks well", 2500),
        (5, "mina", "rolled back", "no", 0),
    ]
    changes = await process.changes.rules.history(NAME)
    assert [change.actor for change in changes] == ["mina", "mina", "mina"]


class Overtaken:
    """Commits after somebody else has made a move of his own."""

    def __init__(self, committing, move):
        self._committing = committing
        self._move = move

    async def commit(self, was, move, actor=""):
        if self._move is not None:
            theirs, self._move = self._move, None
            assert await self._committing.commit(was, theirs(was, "by itself", 1))
        return await self._committing.commit(was, move, actor)


async def test_a_rollback_that_the_controller_makes_first_is_the_operator_s_as_well(process):
    operating = process.releases.operating
    await process.releases.start(NAME)
    operating._committing = Overtaken(operating._committing, moves.rolled_back)
    standing = await process.releases.roll_back(NAME, "mina", "no")
    assert (standing.status, standing.reason) == ("rolled_back", "by itself")
    assert [line.did for line in await process.store.audit(NAME)] == ["started", "rolled back"]


async def test_a_rollback_of_what_never_ran_is_refused(process):
    with pytest.raises(WrongState, match="is draft"):
        await process.releases.roll_back(NAME)


async def test_what_never_ran_is_removed_and_what_ran_stays(process):
    operating = process.releases.operating
    await operating.drop(NAME)
    assert await process.store.all() == []
    with pytest.raises(UnknownName):
        await operating.drop(NAME)
    await operating.define(release())
    draft = await process.store.one(NAME)
    await process.releases.start(NAME)
    assert not await process.store.drop(draft)
    await process.releases.roll_back(NAME)
    with pytest.raises(WrongState, match="has run"):
        await operating.drop(NAME)


async def test_who_has_no_unit_gets_the_treatment_when_it_is_promoted_and_not_before(process):
    await process.releases.operating.define(release(shares=(10_000,)))
    await process.releases.start(NAME)
    found = process.changes.look(NAME, "")
    assert (found.variant, found.counted) == ("control", False)
    assert process.changes.look(NAME, "mina").variant == "treatment"
    await process.releases.promote(NAME, fully=True)
    assert process.changes.look(NAME, "").variant == "treatment"
