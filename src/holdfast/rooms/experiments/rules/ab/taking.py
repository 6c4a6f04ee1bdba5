"""What exposures and deeds do to a unit's row, and how the sums move with it.

A batch of one unit comes as exposures and deeds. `moved_on` gives the row after them, `Moves.of` the
differences between the two rows in every cell the unit lies in. So whatever happens to a unit, sums are
taken over rows: one that turns out to have seen two arms leaves by the same subtraction that moves a total.

- What a unit did before it was exposed is its past, and nothing else is.
- A unit seen in two arms of one phase is `mixed`: in no sums, and counted.
- A unit belongs to the first phase it was seen in. Later phases count it as `crossed`, and do without it.
- Cells are settled at the first exposure: what a unit does later cannot choose its segment.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from holdfast.rooms.experiments.rules.experiments import Metric
from holdfast.rooms.experiments.rules.statistics.quantile import bin_of
from holdfast.rooms.experiments.rules.statistics.results import NOVELTY, STRATUM, WHOLE
from holdfast.rooms.experiments.rules.statistics.sums import Sums, Totals, moved

Cut = tuple[str, str]
"""Attribute and value of a cell: ("visitor", "new"); ("", "") is everybody."""
DAY = "@day"
"""The cell of the day on which a unit was first exposed."""
MIXED = ("@mixed", "")
CROSSED = ("@crossed", "")
NOVEL = (NOVELTY, "")
UNITS = ""
"""Instead of a metric's name: how many units there are."""
DAY_MS = 86_400_000
CLOCKS_MS = 5_000
"""How far the clocks of two processes may be apart: what is closer to the exposure is nobody's past."""


class Total(msgspec.Struct, frozen=True, array_like=True):
    """What a unit has done of one metric since it was exposed."""

    y: float = 0.0
    d: float = 0.0
    first: float = 0.0
    """The part of `y` in its first days."""


class Unit(msgspec.Struct, frozen=True):
    """A unit's row."""

    phase: int = 0
    """0: not exposed."""
    arm: str = ""
    state: Literal["", "known", "in", "mixed"] = ""
    """`known`: not exposed yet; counted in phase 0, from which plans are made."""
    first_ms: int = 0
    cuts: tuple[Cut, ...] = ()
    totals: Mapping[str, Total] = {}
    past: Mapping[str, float] = {}
    crossed: tuple[int, ...] = ()
    """Later phases it was seen in."""


_NOTHING = Total()
_NOBODY = Unit()
_NO_TOTALS = Totals()


class Exposure(msgspec.Struct, frozen=True):
    """That a unit used an arm."""

    at_ms: int
    phase: int
    arm: str
    cuts: tuple[Cut, ...] = ()


class Deed(msgspec.Struct, frozen=True):
    """What moves a unit's total of a metric."""

    at_ms: int
    metric: str
    amount: float
    below: bool = False
    """Below the line of a ratio."""
    phase: int = 0
    """Of a request: the phase it was served in; 0: whichever the unit is in."""


def moved_on(
    unit: Unit, exposures: Iterable[Exposure], deeds: Iterable[Deed], *, first_days: float
) -> tuple[Unit, list[Deed]]:
    """The row after all of them, and the deeds that came before the exposure as it is known now.

    An exposure of another process may still be on its way: whoever is sure gives them to `with_past`.
    """
    for exposure in sorted(exposures, key=lambda each: each.at_ms):
        unit = _exposed(unit, exposure)
    early, totals = [], dict(unit.totals)
    for deed in deeds:
        if not unit.phase or deed.at_ms < unit.first_ms:
            early.append(deed)
        elif unit.state == "in" and deed.phase in (0, unit.phase):
            is_first = deed.at_ms < unit.first_ms + first_days * DAY_MS
            totals[deed.metric] = _moved_total(totals.get(deed.metric, _NOTHING), deed, is_first)
    return (unit if totals == unit.totals else msgspec.structs.replace(unit, totals=totals)), early


def with_past(unit: Unit, early: Sequence[Deed]) -> Unit:
    """The row with these among what the unit did before: nothing of it can come from the treatment."""
    past = dict(unit.past)
    for deed in early:
        is_before = not unit.phase or deed.at_ms < unit.first_ms - CLOCKS_MS
        if is_before and not deed.below:
            past[deed.metric] = past.get(deed.metric, 0.0) + deed.amount
    return msgspec.structs.replace(unit, past=past, state=unit.state or "known")


def _moved_total(had: Total, deed: Deed, is_first: bool) -> Total:
    if deed.below:
        return Total(had.y, had.d + deed.amount, had.first)
    return Total(had.y + deed.amount, had.d, had.first + (deed.amount if is_first else 0.0))


def _exposed(unit: Unit, seen: Exposure) -> Unit:
    change = msgspec.structs.replace
    if unit.phase == seen.phase:
        if unit.arm != seen.arm:
            return change(unit, state="mixed")
        return unit if seen.at_ms >= unit.first_ms else change(unit, first_ms=seen.at_ms)
    if unit.phase and seen.phase > unit.phase:
        return unit if seen.phase in unit.crossed else change(unit, crossed=(*unit.crossed, seen.phase))
    crossed = (*unit.crossed, unit.phase) if unit.phase else unit.crossed
    return change(
        unit,
        phase=seen.phase,
        arm=seen.arm,
        state="in",
        first_ms=seen.at_ms,
        cuts=seen.cuts,
        totals={},
        crossed=crossed,
    )


CellKey = tuple[int, str, str, str, str]
"""Phase, attribute, value, arm, metric."""


class Moves:
    """By how much the sums of one experiment move."""

    def __init__(self) -> None:
        self.cells: dict[CellKey, Sums] = {}
        self.bins: dict[tuple[int, str, str, str, str, int], int] = {}

    def of(self, before: Unit, after: Unit, metrics: Iterable[Metric]) -> None:
        """Add what this unit's change comes to."""
        metrics = tuple(metrics)
        for metric in metrics:
            self._before(metric, before, after)
        if _place(before) == _place(after):
            for metric in metrics if after.state == "in" else ():
                self._moved(after, metric, before, after)
            return
        self._counted(before, -1)
        self._counted(after, 1)
        for metric in metrics:
            if before.state == "in":
                self._moved(before, metric, before, _NOBODY)
            if after.state == "in":
                self._moved(after, metric, _NOBODY, after)

    def _counted(self, unit: Unit, sign: int) -> None:
        one = Sums(n=float(sign))
        for phase in unit.crossed:
            self._add((phase, *CROSSED, "", UNITS), one)
        if unit.state == "known":
            self._add((0, *WHOLE, "", UNITS), one)
        if unit.state == "mixed":
            self._add((unit.phase, *MIXED, "", UNITS), one)
        for attribute, value in unit.cuts if unit.state == "in" else ():
            self._add((unit.phase, attribute, value, unit.arm, UNITS), one)

    def _moved(self, place: Unit, metric: Metric, before: Unit, after: Unit) -> None:
        """In the cells of `place`, from the totals of the one to those of the other."""
        old, new = _figures(before, metric), _figures(after, metric)
        if old != new:
            sums = moved(old, new)
            for attribute, value in place.cuts:
                self._add((place.phase, attribute, value, place.arm, metric.name), sums)
        if metric.kind == "quantile":
            self._binned(place, metric.name, old.y, -1)
            self._binned(place, metric.name, new.y, 1)
        elif metric.kind != "ratio":
            early, late = _novel(before, metric), _novel(after, metric)
            if early != late:
                self._add((place.phase, *NOVEL, place.arm, metric.name), moved(early, late))

    def _before(self, metric: Metric, before: Unit, after: Unit) -> None:
        """Phase 0: what units do that nobody has exposed yet."""
        old, new = _past(before, metric), _past(after, metric)
        if old != new:
            self._add((0, *WHOLE, "", metric.name), moved(old, new))

    def _binned(self, place: Unit, metric: str, total: float, sign: int) -> None:
        if not total:
            return
        for attribute, value in place.cuts:
            if not attribute.startswith("@"):
                key = (place.phase, attribute, value, place.arm, metric, bin_of(total))
                self.bins[key] = self.bins.get(key, 0) + sign

    def _add(self, key: CellKey, sums: Sums) -> None:
        had = self.cells.get(key)
        self.cells[key] = sums if had is None else had + sums


def cuts_of(stratum: str, day: str, segments: Mapping[str, str]) -> tuple[Cut, ...]:
    """Every cell a unit lies in."""
    return (WHOLE, *segments.items(), (DAY, day), (STRATUM, stratum))


def counted(metric: Metric, amount: float) -> float:
    """A unit's total as its sums see it: a conversion is 0 or 1, a cap cuts off."""
    if metric.kind == "conversion":
        return 1.0 if amount > 0 else 0.0
    return amount if metric.cap is None else min(amount, metric.cap)


def _place(unit: Unit) -> tuple[object, ...]:
    return unit.phase, unit.arm, unit.state, unit.cuts, unit.crossed


def _figures(unit: Unit, metric: Metric) -> Totals:
    total = unit.totals.get(metric.name, _NOTHING)
    past = unit.past.get(metric.name, 0.0) if metric.cuped else 0.0
    return Totals(counted(metric, total.y), total.d, counted(metric, past))


def _past(unit: Unit, metric: Metric) -> Totals:
    known = unit.state == "known" and metric.kind != "ratio"
    return Totals(counted(metric, unit.past.get(metric.name, 0.0))) if known else _NO_TOTALS


def _novel(unit: Unit, metric: Metric) -> Totals:
    total = unit.totals.get(metric.name, _NOTHING)
    return Totals(counted(metric, total.y - total.first), counted(metric, total.first))
