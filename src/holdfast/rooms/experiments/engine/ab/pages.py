"""Fills the page of an experiment from its looks: only what a look has shown stands on it.

The timeline is drawn from looks, each with the interval that was valid then: a point between two of them
would be a naked look.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from holdfast.rooms.experiments.engine.ab.looking import Looked
from holdfast.rooms.experiments.rules.ab.days import DayEffect
from holdfast.rooms.experiments.rules.ab.diary import look_of, steps_of
from holdfast.rooms.experiments.rules.ab.lives import Stored
from holdfast.rooms.experiments.rules.experiments import Metric
from holdfast.rooms.experiments.rules.flags import Change
from holdfast.rooms.experiments.rules.report.experiment_page import (
    ArmFigure,
    ArmRow,
    Comparison,
    Effect,
    EffectPoint,
    ExperimentPage,
    Finding,
    Look,
    MetricRow,
    Novelty,
    PlanUsed,
    SampleRatio,
    Scale,
    SegmentRow,
)
from holdfast.rooms.experiments.rules.report.page import Clock, Figure, Words
from holdfast.rooms.experiments.rules.statistics import results
from holdfast.rooms.experiments.rules.statistics.results import Analysis, FinalComparison
from holdfast.rooms.experiments.store.ab import LookRow

_FINDINGS: dict[str, Finding] = {
    "better": "better",
    "worse": "worse",
    "unclear": "undecided",
    "no-worse": "within",
}
_VERDICTS: dict[str, Finding] = {
    "blocked": "blocked",
    "ship": "better",
    "do-not-ship": "worse",
    "harm": "harmed",
    "no-difference": "same",
}


def page_of(
    stored: Stored,
    looked: Looked,
    rows: Sequence[LookRow],
    days: Sequence[DayEffect],
    changes: Sequence[Change],
    now_s: float,
) -> ExperimentPage:
    """The page of what the look `looked` showed; `days` only of an experiment that is over.

    `changes` are those of its flag: when it was switched off, nobody was exposed.
    """
    experiment, life, found = stored.experiment, stored.life, looked.analysis
    metrics = {metric.name: metric for metric in life.metrics}
    return ExperimentPage(
        name=experiment.name,
        status=stored.status,
        hypothesis=experiment.hypothesis,
        verdict=Words(**{lang: found.verdict.words.get(lang, "") for lang in ("ko", "en")}),
        finding=_VERDICTS.get(found.verdict.decision, "undecided"),
        began_s=_seconds(life.started_ms),
        ended_s=_seconds(life.stopped_ms),
        decided="" if life.stopped_ms is None else life.decision or stored.arms[0].name,
        made_s=now_s,
        generation=stored.generation,
        unit=experiment.unit,
        arms=_arms(stored, found),
        metrics=tuple(
            _metric(metrics[use.metric], use.role, use.margin, found)
            for use in experiment.metrics
            if use.metric in metrics
        ),
        timeline=(*_timeline(rows), *_days(days)),
        segments=tuple(_segment(each, found) for each in found.segments),
        sample_ratio=SampleRatio(
            passed=found.sample_ratio.holds,
            p=found.sample_ratio.p,
            always_valid=found.sample_ratio.always_valid,
            arms=_arms(stored, found),
        ),
        mixed=found.mixed,
        novelty=_novelty(found),
        strata=tuple(_stratum(each, found) for each in found.strata),
        looks=tuple(_look(row) for row in rows),
        steps=steps_of(life, changes),
        plan=_plan(stored),
        clock=_clock(experiment.zone, now_s),
    )


def unseen_page(stored: Stored, now_s: float) -> ExperimentPage:
    """The page of an experiment that nobody can have looked at: not begun yet, or never."""
    experiment, is_over = stored.experiment, stored.status == "stopped"
    return ExperimentPage(
        name=experiment.name,
        status=stored.status,
        hypothesis=experiment.hypothesis,
        verdict=Words("시작하기 전에 중단했습니다.", "It was stopped before it began.")
        if is_over
        else Words("아직 시작하지 않았습니다.", "It has not started yet."),
        made_s=now_s,
        generation=stored.generation,
        unit=experiment.unit,
        arms=tuple(ArmRow(name=arm.name, share=arm.share) for arm in stored.arms),
        steps=steps_of(stored.life),
        plan=_plan(stored),
        clock=_clock(experiment.zone, now_s),
    )


def _arms(stored: Stored, found: Analysis) -> tuple[ArmRow, ...]:
    return tuple(
        ArmRow(
            name=arm.name,
            share=arm.share,
            units=found.units.get(arm.name, 0),
            expected=found.sample_ratio.expected.get(arm.name),
        )
        for arm in stored.arms
    )


def _metric(metric: Metric, role: str, margin: float, found: Analysis) -> MetricRow:
    mine = [each for each in found.comparisons if each.metric == metric.name]
    figures = {mine[0].control.units: mine[0].control} if mine else {}
    arms = [ArmFigure(arm=name, units=n, figure=Figure(one.value)) for name, n, one in _figures(mine, found)]
    removed = max((each.noise_removed for each in mine), default=0.0)
    return MetricRow(
        name=metric.name,
        role=role,  # type: ignore[arg-type] # both are the same three words
        kind=metric.kind,
        better=metric.better,
        description=metric.description,
        scale=_scale(metric),
        margin=margin if role == "guardrail" else None,
        arms=tuple(arms) if figures else (),
        effects=tuple(_effect(each, role, found) for each in mine),
        variance_removed=removed or None,
    )


def _figures(
    mine: Sequence[results.Comparison], found: Analysis
) -> Iterable[tuple[str, int, results.Figure]]:
    if not mine:
        return
    control = next((name for name in found.units if name not in {each.arm for each in mine}), "control")
    yield control, mine[0].control.units, mine[0].control
    for each in mine:
        yield each.arm, each.treatment.units, each.treatment


def _effect(each: results.Comparison, role: str, found: Analysis) -> Effect:
    final = each if isinstance(each, FinalComparison) else None
    adjusted = {"primary": "Holm", "secondary": "Benjamini-Hochberg"}.get(role, "")
    finding = _finding(each, found)
    return Effect(
        arm=each.arm,
        absolute=Figure(each.absolute, each.low, each.high),
        relative=_relative(each),
        finding="harmed" if role == "guardrail" and finding == "worse" else finding,
        cohens_d=each.cohens_d,
        p=final.adjusted_p if final else None,
        method=each.method,
        adjusted=adjusted if final else "",
    )


def _relative(each: results.Comparison) -> Figure:
    return Figure(each.relative, each.relative_low, each.relative_high)


def _finding(each: results.Comparison, found: Analysis) -> Finding:
    """None that could be read as a verdict where the arms were not filled as they should be."""
    return _FINDINGS[each.finding] if found.sample_ratio.holds else "blocked"


def _segment(each: results.Comparison, found: Analysis) -> SegmentRow:
    return SegmentRow(
        attribute=each.attribute,
        value=each.value,
        metric=each.metric,
        arm=each.arm,
        control_units=each.control.units,
        treatment_units=each.treatment.units,
        relative=_relative(each),
        finding=_finding(each, found),
    )


def _timeline(rows: Sequence[LookRow]) -> Iterable[EffectPoint]:
    for row in rows:
        for each in row.told.effects:
            effect = Figure(each.value, each.low, each.high)
            yield EffectPoint(
                at_s=row.at_ms / 1000, metric=each.metric, arm=each.arm, effect=effect, units=each.units
            )


def _days(days: Sequence[DayEffect]) -> Iterable[EffectPoint]:
    for each in days:
        day = Figure(each.value, each.low, each.high)
        yield EffectPoint(at_s=each.ends_s, metric=each.metric, arm=each.arm, day=day, units=each.units)


def _novelty(found: Analysis) -> Novelty | None:
    if not found.novelty:
        return None
    worn = [each for each in found.novelty if each.wears_off]
    names = ", ".join(sorted({each.metric for each in worn}))
    said = (
        Words(
            f"{names}의 효과가 첫 며칠 뒤 약해집니다.",
            f"The effect on {names} fades after units' first days.",
        )
        if worn
        else Words("효과가 며칠 뒤 약해진다는 증거는 없습니다.", "Nothing shows that the effect fades.")
    )
    parts = [
        Comparison(name=words, metric=each.metric, arm=each.arm, relative=Figure(value))
        for each in found.novelty
        for words, value in (
            (Words("첫 며칠", "first days"), each.first),
            (Words("그 뒤", "later days"), each.later),
        )
    ]
    return Novelty(found=bool(worn), said=said, parts=tuple(parts))


def _stratum(each: results.Stratified, found: Analysis) -> Comparison:
    """Weighed by when units came, as a share of control's figure."""
    control = next((one.control.value for one in found.comparisons if one.metric == each.metric), 0.0)
    figure = (
        Figure(each.absolute / control, each.low / control, each.high / control) if control > 0 else Figure()
    )
    words = Words("요일·시간대로 보정", "weighed by weekday and time of day")
    return Comparison(
        name=words, metric=each.metric, arm=each.arm, relative=figure, units=sum(found.units.values())
    )


def _look(row: LookRow) -> Look:
    words = row.told.words
    return Look(
        at_s=row.at_ms / 1000,
        who=row.who,
        what=look_of(row.slot),
        said=Words(words.get("ko", ""), words.get("en", "")),
        information=row.fraction,
        planned=row.last,
    )


def _plan(stored: Stored) -> PlanUsed:
    plan, began_s = stored.experiment.plan, _seconds(stored.since_ms)
    return PlanUsed(
        alpha=plan.alpha,
        power=plan.power,
        baseline=plan.baseline,
        effect=plan.effect,
        units_per_arm=plan.units_per_arm,
        days=plan.days,
        end_s=began_s + plan.days * 86_400 if began_s is not None and plan.days else None,
    )


def _scale(metric: Metric) -> Scale:
    if metric.kind == "conversion":
        return "share"
    return "seconds" if metric.measure.take == "seconds" and metric.over is None else "number"


def _clock(zone: str, now_s: float) -> Clock:
    offset = datetime.fromtimestamp(now_s, UTC).astimezone(ZoneInfo(zone)).utcoffset()
    return Clock(zone, int(offset.total_seconds()) if offset else 0)


def _seconds(stamp_ms: int | None) -> float | None:
    return None if stamp_ms is None else stamp_ms / 1000
