"""An experiment from its draft to its report: refusals, phases, looks, alarms, restarts."""

import math
import random

import msgspec
import pytest
from sqlalchemy import select, update

from holdfast.kernel.errors import Unavailable
from holdfast.rooms.experiments.engine.ab.planning import PlanAsk
from holdfast.rooms.experiments.engine.flags.editing import Editor
from holdfast.rooms.experiments.engine.flags.rulebook import Rulebook
from holdfast.rooms.experiments.rules.experiments import Arm, Experiment, Plan, Watched
from holdfast.rooms.experiments.rules.problems import BadDefinition, Stale, UnknownName, WrongState
from holdfast.rooms.experiments.rules.report.html import experiment_page
from holdfast.rooms.experiments.rules.statistics.results import FinalComparison
from holdfast.rooms.experiments.store import ab_sums
from holdfast.rooms.experiments.store.ab_tables import cells, units, visitors
from holdfast.rooms.experiments.store.releases import ReleaseStore
from holdfast.rooms.experiments.store.rules import RuleStore
from tests.rooms.experiments.engine.ab.streams import START_S, event, exposure
from tests.rooms.experiments.engine.canary.faults import FaultySql

DAY_S = 86_400
PRIMARY = (Watched("bought", "primary"), Watched("spent"), Watched("slowest"), Watched("per-visit"))


def asked(name="buttons", **changes):
    settings = {
        "metrics": PRIMARY,
        "plan": Plan(baseline=0.2, effect=0.3, units_per_arm=1000),
        "segments": ("tier",),
    }
    return Experiment(name, hypothesis="단추가 초록이면 더 산다", **{**settings, **changes})


def crowd(seed, units, *, control=0.2, treatment=0.2, at=0.0, phase=1, name="buttons", share=0.5):
    """Units that are exposed and buy, each arm with its own chance."""
    draw, found = random.Random(seed), []
    for number in range(units):
        unit = f"이용자-{seed}-{number}"
        arm, chance = ("treatment", treatment) if draw.random() < share else ("control", control)
        tier = draw.choice(["free", "pro"])
        found.append(exposure(unit, arm, at + number * 0.001, phase=phase, name=name, tier=tier))
        found.append(event(unit, "visit", at + 1))
        if draw.random() < chance:
            found.append(event(unit, "buy", at + 2, round(draw.lognormvariate(2, 1), 2)))
    return found


async def begun(experiments, **changes):
    await experiments.lives.put(asked(**changes), "kim")
    return await experiments.lives.start(changes.get("name", "buttons"), "kim")


async def test_a_known_effect_is_found_and_said_in_both_languages(known, made, clock):
    experiments = made(known)
    await begun(experiments)
    for day in range(1, 5):
        clock.advance(DAY_S)
        await experiments.take(crowd(day, 600, control=0.2, treatment=0.32, at=day * DAY_S - 10))
        await experiments.turn()
    page = await experiments.page("buttons", "kim")
    effect = page.metrics[0].effects[0]
    assert (page.finding, effect.finding) == ("better", "better")
    assert effect.relative.low < 0.6 < effect.relative.high
    assert page.verdict.ko
    assert page.verdict.en
    assert [look.who for look in page.looks][:2] == ["holdfast", "holdfast"]
    assert {row.value for row in page.segments} == {"free", "pro"}
    assert "단추가 초록이면 더 산다" in experiment_page(page)


async def test_no_p_value_leaves_the_room_before_the_last_look(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await begun(experiments)
    await experiments.take(crowd(1, 400))
    looked = await experiments.look("buttons", "kim")
    assert looked.number == 1
    assert not any(isinstance(each, FinalComparison) for each in looked.analysis.comparisons)
    await experiments.take(crowd(2, 1800))
    assert any(
        isinstance(each, FinalComparison)
        for each in (await experiments.look("buttons", "kim")).analysis.comparisons
    )


async def test_an_a_a_test_is_not_called_different(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await begun(experiments)
    for turn in range(4):
        await experiments.take(crowd(turn, 600))
        await experiments.look("buttons", "kim")
    verdict = (await experiments.look("buttons", "kim")).analysis.verdict
    assert verdict.decision in ("no-difference", "inconclusive")


@pytest.mark.parametrize(("days", "early"), [(None, True), (3.0, True), (1.0, False)])
async def test_a_stop_before_the_planned_time_has_no_p_value_to_give(sqlite_known, made, clock, days, early):
    experiments = made(sqlite_known)
    plan = Plan(baseline=0.2, effect=0.3, units_per_arm=1000, days=days)
    await begun(experiments, plan=plan)
    await experiments.take(crowd(1, 800))
    clock.advance(2 * DAY_S)
    await experiments.stop("buttons", "kim")
    clock.advance(9 * DAY_S)
    analysis = (await experiments.look("buttons", "lee")).analysis
    assert (analysis.final, analysis.early) == (True, early)
    assert {isinstance(each, FinalComparison) for each in analysis.comparisons} == {not early}


class _AwayOnce(FaultySql):
    """A database that is away at one point of time, and there again afterwards."""

    def _point(self):
        self.points += 1
        if self.points == self.dies_at:
            raise Unavailable("the database is away")


@pytest.mark.parametrize("point", range(1, 10))
async def test_a_days_look_that_found_no_database_is_taken_later(sqlite_known, made, clock, point):
    database = _AwayOnce(sqlite_known)
    experiments = made(database)
    await begun(experiments)
    await experiments.take(crowd(1, 400))
    clock.advance(DAY_S)
    database.dies_at = database.points + point
    await experiments.turn()
    await experiments.turn()
    assert (await experiments.results("buttons")).who == "holdfast"


async def test_looking_again_at_the_same_units_is_no_new_look(sqlite_known, made, clock):
    one, two = made(sqlite_known, "p1"), made(sqlite_known, "p2")
    await begun(one)
    await one.take(crowd(1, 400))
    first = await one.look("buttons", "kim")
    again = await two.look("buttons", "lee")
    assert (first.number, again.number, again.who, again.is_new) == (1, 1, "kim", False)
    await one.take(crowd(2, 8))
    assert (await one.look("buttons", "kim")).number == 1, "less than a hundredth of the plan is new"


async def test_the_days_look_is_taken_once_by_all_processes(known, made, clock):
    one, two = made(known, "p1"), made(known, "p2")
    await begun(one)
    await one.take(crowd(1, 400))
    clock.advance(DAY_S)
    for process in (one, two, one, two):
        await process.turn()
    page = await one.page("buttons", "holdfast")
    assert [look.who for look in page.looks] == ["holdfast"]


async def test_single_days_are_shown_when_it_is_over(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await begun(experiments)
    for day in range(3):
        await experiments.take(crowd(day, 300, control=0.3, treatment=0.5, at=day * DAY_S))
    assert all(point.day is None for point in (await experiments.page("buttons", "kim")).timeline)
    await experiments.stop("buttons", "kim")
    days = [
        point
        for point in (await experiments.page("buttons", "kim")).timeline
        if point.day is not None and point.metric == "bought"
    ]
    assert [point.units for point in days] == [300, 300, 300]
    assert all(point.day.low < 0.67 < point.day.high for point in days)
    drawn = experiment_page(await experiments.page("buttons", "kim"), "en")
    assert drawn.count('class="day"') == 3 * 3  # of each metric but the quantile


async def test_a_start_by_itself_that_is_refused_is_said_once(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await begun(experiments, name="late", layer="shop", layer_share=6000, cuped_days=1)
    await begun(experiments, name="first", layer="shop", layer_share=6000)
    clock.advance(2 * DAY_S)
    await experiments.turn()
    await experiments.turn()
    late = await experiments.lives.one("late")
    assert (late.status, late.life.alarms) == ("collecting", ("collecting:experiments-bad-definition",))


async def test_what_cannot_be_meant_is_refused_at_the_start(sqlite_known, made):
    experiments = made(sqlite_known)
    with pytest.raises(BadDefinition, match="bougt") as refused:
        await begun(experiments, name="typo", metrics=(Watched("bougt", "primary"),))
    assert "did you mean 'bought'" in refused.value.hint
    with pytest.raises(BadDefinition, match="no primary"):
        await begun(experiments, name="none", metrics=(Watched("bought"),))
    with pytest.raises(BadDefinition, match="10500"):
        await begun(experiments, name="much", arms=(Arm("control", 5000), Arm("treatment", 5500)))
    with pytest.raises(BadDefinition, match="Seul"):
        await begun(experiments, name="zone", zone="Asia/Seul")


async def test_a_metric_on_what_nobody_ever_did_is_refused_unless_allowed(sqlite_database, made):
    experiments = made(sqlite_database)
    await ReleaseStore(sqlite_database).tracked({"bye": 1, "visit": 1})
    with pytest.raises(BadDefinition, match="'buy'") as refused:
        await begun(experiments)
    assert "did you mean 'bye'" in refused.value.hint
    started = await begun(experiments, name="new-action", allow_unseen=True)
    assert started.status == "running"


async def test_its_flag_parts_the_units_and_gives_way_at_the_end(known, made, clock):
    experiments, rules = made(known), RuleStore(known)
    await begun(experiments, layer="shop", layer_share=4000)
    await begun(experiments, name="prices", layer="shop", layer_share=6000)
    flags = (await rules.load()).flags
    assert (flags["buttons"].slots, flags["prices"].slots) == ((0, 4000), (4000, 10_000))
    assert (flags["buttons"].kind, flags["buttons"].phase) == ("experiment", 1)
    with pytest.raises(BadDefinition, match="free buckets"):
        await begun(experiments, name="third", layer="shop", layer_share=100)
    assert (await experiments.lives.one("third")).status == "draft"
    await experiments.stop("buttons", "kim", "treatment", "it pays")
    flag = (await rules.load()).flags["buttons"]
    assert (flag.off, flag.rules[0].variant, flag.slots) == ("control", "treatment", None)
    assert (await begun(experiments, name="fourth", layer="shop", layer_share=4000)).status == "running"


async def test_other_shares_are_a_new_phase_with_evidence_of_its_own(known, made, clock):
    experiments = made(known)
    await begun(experiments)
    await experiments.take(crowd(1, 300))
    clock.advance(60)
    moved = await experiments.change_shares("buttons", {"treatment": 2000}, "kim")
    assert (moved.phase, [arm.share for arm in moved.arms]) == (2, [5000, 2000])
    assert (await RuleStore(known).load()).flags["buttons"].phase == 2
    await experiments.take([*crowd(1, 40, at=100, phase=2), *crowd(2, 140, at=100, phase=2, share=2 / 7)])
    looked = await experiments.look("buttons", "kim")
    assert sum(looked.analysis.units.values()) == 140
    assert looked.analysis.mixed == 40
    assert looked.analysis.sample_ratio.holds


async def test_a_broken_sample_ratio_blocks_the_verdict_and_raises_one_alarm(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await begun(experiments)
    await experiments.take(crowd(1, 800, treatment=0.5, share=0.7))
    await experiments.turn()
    assert (await experiments.look("buttons", "kim")).analysis.verdict.decision == "blocked"
    stored = await experiments.lives.one("buttons")
    assert stored.life.alarms == ("srm:1",)
    page = await experiments.page("buttons", "kim")
    assert page.finding == "blocked"
    assert not page.sample_ratio.passed
    assert {effect.finding for metric in page.metrics for effect in metric.effects} == {"blocked"}
    assert {row.finding for row in page.segments} <= {"blocked"}


async def test_a_guardrail_that_is_harmed_raises_an_alarm(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    metrics = (Watched("spent", "primary"), Watched("bought", "guardrail", 0.02))
    await begun(experiments, metrics=metrics, plan=Plan(units_per_arm=3000))
    await experiments.take(crowd(1, 2500, control=0.5, treatment=0.2))
    looked = await experiments.look("buttons", "kim")
    assert looked.analysis.verdict.decision == "harm"
    assert "harm:1:treatment:bought" in (await experiments.lives.one("buttons")).life.alarms
    assert looked.analysis.verdict.words["en"].startswith("Stop:")
    await experiments.stop("buttons", "kim")
    ended = (await experiments.look("buttons", "kim")).analysis.verdict
    assert ended.words["en"].startswith("Do not ship “treatment”: it does harm.")


async def test_what_users_did_before_narrows_the_interval(sqlite_known, made, clock):
    widths = {}
    for name, days in (("plain", 0.0), ("cuped", 2.0)):
        experiments, draw = made(sqlite_known, name), random.Random(5)
        habits = {f"u{n}": draw.lognormvariate(2, 0.8) for n in range(500)}
        metrics = (Watched("per-visit", "secondary"), Watched("spent", "primary"))
        await begun(experiments, name=name, metrics=metrics, cuped_days=days, plan=Plan(units_per_arm=250))
        start = clock.wall() - 1_750_000_000.0
        await experiments.take([event(unit, "buy", start, habit) for unit, habit in habits.items()])
        clock.advance(2 * DAY_S + 1)
        await experiments.take(())
        await experiments.turn()
        assert (await experiments.lives.one(name)).status == "running"
        after = clock.wall() - 1_750_000_000.0
        arms = {unit: draw.choice(["control", "treatment"]) for unit in habits}
        await experiments.take([exposure(unit, arms[unit], after, name=name) for unit in habits])
        await experiments.take(
            [event(unit, "buy", after + 1, habit * draw.uniform(0.8, 1.2)) for unit, habit in habits.items()]
        )
        looked = await experiments.look(name, "kim")
        found = next(each for each in looked.analysis.comparisons if each.metric == "spent")
        widths[name] = found.high - found.low
        await experiments.stop(name, "kim")
    assert widths["cuped"] < widths["plain"] / 2


async def test_a_plan_is_made_from_what_was_given_and_from_what_was_seen(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await experiments.lives.put(asked(cuped_days=7, plan=Plan()), "kim")
    with pytest.raises(BadDefinition, match="nothing is known yet"):
        await experiments.plan("buttons", PlanAsk(effect=0.1), "kim")
    given = await experiments.plan("buttons", PlanAsk(effect=0.1, baseline=0.2, units_per_day=1000), "kim")
    assert 6_000 < given.units_per_arm < 7_500
    assert given.days == 14
    await experiments.lives.start("buttons", "kim")
    clock.advance(DAY_S)
    people = [event(f"u{n}", "buy" if n % 5 == 0 else "read", DAY_S - 9, 1.0) for n in range(1000)]
    await experiments.take(people)
    clock.advance(5)
    await experiments.take(())
    seen = await experiments.plan("buttons", PlanAsk(effect=0.1, keep=True), "kim")
    assert seen.baseline == pytest.approx(0.2)
    assert seen.units_per_day == pytest.approx(1000, rel=0.01)
    assert seen.units_per_arm == given.units_per_arm
    assert (await experiments.lives.one("buttons")).experiment.plan.units_per_arm == seen.units_per_arm


async def test_a_restart_in_mid_run_goes_on_where_it_was(sqlite_known, made, clock):
    first = made(sqlite_known, "before")
    await begun(first)
    await first.take(crowd(1, 200))
    second = made(sqlite_known, "after")
    await second.take([*crowd(1, 200), *crowd(2, 200)])
    looked = await second.look("buttons", "kim")
    assert sum(looked.analysis.units.values()) == 400


async def test_who_changes_what_somebody_else_changed_hears_of_it(sqlite_known, made):
    experiments = made(sqlite_known)
    stored = await experiments.lives.put(asked(), "kim")
    await experiments.lives.put(asked(zone="Asia/Seoul"), "lee")
    with pytest.raises(Stale):
        await experiments.lives.put(asked(), "kim", stored.generation)
    await experiments.lives.start("buttons", "kim")
    with pytest.raises(WrongState):
        await experiments.lives.put(asked(), "kim")
    with pytest.raises(WrongState):
        await experiments.lives.start("buttons", "kim")
    with pytest.raises(UnknownName, match="'button'"):
        await experiments.lives.one("button")


async def test_units_of_what_ended_long_ago_are_dropped_and_sums_stay(known, made, clock):
    experiments = made(known, keep_days=1)
    await begun(experiments)
    await experiments.take(crowd(1, 50))
    await experiments.stop("buttons", "kim")
    clock.advance(2 * DAY_S)
    await experiments.turn()
    assert (await experiments.lives.one("buttons")).life.forgotten
    assert sum((await experiments.results("buttons")).analysis.units.values()) == 50


async def test_a_look_reads_no_unit(sqlite_known, made, clock):
    """However many units there are, a look costs what its cells cost."""
    experiments = made(sqlite_known)
    await begun(experiments)
    await experiments.take(crowd(1, 300))
    seen = []

    class Listening:
        def __getattr__(self, name):
            return getattr(sqlite_known, name)

        async def fetch(self, statement, parameters=None):
            seen.append(str(statement))
            return await sqlite_known.fetch(statement, parameters)

    await made(Listening(), "reader").page("buttons", "kim")
    assert any("ab_cells" in text for text in seen)
    assert not any("ab_units" in text for text in seen)


async def test_a_flag_that_was_switched_off_is_told_in_the_report(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    await begun(experiments)
    await experiments.take(crowd(1, 400))
    clock.advance(3600)
    rules = RuleStore(sqlite_known)
    async with sqlite_known.transaction() as tx:
        await rules.change_flag(
            tx,
            "buttons",
            lambda flag: msgspec.structs.replace(flag, enabled=False),
            "lee",
            int(clock.wall() * 1000),
        )
    page = await experiments.page("buttons", "kim")
    assert [(step.who, step.what.en[:12]) for step in page.steps][-1] == ("lee", "switched off")
    assert [look.what.ko for look in page.looks] == ["1번째 확인"]
    assert "긴급 정지" in experiment_page(page)
    assert "look-1" not in experiment_page(page, "en")


async def test_units_of_what_has_long_ended_are_forgotten_and_their_sums_stay(
    known, made, clock, monkeypatch
):
    monkeypatch.setattr(ab_sums, "FORGOTTEN_AT_ONCE", 7)
    experiments = made(known, keep_days=10)
    for name in ("buttons", "other"):
        await begun(experiments, name=name)
        await experiments.take(crowd(1, 40, name=name))
    await experiments.stop("buttons", "kim")
    for days, left in ((9, ["buttons", "other"]), (2, ["other"])):
        clock.advance(days * DAY_S)
        await experiments.turn()
        rows = await known.fetch(select(units.c.experiment).distinct().order_by(units.c.experiment))
        assert [row[0] for row in rows] == left
    whole = await experiments.whole(await experiments.lives.one("buttons"))
    assert sum(whole.units.values()) == 40


async def test_visitors_who_stay_away_are_forgotten_and_those_who_come_are_not(known, made, clock):
    experiments = made(known)
    await begun(experiments)
    for day in range(0, 192, 6):
        at = day * DAY_S
        came = ("stays",) if day else ("stays", "goes")
        await experiments.take([event(user, "visit", at) for user in came])
        clock.advance(6 * DAY_S)
    await experiments.turn()
    rows = await known.fetch(select(visitors.c.unit, visitors.c.first_ms))
    assert [tuple(row) for row in rows] == [("stays", int(START_S * 1000))]


@pytest.mark.parametrize(
    "ask",
    [
        PlanAsk(effect=1e-300, baseline=0.3),
        PlanAsk(days=1e308, baseline=0.3, units_per_day=1e308),
        PlanAsk(effect=math.nan, baseline=0.3),
        PlanAsk(effect=-0.1, baseline=0.3),
        PlanAsk(effect=0.1, baseline=0.3, units_per_day=math.inf),
        PlanAsk(effect=0.1, baseline=0.3, power=2.0),
    ],
)
async def test_figures_that_give_no_plan_are_refused(sqlite_known, made, ask):
    experiments = made(sqlite_known)
    await experiments.lives.put(asked(), "kim")
    with pytest.raises(BadDefinition) as refused:
        await experiments.plan("buttons", ask, "kim")
    assert refused.value.hint


async def test_a_plan_counts_on_no_more_than_the_layers_share(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    days = {}
    for name, more in (("alone", {}), ("tenth", {"layer": "shop", "layer_share": 1000})):
        await begun(experiments, name=name, cuped_days=7, plan=Plan(effect=0.3), **more)
    await experiments.take([event(f"u{n}", "buy" if n % 5 == 0 else "visit", 1) for n in range(300)])
    await experiments.take((), closing=True)
    clock.advance(DAY_S)
    for name in ("alone", "tenth"):
        days[name] = (await experiments.plan(name, PlanAsk(), "kim")).days_at_least
    assert days["tenth"] == pytest.approx(10 * days["alone"])


@pytest.mark.parametrize("amount", [1e99, -1e99, 1e30, 1e-300, 0.0])
async def test_no_amount_that_somebody_sends_breaks_a_look(sqlite_known, made, clock, amount):
    experiments = made(sqlite_known)
    await begun(
        experiments, metrics=(*PRIMARY[:1], Watched("spent", "guardrail"), Watched("per-visit", "primary"))
    )
    await experiments.take(crowd(1, 200))
    await experiments.take([event(f"이용자-1-{at}", "buy", 5, amount) for at in range(20)])
    await experiments.look("buttons", "kim")
    shown = await experiments.results("buttons")
    assert {each.metric for each in shown.analysis.comparisons} == {"bought", "spent", "per-visit"}
    assert "NaN" not in experiment_page(await experiments.page("buttons", "kim"))


async def test_amounts_too_small_to_be_squared_are_nothing(sqlite_known, made, clock):
    """Where all of them are, a look divided by zero; so did the last one, and nobody could stop it."""
    experiments = made(sqlite_known)
    await begun(experiments, metrics=(Watched("spent", "primary"),))
    await experiments.take(crowd(1, 300, control=0, treatment=0))
    spent = [event(f"이용자-1-{at}", "buy", at_s, 1e-200) for at in range(300) for at_s in (5, 5 * DAY_S)]
    await experiments.take(spent)
    await experiments.take((), closing=True)
    await experiments.stop("buttons", "kim")
    shown = await experiments.results("buttons")
    assert [each.treatment.value for each in shown.analysis.comparisons] == [0]


async def test_figures_that_break_one_look_do_not_keep_the_others_from_theirs(sqlite_known, made, clock):
    experiments = made(sqlite_known)
    for name in ("buttons", "prices"):
        await begun(experiments, name=name)
        await experiments.take(crowd(1, 200, name=name))
    spoilt = update(cells).where(cells.c.experiment == "buttons", cells.c.metric == "bought")
    await sqlite_known.run(spoilt.values(yy=1e308, y=1e10), {})
    clock.advance(DAY_S)
    await experiments.turn()
    assert await experiments.results("buttons") is None
    assert (await experiments.results("prices")).who == "holdfast"


async def test_the_flag_of_an_experiment_is_not_deleted_by_who_has_not_heard_of_it(sqlite_known, made, clock):
    experiments, rules = made(sqlite_known), RuleStore(sqlite_known)
    rulebook = Rulebook(rules)
    await begun(experiments)
    assert "buttons" not in rulebook.ruleset.flags
    with pytest.raises(WrongState):
        await Editor(rules, rulebook, clock).delete_flag("buttons", None, "lee")
    assert (await experiments.stop("buttons", "kim")).status == "stopped"
