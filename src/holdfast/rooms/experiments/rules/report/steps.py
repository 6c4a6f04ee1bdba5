"""The diary of a release or an experiment: who did what, and when."""

from holdfast.rooms.experiments.rules.report.figures import stamp
from holdfast.rooms.experiments.rules.report.labels import Lang, said, say
from holdfast.rooms.experiments.rules.report.markup import Markup, joined, tag
from holdfast.rooms.experiments.rules.report.page import Clock, Step
from holdfast.rooms.experiments.rules.report.shell import table


def diary(steps: tuple[Step, ...], clock: Clock, caption: str, lang: Lang) -> Markup:
    """Steps in the order given, as a table."""
    heads = [say(key, lang) for key in ("time", "what", "who")]
    rows = [
        (
            stamp(step.at_s, clock, seconds=True),
            joined(said(step.what, lang), *(tag("small", each) for each in _small(step, lang))),
            step.who or say("by itself", lang),
        )
        for step in steps
    ]
    return table(caption, heads, rows)


def _small(step: Step, lang: Lang) -> tuple[str, ...]:
    return tuple(filter(None, (step.detail, said(step.why, lang))))
