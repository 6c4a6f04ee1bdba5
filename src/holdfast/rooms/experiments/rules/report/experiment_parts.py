"""What stands on an experiment's page, from the verdict to the plan."""

from holdfast.rooms.experiments.rules.report.charts.band import band
from holdfast.rooms.experiments.rules.report.experiment_page import ExperimentPage, MetricRow, SampleRatio
from holdfast.rooms.experiments.rules.report.figures import (
    NONE,
    chosen,
    duration,
    number,
    of_scale,
    percent,
    settled,
    stamp,
)
from holdfast.rooms.experiments.rules.report.labels import FINDINGS, Lang, counted, said, say
from holdfast.rooms.experiments.rules.report.markup import Markup, joined, tag
from holdfast.rooms.experiments.rules.report.metric_parts import metrics
from holdfast.rooms.experiments.rules.report.segment_parts import novelty, segments, strata
from holdfast.rooms.experiments.rules.report.shell import (
    facts,
    plot,
    section,
    subhead,
    table,
    told_twice,
)
from holdfast.rooms.experiments.rules.report.steps import diary


def parts(page: ExperimentPage, lang: Lang) -> tuple[Markup | None, ...]:
    """Every part that has something to say, in the order in which it is asked for."""
    return (
        told_twice(say("decision", lang), page.verdict, FINDINGS[page.finding][0], lang),
        _glance(page, lang),
        _sample_ratio(page, lang) if page.sample_ratio is not None and not page.sample_ratio.passed else None,
        *metrics(page, lang),
        _over_time(page, lang),
        segments(page, lang),
        _sample_ratio(page, lang) if page.sample_ratio is not None and page.sample_ratio.passed else None,
        novelty(page, lang),
        strata(page, lang),
        section(say("looks", lang), _looks(page, lang)),
        section(say("diary", lang), diary(page.steps, page.clock, say("diary", lang), lang)),
        section(say("plan", lang), _plan(page, lang)),
    )


def _glance(page: ExperimentPage, lang: Lang) -> Markup | None:
    until = page.ended_s if page.ended_s is not None else page.made_s
    lasted = until - page.began_s if until is not None and page.began_s is not None else None
    ended = stamp(page.ended_s, page.clock) if page.ended_s is not None else say("not ended", lang)
    pairs = (
        (
            say("began", lang),
            say("not begun", lang) if page.began_s is None else stamp(page.began_s, page.clock),
        ),
        (say("ended", lang), None if page.began_s is None else ended),
        (say("lasted", lang), None if lasted is None else duration(lasted, lang == "ko")),
        (say("decided on", lang), page.decided or None),
        (say("in all", lang), f"{sum(arm.units for arm in page.arms):,}" if page.arms else None),
        (say("mixed", lang), f"{page.mixed:,}"),
        (say("unit", lang), counted(page.unit, lang)),
        (say("generation", lang), f"{page.generation:,}" if page.generation else None),
    )
    heads = [say(key, lang) for key in ("arm of", "share", "units")]
    rows = [(arm.name, f"{arm.share / 100:g} %", f"{arm.units:,}") for arm in page.arms]
    return section(
        say("at a glance", lang),
        tag("p", tag("strong", f"{say('hypothesis', lang)}: "), page.hypothesis, class_="said")
        if page.hypothesis
        else None,
        facts(pairs),
        subhead(say("arms", lang), table(say("arms", lang), heads, rows, numbers=(1, 2))) if rows else None,
    )


def _sample_ratio(page: ExperimentPage, lang: Lang) -> Markup | None:
    ratio = page.sample_ratio
    if ratio is None:
        return None
    if not any(arm.units for arm in ratio.arms):
        return section(say("sample ratio", lang), tag("p", say("nothing yet", lang)))
    meant = f" ({say('always valid', lang)})" if ratio.always_valid else ""
    return section(
        say("sample ratio", lang),
        tag("p", say("ratio passed" if ratio.passed else "ratio failed", lang), class_="said"),
        table(say("sample ratio", lang), *_ratio_table(ratio, lang), numbers=(1, 2, 3)),
        note=f"p = {number(ratio.p)}{meant}; {say('blocks below', lang)} {chosen(ratio.threshold)}",
        class_="card" if ratio.passed else "card decision bad",
    )


def _ratio_table(ratio: SampleRatio, lang: Lang) -> tuple[list[str], list[tuple[str, str, str, str]]]:
    heads = [say(key, lang) for key in ("arm of", "expected", "observed", "difference")]
    rows = [
        (
            arm.name,
            NONE if arm.expected is None else f"{number(arm.expected, 0)}",
            f"{arm.units:,}",
            percent((arm.units - arm.expected) / arm.expected, signed=True) if arm.expected else NONE,
        )
        for arm in ratio.arms
    ]
    return heads, rows


def _over_time(page: ExperimentPage, lang: Lang) -> Markup | None:
    drawn: list[Markup] = []
    known = {metric.name: metric for metric in page.metrics}
    courses = dict.fromkeys((point.metric, point.arm) for point in page.timeline)
    for name, arm in courses:
        own = (point for point in page.timeline if (point.metric, point.arm) == (name, arm))
        points = tuple(sorted(own, key=lambda point: point.at_s))
        title = f"{name} · {arm}"
        picture = band(title, say("over time read", lang), points, page.clock, _sides(known.get(name), lang))
        if picture:
            drawn.append(subhead(title, plot(picture)))
    return section(say("over time", lang), *drawn, note=say("over time read", lang))


def _sides(metric: MetricRow | None, lang: Lang) -> tuple[str, str]:
    """What lies below and above zero, and which of it is wanted."""
    if metric is None:
        return say("below", lang), say("above", lang)
    good = said(FINDINGS["better"][2], lang)
    below, above = say("below", lang), say("above", lang)
    return (below, f"{above} ({good})") if metric.better == "up" else (f"{below} ({good})", above)


def _looks(page: ExperimentPage, lang: Lang) -> Markup:
    heads = [say(key, lang) for key in ("time", "who", "what", "information", "told")]
    rows = [
        (
            stamp(look.at_s, page.clock),
            look.who or say("by itself", lang),
            joined(
                said(look.what, lang) or NONE,
                tag("small", say("last look", lang)) if look.planned else None,
            ),
            percent(look.information, decimals=0),
            said(look.said, lang) or NONE,
        )
        for look in page.looks
    ]
    return table(say("looks", lang), heads, rows, numbers=(3,))


def _plan(page: ExperimentPage, lang: Lang) -> Markup:
    plan = page.plan
    if plan is None:
        return Markup()
    primary = next((metric for metric in page.metrics if metric.role == "primary"), None)
    scale = primary.scale if primary is not None else "number"
    pairs = (
        (say("alpha", lang), settled(plan.alpha)),
        (say("power", lang), settled(plan.power)),
        (say("baseline", lang), None if plan.baseline is None else of_scale(plan.baseline, scale)),
        (say("least effect", lang), None if plan.effect is None else settled(plan.effect, signed=True)),
        (say("per arm", lang), None if plan.units_per_arm is None else f"{plan.units_per_arm:,}"),
        (say("days", lang), None if plan.days is None else number(plan.days)),
        (say("planned end", lang), None if plan.end_s is None else stamp(plan.end_s, page.clock)),
    )
    return facts(pairs, class_="rule")
