"""From kept sums to the effect of each treatment in each cell, by whichever estimator the metric asks for."""

from collections.abc import Iterator, Mapping
from math import sqrt

import msgspec

from holdfast.rooms.experiments.rules.experiments import Metric, MetricKind
from holdfast.rooms.experiments.rules.statistics import cuped, quantile, ratio, welch
from holdfast.rooms.experiments.rules.statistics.results import (
    NOVELTY,
    STRATUM,
    Estimator,
    Figure,
    Kept,
    Measured,
)
from holdfast.rooms.experiments.rules.statistics.sums import Moments, moments

Cell = tuple[str, str]
OWN_CELLS = frozenset({STRATUM, NOVELTY})
"""Attributes that are no segments."""


class Estimate(msgspec.Struct, frozen=True):
    """One treatment against control in one cell, before any look is judged."""

    arms: welch.Arms
    control: Figure
    treatment: Figure
    estimator: Estimator
    noise_removed: float
    shared: float
    """Variance that both adjusted figures share: that of the past's mean over all arms."""
    cohens_d: float | None

    @property
    def units(self) -> float:
        """Of both arms."""
        return self.arms.control_n + self.arms.treatment_n

    def lift(self, reach: float) -> welch.Relative | None:
        """The relative effect, its interval `reach` standard errors wide on both sides."""
        own = self.arms.control_variance / self.arms.control_n
        return welch.relative(
            self.arms.difference,
            self.arms.control,
            self.arms.standard_error**2,
            own + self.shared,
            -own,
            reach,
        )


def cells(measured: Measured) -> dict[Cell, dict[str, Kept]]:
    """What is kept, by cell and arm."""
    found: dict[Cell, dict[str, Kept]] = {}
    for kept in measured.kept:
        found.setdefault((kept.attribute, kept.value), {})[kept.arm] = kept
    return found


def estimates(
    metric: Metric, arms: Mapping[str, Kept], control: str, alpha: float = 0.05
) -> Iterator[tuple[str, Estimate]]:
    """Each treatment of a cell that can be compared with control, and its effect."""
    if metric.kind == "quantile":
        yield from _quantiles(metric, arms, control, alpha)
        return
    taken = {arm: found for arm, kept in arms.items() if (found := _figures(metric, kept))}
    if control not in taken:
        return
    by = cuped.adjustment([figures for _, figures in taken.values()]) if metric.cuped else None
    for arm in taken:
        if arm != control:
            yield arm, _estimate(metric, taken, control, arm, by)


def _figures(metric: Metric, kept: Kept) -> tuple[Moments, Moments] | None:
    """(a unit's totals as they are, each unit's part in the figure)."""
    raw = moments(kept.sums)
    part = raw and linearised(metric.kind, raw)
    return (raw, part) if raw and part else None


def linearised(kind: MetricKind, raw: Moments) -> Moments | None:
    """The moments of units' parts in the figure: of a ratio its linear form, else the totals themselves."""
    if kind != "ratio":
        return raw
    about = ratio.ratio(raw)
    return None if about is None else ratio.linear(raw, about)


def _estimate(
    metric: Metric,
    taken: Mapping[str, tuple[Moments, Moments]],
    control: str,
    arm: str,
    by: cuped.Adjustment | None,
) -> Estimate:
    plain = _arms(taken[control][1], taken[arm][1])
    is_ratio = metric.kind == "ratio"
    used, shared = plain, 0.0
    if by is not None:
        used = _arms(cuped.adjusted(taken[control][1], by), cuped.adjusted(taken[arm][1], by))
        shared = by.theta**2 * by.variance
    estimator: Estimator = "ratio" if is_ratio else "welch"
    if by is not None:
        estimator = "ratio-cuped" if is_ratio else "cuped"
    return Estimate(
        used,
        _figure(taken[control][1], is_ratio),
        _figure(taken[arm][1], is_ratio),
        estimator,
        cuped.noise_removed(plain.standard_error**2, used.standard_error**2),
        shared,
        welch.cohens_d(plain),
    )


def _figure(moments: Moments, is_ratio: bool) -> Figure:
    return Figure(moments.y, round(moments.n), None if is_ratio else sqrt(moments.yy))


def _arms(control: Moments, treatment: Moments) -> welch.Arms:
    return welch.Arms(control.y, treatment.y, control.yy, treatment.yy, control.n, treatment.n)


def _quantiles(
    metric: Metric, arms: Mapping[str, Kept], control: str, alpha: float
) -> Iterator[tuple[str, Estimate]]:
    """The variance of one unit is the quantile's own times the units: what follows is as for means."""
    found = {
        arm: (quantile.units(kept.bins), quantile.estimate(kept.bins, metric.quantile, alpha))
        for arm, kept in arms.items()
        if quantile.units(kept.bins) >= 2
    }
    if control not in found:
        return
    n, old = found[control]
    for arm, (m, new) in found.items():
        if arm != control:
            both = welch.Arms(
                old.value, new.value, old.standard_error**2 * n, new.standard_error**2 * m, float(n), float(m)
            )
            yield (
                arm,
                Estimate(both, Figure(old.value, n), Figure(new.value, m), "quantile", 0.0, 0.0, None),
            )
