"""Decisions that are taken back, alarms that are not lost, and turns that do not hinder each other."""

import msgspec
import pytest

from holdfast.rooms.experiments.engine.ab.planning import PlanAsk
from holdfast.rooms.experiments.engine.flags.editing import Editor
from holdfast.rooms.experiments.engine.flags.rulebook import Rulebook
from holdfast.rooms.experiments.rules.evaluating import evaluate
from holdfast.rooms.experiments.rules.experiments import Plan, Watched
from holdfast.rooms.experiments.rules.problems import WrongState
from holdfast.rooms.experiments.rules.report.html import experiment_page
from holdfast.rooms.experiments.rules.report.page import Words
from holdfast.rooms.experiments.store.ab import AbStore
from holdfast.rooms.experiments.store.rules import RuleStore
from tests.rooms.experiments.engine.ab.streams import START_S, event, exposure
from tests.rooms.experiments.engine.ab.test_experiments import DAY_S, asked, begun, crowd


async def test_an_alarm_outlives_a_change_by_somebody_else(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    before = await begun(experiments)
    await experiments.change_shares("buttons", {"treatment": 2000}, "lee")
    assert await experiments.lives.alarmed(before, "srm:1", "p = 1e-9") is not None
    stored = await experiments.lives.one("buttons")
    assert (stored.phase, stored.life.alarms) == (2, ("srm:1",))
    assert await experiments.lives.alarmed(before, "srm:1", "p = 1e-9") is None


async def test_a_shipped_arm_is_taken_back_by_the_kill_switch_and_by_another_decision(known, made, clock):
    experiments, rules = made(known), RuleStore(known)
    await begun(experiments)
    await experiments.take(crowd(1, 400))
    await experiments.stop("buttons", "kim", "treatment", "it pays")
    looks = len((await experiments.page("buttons", "kim")).looks)

    async def served():
        return evaluate(await rules.load(), "buttons", "somebody").variant

    assert await served() == "treatment"
    assert (await experiments.page("buttons", "kim")).decided == "treatment"
    editor = Editor(rules, Rulebook(rules), clock)
    await editor.switch("buttons", False, "lee")
    assert await served() == "control"
    await editor.switch("buttons", True, "lee")
    with pytest.raises(WrongState, match="everybody gets 'treatment'"):
        await experiments.stop("buttons", "lee", "treatment")
    ended = (await experiments.lives.one("buttons")).life.stopped_ms
    clock.advance(DAY_S)
    stopped = await experiments.stop("buttons", "lee", reason="it does not")
    overruled = await experiments.page("buttons", "kim")
    assert overruled.decided == "control"
    told = "<dt>Decided on by its owner</dt><dd>control</dd>"
    assert told in experiment_page(overruled, "en")
    assert await served() == "control"
    assert (stopped.life.decision, stopped.life.stopped_ms) == ("control", ended)
    page = await experiments.page("buttons", "kim")
    assert len(page.looks) == looks
    assert [(step.what.en, step.detail) for step in page.steps if "everybody gets “" in step.what.en] == [
        ("ended: everybody gets “treatment”", "it pays"),
        ("decided anew: everybody gets “control”", "it does not"),
    ]
    await experiments.stop("buttons", "kim", "treatment")
    assert await served() == "treatment"


async def test_what_never_ran_is_not_decided_anew(sqlite_known, made):
    experiments = made(sqlite_known)
    await begun(experiments, cuped_days=7)
    await experiments.stop("buttons", "kim")
    with pytest.raises(WrongState):
        await experiments.stop("buttons", "kim", "treatment")


async def test_one_that_never_ran_is_removed_with_its_units_past_and_its_name_is_free(known, made, clock):
    experiments = made(known)
    await begun(experiments, cuped_days=7)
    with pytest.raises(WrongState, match="is collecting"):
        await experiments.drop("buttons")
    await experiments.covariates("buttons", "unit,bought\nu1,1\nu2,0\n")
    await experiments.stop("buttons", "kim")
    await experiments.drop("buttons")
    assert await experiments.all() == []
    assert await experiments._sums.forget_units("buttons") == 0
    await begun(experiments)
    await experiments.take(crowd(1, 50))
    with pytest.raises(WrongState, match="has run"):
        await experiments.drop("buttons")
    await experiments.stop("buttons", "kim")
    with pytest.raises(WrongState, match="has run"):
        await experiments.drop("buttons")


async def test_one_that_takes_a_removed_ones_place_is_seen_by_every_process(sqlite_known, made, clock):
    experiments, other = made(sqlite_known), made(sqlite_known, "p2")
    await experiments.lives.put(asked(name="draft"), "kim")
    await experiments.lives.put(asked(name="draft", segments=()), "kim")
    await other.take(())
    await experiments.drop("draft")
    clock.advance(1)
    await begun(experiments)  # as many experiments of as many generations as before
    await other.take(crowd(1, 50))
    assert sum((await other.look("buttons", "kim")).analysis.units.values()) == 50


async def test_of_two_that_change_and_remove_at_once_one_is_refused(sqlite_known, made):
    experiments = made(sqlite_known)
    await experiments.lives.put(asked(), "kim")
    stored = await experiments.lives.one("buttons")
    await experiments.lives.start("buttons", "lee")
    async with sqlite_known.transaction() as tx:
        assert not await AbStore(sqlite_known).drop(tx, stored)


async def test_one_whose_turn_fails_keeps_no_other_from_its_own(sqlite_known, made, clock, caplog):
    experiments = made(sqlite_known)
    for name in ("buttons", "prices"):
        await begun(experiments, name=name)
        await experiments.take(crowd(1, 200, name=name))
    # A zone that is gone from the machine's list.
    row = await experiments.lives.one("buttons")
    gone = msgspec.structs.replace(row.experiment, zone="Gone/Nowhere")
    await experiments.lives._moved(msgspec.structs.replace(row, experiment=gone))
    clock.advance(DAY_S)
    await experiments.turn()
    await experiments.turn()
    assert (await experiments.results("prices")).who == "holdfast"
    assert [r.getMessage() for r in caplog.records].count("the turn of experiment buttons fails") == 1


async def test_who_is_second_to_forget_units_forgets_those_of_the_rest(sqlite_known, made, clock):
    experiments = made(sqlite_known, keep_days=1)
    for name in ("buttons", "prices"):
        await begun(experiments, name=name)
        await experiments.take(crowd(1, 20, name=name))
        await experiments.stop(name, "kim")
    clock.advance(2 * DAY_S)
    second, forgotten = made(sqlite_known, "p2", keep_days=1), experiments.lives.forgotten

    async def late(stored):
        if stored.experiment.name == "buttons":
            await second.lives.forgotten(stored)
        await forgotten(stored)

    experiments.lives.forgotten = late
    await experiments.turn()
    assert [stored.life.forgotten for stored in await experiments.all()] == [True, True]


async def test_each_phase_and_each_metric_has_an_alarm_of_its_own(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    metrics = (Watched("bought", "primary"), Watched("spent", "guardrail", 0.02))
    await begun(experiments, metrics=metrics, plan=Plan(units_per_arm=3000))
    for phase in (1, 2):
        await experiments.take(crowd(phase, 2500, control=0.5, treatment=0.2, phase=phase, at=phase * 60))
        await experiments.look("buttons", "kim")
        clock.advance(60)
        if phase == 1:
            await experiments.change_shares("buttons", {}, "kim")
    alarms = (await experiments.lives.one("buttons")).life.alarms
    assert {f"harm:{phase}:treatment:{metric}" for phase in (1, 2) for metric in ("bought", "spent")} <= {
        *alarms
    }


async def test_the_ratio_is_held_to_one_limit_at_every_hour_and_look(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await begun(experiments)
    # 0.0005 by a chi-square, which may be asked but once; over all looks at once it is 0.013.
    await experiments.take(exposure(f"u{n}", "control" if n < 555 else "treatment", 1) for n in range(1000))
    for _ in range(3):
        await experiments.turn()
        looked = await experiments.look("buttons", "kim")
        assert looked.analysis.sample_ratio.always_valid
        clock.advance(3600)
    assert (await experiments.lives.one("buttons")).life.alarms == ()
    await experiments.take(exposure(f"v{n}", "control", 2) for n in range(100))
    await experiments.turn()
    assert (await experiments.lives.one("buttons")).life.alarms == ("srm:1",)


async def test_the_last_look_at_the_ratio_is_the_one_of_a_fixed_size(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await begun(experiments)
    await experiments.take(exposure(f"u{n}", "control" if n < 555 else "treatment", 1) for n in range(1000))
    clock.advance(60)
    await experiments.stop("buttons", "kim")
    assert (await experiments.look("buttons", "kim")).analysis.verdict.decision == "blocked"
    assert (await experiments.lives.one("buttons")).life.alarms == ("srm:1",)


async def test_a_phase_has_its_planned_days_from_its_own_beginning(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await begun(experiments, plan=Plan(units_per_arm=1000, days=2))
    clock.advance(3 * DAY_S)
    await experiments.change_shares("buttons", {"treatment": 4000}, "kim")
    assert not (await experiments.look("buttons", "kim")).analysis.final
    await experiments.take(crowd(2, 1000, at=3 * DAY_S, phase=2, share=4 / 9))
    assert sum((await experiments.look("buttons", "kim")).analysis.units.values()) == 1000
    page = await experiments.page("buttons", "kim")
    assert page.plan.end_s == START_S + 5 * DAY_S
    clock.advance(2 * DAY_S)
    assert (await experiments.look("buttons", "kim")).analysis.final


async def test_what_was_stopped_before_it_began_is_not_called_early(sqlite_known, made):
    experiments = made(sqlite_known)
    await begun(experiments, cuped_days=7)
    await experiments.stop("buttons", "kim")
    with pytest.raises(WrongState, match="stopped before it began"):
        await experiments.look("buttons", "kim")
    assert (await experiments.page("buttons", "kim")).verdict == Words(
        "시작하기 전에 중단했습니다.", "It was stopped before it began."
    )


async def test_a_plan_that_comes_too_late_is_refused_as_a_plan(sqlite_known, made):
    experiments = made(sqlite_known)
    await begun(experiments)
    with pytest.raises(WrongState) as refused:
        await experiments.plan("buttons", PlanAsk(effect=0.1, baseline=0.2, keep=True), "kim")
    assert refused.value.hint == "`plan --keep` is for experiments that are draft or collecting"


async def test_a_stratum_that_only_begins_is_no_sign_of_arms_filled_at_different_times(sqlite_known, made):
    experiments = made(sqlite_known)
    await begun(experiments, plan=Plan(units_per_arm=200))
    arms = ("treatment", "control")
    await experiments.take([exposure(f"u{n}", arms[n % 2], 1) for n in range(300)])
    later_s = 7 * 3600
    await experiments.take([exposure(f"late{n}", arms[n], later_s) for n in range(2)])
    await experiments.take([event("late1", "buy", later_s + 1, 5.0)])
    found = (await experiments.look("buttons", "kim")).analysis
    assert {each.disagrees for each in found.strata} == {False}
    assert "strata-disagree" not in {reason.code for reason in found.verdict.reasons}


async def test_a_plan_counts_who_came_and_not_who_stands_in_a_file(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await begun(experiments, cuped_days=7)
    past = "".join(f"u{number},1\n" for number in range(1000))
    await experiments.covariates("buttons", f"unit,bought\n{past}")
    await experiments.take([event(f"u{number}", "visit", 0) for number in range(48)])
    clock.advance(DAY_S)
    seen = await experiments.plan("buttons", PlanAsk(effect=0.1, baseline=0.2), "kim")
    assert seen.units_per_day == 48
