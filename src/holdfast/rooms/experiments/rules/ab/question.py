"""From what is kept of an experiment to the question that an analysis answers."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from holdfast.rooms.experiments.rules.ab.lives import Stored
from holdfast.rooms.experiments.rules.ab.taking import CROSSED, DAY_MS, MIXED, NOVEL
from holdfast.rooms.experiments.rules.experiments import Metric, Watched
from holdfast.rooms.experiments.rules.statistics.quantile import bin_of
from holdfast.rooms.experiments.rules.statistics.results import (
    NOVELTY,
    STRATUM,
    WHOLE,
    Kept,
    Look,
    Measured,
    Question,
)
from holdfast.rooms.experiments.rules.statistics.sums import Sums

Cell = tuple[str, str, str]
"""Attribute, value, arm."""


class Sheet(msgspec.Struct, frozen=True):
    """Everything kept of one phase of an experiment."""

    counts: Mapping[Cell, int] = {}
    sums: Mapping[tuple[str, str, str, str], Sums] = {}
    """Attribute, value, arm, metric -> sums; without `n`, which is that of `counts`."""
    bins: Mapping[tuple[str, str, str, str], Mapping[int, int]] = {}

    @property
    def mixed(self) -> int:
        """Units seen in two arms."""
        return self.counts.get((*MIXED, ""), 0)

    @property
    def crossed(self) -> int:
        """Units seen in an earlier phase."""
        return self.counts.get((*CROSSED, ""), 0)

    def units(self, arm: str) -> int:
        """Units of an arm."""
        return self.counts.get((*WHOLE, arm), 0)

    def of(self, cell: Cell, metric: str) -> Sums:
        """A metric's sums in a cell."""
        found = self.sums.get((*cell, metric), _NONE)
        n = self.units(cell[2]) if cell[0] == NOVELTY else self.counts.get(cell, 0)
        return msgspec.structs.replace(found, n=float(n))


def question(
    stored: Stored, sheet: Sheet, looks: Sequence[Look], at_s: float, *, ended: bool = False
) -> Question:
    """What an analysis of these sums is asked."""
    by_hand = stored.status == "stopped" and not days_are_over(stored, at_s)
    known = {metric.name: metric for metric in stored.life.metrics}
    return Question(
        arms=stored.arms,
        plan=stored.experiment.plan,
        measured=tuple(
            _measured(use, known[use.metric], sheet)
            for use in stored.experiment.metrics
            if use.metric in known
        ),
        units={arm.name: sheet.units(arm.name) for arm in stored.arms},
        looks=tuple(looks),
        at_s=at_s,
        ended=ended,
        unit=stored.experiment.unit,
        mixed=sheet.mixed + sheet.crossed,
        early=by_hand,
    )


def days_are_over(stored: Stored, at_s: float) -> bool:
    """Whether the planned days of its present phase had passed by then, or by when it was stopped.

    Of the phase: its evidence is its own. Counted from the start, the first look at a phase that began after
    so many days was its last one, of nobody.
    """
    days, since_ms = stored.experiment.plan.days, stored.since_ms
    if days is None or since_ms is None:
        return False
    stopped_ms = stored.life.stopped_ms
    until_ms = at_s * 1000 if stopped_ms is None else stopped_ms
    return until_ms >= since_ms + days * DAY_MS


def _measured(use: Watched, metric: Metric, sheet: Sheet) -> Measured:
    return Measured(metric, tuple(_kept(metric, sheet)), use.role, use.margin)


def _kept(metric: Metric, sheet: Sheet) -> Iterator[Kept]:
    own = () if metric.kind == "quantile" else (STRATUM,)
    for (attribute, value, arm), n in sheet.counts.items():
        if not n or (attribute.startswith("@") and attribute not in own):
            continue
        bins = sheet.bins.get((attribute, value, arm, metric.name), {})
        if metric.kind == "quantile":
            # Units that have done nothing touch no bin: they are what is left.
            zero = bin_of(0.0)
            bins = {**bins, zero: bins.get(zero, 0) + n - sum(bins.values())}
        sums = sheet.of((attribute, value, arm), metric.name)
        yield Kept(arm, sums, attribute, value, dict(bins))
    for attribute, value, arm, name in sheet.sums:
        if (attribute, value) == NOVEL and name == metric.name and metric.kind in ("conversion", "mean"):
            yield Kept(arm, sheet.of((attribute, value, arm), name), attribute, value)


_NONE = Sums()
