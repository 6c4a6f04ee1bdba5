"""An experiment's effect among parts of its units and of its time: segments, novelty, strata."""

from holdfast.rooms.experiments.rules.report.charts.forest import forest
from holdfast.rooms.experiments.rules.report.experiment_page import Comparison, ExperimentPage
from holdfast.rooms.experiments.rules.report.figures import NONE, interval, percent
from holdfast.rooms.experiments.rules.report.labels import Lang, said, say
from holdfast.rooms.experiments.rules.report.markup import Markup, joined, tag
from holdfast.rooms.experiments.rules.report.metric_parts import bar, finding
from holdfast.rooms.experiments.rules.report.shell import folded, plot, section, table


def segments(page: ExperimentPage, lang: Lang) -> Markup | None:
    """A forest of the first metric's effects among groups; every metric's in the table."""
    if not page.segments:
        return None
    title = say("segments", lang)
    first, several = page.segments[0].metric, len(page.arms) > 2
    bars = tuple(
        bar(
            f"{row.attribute} = {row.value}" + (f" · {row.arm}" if several else ""), row.relative, row.finding
        )
        for row in page.segments
        if row.metric == first
    )
    heads = [say(key, lang) for key in ("segment", "metric", "finding", "effect", "units")]
    rows = [
        (
            joined(f"{row.attribute} = {row.value}", tag("small", row.arm) if several else None),
            row.metric,
            finding(row.finding, lang),
            joined(
                percent(row.relative.value, signed=True), tag("small", interval(row.relative, signed=True))
            ),
            f"{row.treatment_units:,} / {row.control_units:,}",
        )
        for row in page.segments
    ]
    picture = forest(f"{title}: {first}", say("forest read", lang), bars, ends=_sides(lang))
    return section(title, tag("h3", first), plot(picture), table(title, heads, rows, numbers=(3, 4)))


def novelty(page: ExperimentPage, lang: Lang) -> Markup | None:
    """Whether the effect lasted."""
    found = page.novelty
    if found is None:
        return None
    words = said(found.said, lang) or say("novelty found" if found.found else "novelty absent", lang)
    return section(say("novelty", lang), tag("p", words), *_compared(say("novelty", lang), found.parts, lang))


def strata(page: ExperimentPage, lang: Lang) -> Markup | None:
    """The effect by weekday and hour."""
    if not page.strata:
        return None
    title = say("strata", lang)
    return section(title, *_compared(title, page.strata, lang))


def _compared(title: str, rows: tuple[Comparison, ...], lang: Lang) -> tuple[Markup, ...]:
    if not rows:
        return ()
    several = len({(row.metric, row.arm) for row in rows}) > 1
    bars = tuple(
        bar(
            f"{row.metric} · {row.arm} · {said(row.name, lang)}" if several else said(row.name, lang),
            row.relative,
            "undecided",
        )
        for row in rows
    )
    heads = [say(key, lang) for key in ("segment", "metric", "effect", "units")]
    body = [
        (
            said(row.name, lang),
            f"{row.metric} · {row.arm}",
            joined(
                percent(row.relative.value, signed=True), tag("small", interval(row.relative, signed=True))
            ),
            f"{row.units:,}" if row.units else NONE,
        )
        for row in rows
    ]
    picture = forest(title, say("forest read", lang), bars, ends=_sides(lang))
    return plot(picture), folded(say("all figures", lang), table(title, heads, body, numbers=(2, 3)))


def _sides(lang: Lang) -> tuple[str, str]:
    return say("lower side", lang), say("higher side", lang)
