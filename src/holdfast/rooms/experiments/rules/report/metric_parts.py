"""The metrics of an experiment by their role: a forest of effects, and every figure beneath it."""

from holdfast.rooms.experiments.rules.report.charts.forest import Bar, forest
from holdfast.rooms.experiments.rules.report.experiment_page import Effect, ExperimentPage, MetricRow
from holdfast.rooms.experiments.rules.report.figures import (
    NONE,
    interval,
    number,
    of_scale,
    percent,
    settled,
)
from holdfast.rooms.experiments.rules.report.labels import FINDINGS, Lang, said, say
from holdfast.rooms.experiments.rules.report.markup import Markup, joined, tag
from holdfast.rooms.experiments.rules.report.page import Figure
from holdfast.rooms.experiments.rules.report.shell import flag, folded, plot, section, table

ROLES = ("primary", "guardrail", "secondary")


def metrics(page: ExperimentPage, lang: Lang) -> tuple[Markup | None, ...]:
    """One section for each role that has a metric."""
    parts = tuple(_of_role(page, role, lang) for role in ROLES)
    legend = section(say("how to read", lang), tag("p", say("forest read", lang)))
    return (*parts, legend) if any(parts) else ()


def finding(name: str, lang: Lang) -> Markup:
    """A finding with its sign."""
    style, sign, text = FINDINGS[name]
    return flag(style, sign, said(text, lang))


def bar(name: str, effect: Figure, found: str, limit: float | None = None) -> Bar:
    """A relative effect as a row of a forest."""
    return Bar(
        name=name,
        figure=effect,
        written=f"{percent(effect.value, signed=True)}",
        style=FINDINGS[found][0] if FINDINGS[found][0] in ("well", "bad") else "plain",
        limit=limit,
    )


def _of_role(page: ExperimentPage, role: str, lang: Lang) -> Markup | None:
    rows = tuple(metric for metric in page.metrics if metric.role == role)
    if not rows:
        return None
    title = say(role, lang)
    several = len(page.arms) > 2
    bars = tuple(
        bar(
            f"{metric.name} · {effect.arm}" if several else metric.name,
            effect.relative,
            effect.finding,
            _margin(metric),
        )
        for metric in rows
        for effect in metric.effects
    )
    picture = forest(title, say("forest read", lang), bars, ends=_ends(rows, lang))
    return section(
        title,
        plot(picture),
        table(
            title,
            _heads(lang),
            [row for metric in rows for row in _effects(metric, several, lang)],
            numbers=(2, 3, 4),
        ),
        folded(say("all figures", lang), _details(title, rows, lang)),
    )


def _margin(metric: MetricRow) -> float | None:
    if metric.margin is None or metric.role != "guardrail":
        return None
    return -metric.margin if metric.better == "up" else metric.margin


def _ends(rows: tuple[MetricRow, ...], lang: Lang) -> tuple[str, str]:
    """Better and worse where all metrics agree on the side, more and less where they do not."""
    ways = {metric.better for metric in rows}
    if ways == {"up"}:
        return say("worse side", lang), say("better side", lang)
    if ways == {"down"}:
        return say("better left", lang), say("worse right", lang)
    return say("lower side", lang), say("higher side", lang)


def _heads(lang: Lang) -> tuple[str, ...]:
    return tuple(say(key, lang) for key in ("metric", "finding", "effect", "this arm", "control arm"))


def _effects(metric: MetricRow, several: bool, lang: Lang) -> list[tuple[str, ...]]:
    arms = {row.arm: row for row in metric.arms}
    control = metric.arms[0].figure if metric.arms else Figure()
    note = tag("small", metric.description) if metric.description else None
    rows: list[tuple[str, ...]] = []
    for effect in metric.effects:
        own = arms[effect.arm].figure if effect.arm in arms else Figure()
        sure = interval(effect.relative, signed=True)
        rows.append(
            (
                joined(f"{metric.name} · {effect.arm}" if several else metric.name, note),
                finding(effect.finding, lang),
                joined(percent(effect.relative.value, signed=True), tag("small", sure) if sure else None),
                of_scale(own.value, metric.scale, metric.unit),
                of_scale(control.value, metric.scale, metric.unit),
            )
        )
    return rows


def _details(title: str, rows: tuple[MetricRow, ...], lang: Lang) -> Markup:
    heads = [
        say(key, lang)
        for key in ("metric", "arm of", "units", "difference", "cohens d", "p", "variance", "method")
    ]
    body = [_detail(metric, effect, lang) for metric in rows for effect in metric.effects]
    return table(f"{title}: {say('all figures', lang)}", heads, body, numbers=(2, 3, 4, 5, 6))


def _detail(metric: MetricRow, effect: Effect, lang: Lang) -> tuple[str, ...]:
    units = next((row.units for row in metric.arms if row.arm == effect.arm), None)
    sure = interval(effect.absolute, metric.scale, metric.unit, signed=True)
    margin = (
        tag("small", f"{say('margin', lang)} {settled(metric.margin)}") if metric.margin is not None else None
    )
    return (
        joined(metric.name, margin),
        effect.arm,
        NONE if units is None else f"{units:,}",
        joined(
            of_scale(effect.absolute.value, metric.scale, metric.unit, signed=True),
            tag("small", sure) if sure else None,
        ),
        number(effect.cohens_d, 3, signed=True),
        number(effect.p, 4),
        percent(metric.variance_removed, decimals=0),
        joined(effect.method or NONE, tag("small", effect.adjusted) if effect.adjusted else None),
    )
