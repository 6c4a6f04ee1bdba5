"""What is kept of a look for those after it: its place in the alpha that is spent, its words, its effects."""

import msgspec

from holdfast.rooms.experiments.rules.statistics.results import Analysis, Look


class ToldEffect(msgspec.Struct, frozen=True, array_like=True):
    """The relative effect on one metric, as it was shown."""

    metric: str
    arm: str
    value: float | None
    low: float | None
    high: float | None
    units: int


class Told(msgspec.Struct, frozen=True):
    """A look without its segments and figures: some hundred bytes."""

    look: Look | None
    decision: str
    words: dict[str, str]
    effects: tuple[ToldEffect, ...]


def told(found: Analysis) -> Told:
    """What is kept of this analysis."""
    return Told(
        found.look,
        found.verdict.decision,
        found.verdict.words,
        tuple(
            ToldEffect(
                each.metric,
                each.arm,
                each.relative,
                each.relative_low,
                each.relative_high,
                each.control.units + each.treatment.units,
            )
            for each in found.comparisons
        ),
    )
