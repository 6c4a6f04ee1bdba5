"""What stands on a release's page, from the decision to the rule."""

from holdfast.rooms.experiments.rules.report.charts.forest import Bar, forest
from holdfast.rooms.experiments.rules.report.charts.staircase import staircase
from holdfast.rooms.experiments.rules.report.evidence_parts import evidence, gate_name
from holdfast.rooms.experiments.rules.report.figures import (
    NONE,
    chosen,
    duration,
    interval,
    number,
    percent,
    settled,
    stamp,
)
from holdfast.rooms.experiments.rules.report.labels import STATUSES, VERDICTS, Lang, counted, said, say
from holdfast.rooms.experiments.rules.report.markup import Markup, joined, tag
from holdfast.rooms.experiments.rules.report.page import Words
from holdfast.rooms.experiments.rules.report.release_page import (
    ArmRate,
    ExampleRequest,
    ReleasePage,
)
from holdfast.rooms.experiments.rules.report.shell import (
    facts,
    flag,
    folded,
    plot,
    section,
    table,
    told_twice,
)
from holdfast.rooms.experiments.rules.report.steps import diary
from holdfast.rooms.experiments.rules.report.words import ARM_WORDS

FEW_EXAMPLES = 5


def parts(page: ReleasePage, lang: Lang) -> tuple[Markup | None, ...]:
    """Every part that has something to say, in the order in which it is asked for."""
    style = STATUSES[page.status][0] if page.status in STATUSES else "plain"
    return (
        told_twice(say("decision", lang), page.decision or Words(), style, lang),
        _glance(page, lang),
        _gates(page, lang),
        evidence(page, lang),
        _stages(page, lang),
        section(say("incidents", lang), _incidents(page, lang)),
        section(say("timeline", lang), diary(page.timeline, page.clock, say("timeline", lang), lang)),
        section(say("examples", lang), _examples(page, lang)),
        section(say("rule", lang), _rule(page, lang)),
    )


def _glance(page: ReleasePage, lang: Lang) -> Markup | None:
    ended = say("not ended", lang)
    if page.ended_s is not None:
        ended = stamp(page.ended_s, page.clock, _brief(page))
    until = page.ended_s if page.ended_s is not None else page.made_s
    lasted = until - page.began_s if until is not None and page.began_s is not None else None
    seen = sum(row.treatment for row in page.stages)
    pairs = (
        (say("version", lang), page.version),
        (say("share now", lang), f"{page.share / 100:g} %"),
        (say("share then", lang), None if page.decided_share is None else f"{page.decided_share / 100:g} %"),
        (
            say("began", lang),
            say("not begun", lang) if page.began_s is None else stamp(page.began_s, page.clock),
        ),
        (say("ended", lang), None if page.began_s is None else ended),
        (say("lasted", lang), None if lasted is None else duration(lasted, lang == "ko")),
        (say("seen", lang), f"{seen:,}" if seen else None),
        (say("generation", lang), f"{page.generation:,}" if page.generation else None),
    )
    return section(say("at a glance", lang), facts(pairs), note=page.description)


def _brief(page: ReleasePage) -> bool:
    """Whether it was over so soon that stamps need their seconds."""
    return page.began_s is not None and page.ended_s is not None and page.ended_s - page.began_s < 3600


def _gates(page: ReleasePage, lang: Lang) -> Markup | None:
    title = say("gates", lang)
    if not page.gates:
        return None
    return section(
        title,
        plot(forest(title, say("gates read", lang), _bars(page, lang), zero=0.0, signed=False)),
        table(title, _gate_heads(lang), _gate_rows(page, lang), numbers=(2, 3, 4)),
        note=say("gates read", lang),
    )


def _bars(page: ReleasePage, lang: Lang) -> tuple[Bar, ...]:
    bars: list[Bar] = []
    for gate in page.gates:
        worse = gate.verdict == "ROLL BACK" or (page.status == "rolled_back" and gate.name == page.gate)
        for key, arm in (("treatment", gate.treatment), ("control", gate.control)):
            bars.append(
                Bar(
                    name=f"{gate.name} · {say(key, lang)}",
                    figure=arm.rate,
                    written=percent(arm.rate.value),
                    style="bad" if worse and key == "treatment" else "plain",
                    limit=gate.limit,
                )
            )
    return tuple(bars)


def _gate_heads(lang: Lang) -> tuple[str, ...]:
    return tuple(say(key, lang) for key in ("gate", "verdict", "treatment", "control", "limit"))


def _gate_rows(page: ReleasePage, lang: Lang) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for gate in page.gates:
        note = tag("small", say("observed only", lang)) if gate.observe_only else None
        warn = tag("small", f"{say('warn', lang)} {settled(gate.warn)}") if gate.warn is not None else None
        rows.append(
            (
                joined(gate_name(gate, lang), note),
                _verdict(gate.verdict, lang),
                _rate(gate.treatment),
                _rate(gate.control),
                joined(settled(gate.limit), warn),
            )
        )
    return rows


def _rate(arm: ArmRate) -> Markup:
    sure = interval(arm.rate)
    return joined(
        percent(arm.rate.value),
        tag("small", sure) if sure else None,
        tag("small", f"{arm.bad:,} / {arm.units:,}"),
    )


def _verdict(verdict: str, lang: Lang) -> Markup:
    if verdict not in VERDICTS:
        return flag("plain", "", verdict or NONE)
    style, sign, text = VERDICTS[verdict]
    return flag(style, sign, said(text, lang))


def _stages(page: ReleasePage, lang: Lang) -> Markup | None:
    title = say("stages", lang)
    steps = [(row.began_s, row.share / 100) for row in page.stages if row.began_s is not None]
    if page.status == "rolled_back" and steps and page.decided_s is not None:
        steps.append((page.decided_s, 0.0))
    until = page.ended_s if page.ended_s is not None else page.made_s
    drawn = staircase(title, say("stages read", lang), tuple(steps), until, page.clock)
    heads = [
        say(key, lang)
        for key in ("share", "state", "began", "ended", "dwell", "treatment", "control", "wanted")
    ]
    rows = [
        (
            f"{row.share / 100:g} %",
            say(row.state, lang),
            stamp(row.began_s, page.clock, _brief(page)),
            stamp(row.ended_s, page.clock, _brief(page)),
            duration(row.dwell_s, lang == "ko"),
            f"{row.treatment:,}",
            f"{row.control:,}",
            NONE if row.wanted is None else f"{row.wanted:,}",
        )
        for row in page.stages
    ]
    shown = table(title, heads, rows, numbers=(5, 6, 7))
    return section(title, plot(drawn), shown, note=say("stages read", lang) if drawn else "")


def _incidents(page: ReleasePage, lang: Lang) -> Markup:
    heads = [say(key, lang) for key in ("what", "began", "ended")]
    rows = [
        (
            joined(said(row.title, lang), tag("small", row.name) if row.name else None),
            stamp(row.at_s, page.clock),
            say("not ended", lang) if row.ended_s is None else stamp(row.ended_s, page.clock),
        )
        for row in page.incidents
    ]
    return table(say("incidents", lang), heads, rows)


def _examples(page: ReleasePage, lang: Lang) -> Markup:
    """The first few, the others folded; a column that no example has anything for is left out."""
    keys = ("time", "arm", "route", "error", "seconds", "request id")
    rows = [_example(row, page, lang) for row in page.examples]
    kept = [at for at in range(len(keys)) if any(row[at] for row in rows)]
    heads = [say(keys[at], lang) for at in kept]
    cells = [[row[at] or NONE for at in kept] for row in rows]
    numbers = [place for place, at in enumerate(kept) if keys[at] == "seconds"]
    title, rest = say("examples", lang), cells[FEW_EXAMPLES:]
    more = folded(f"{say('more', lang)} ({len(rest)})", table(title, heads, rest, numbers)) if rest else None
    return joined(table(title, heads, cells[:FEW_EXAMPLES], numbers), more)


def _example(row: ExampleRequest, page: ReleasePage, lang: Lang) -> tuple[str, ...]:
    arm = said(ARM_WORDS[row.arm], lang) if row.arm in ARM_WORDS else row.arm
    trace = tag("small", f"{say('trace id', lang)} ", tag("code", row.trace_id)) if row.trace_id else None
    return (
        stamp(row.at_s, page.clock, seconds=True),
        arm,
        tag("code", row.route) if row.route else "",
        row.error,
        "" if row.seconds is None else f"{number(row.seconds)} s",
        joined(tag("code", row.request_id) if row.request_id else None, trace),
    )


def _rule(page: ReleasePage, lang: Lang) -> Markup:
    rule = page.rule
    if rule is None:
        return Markup()
    pairs = (
        (say("alpha release", lang), settled(rule.alpha)),
        (say("ratios", lang), ", ".join(chosen(ratio) for ratio in rule.ratios)),
        (say("detectors", lang), ", ".join(rule.detectors)),
        (say("measured unit", lang), counted(rule.measure, lang)),
        (say("unit", lang), counted(rule.unit, lang)),
        (say("warm up", lang), duration(rule.warm_up_s, lang == "ko")),
        (say("stale", lang), duration(rule.stale_s, lang == "ko")),
    )
    return facts(pairs, class_="rule")
