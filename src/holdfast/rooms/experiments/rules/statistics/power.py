"""The plan: how many units an effect needs, how long that takes, and what a given time can find.

Two-sided, on the normal approximation, from a baseline and the spread of a unit's total. Several treatments
or primary metrics share alpha. A plan that will be looked at on the way needs `INFLATION` times the units.
"""

from collections.abc import Sequence
from math import ceil, isfinite, sqrt

import msgspec

from holdfast.rooms.experiments.rules.experiments import MetricKind
from holdfast.rooms.experiments.rules.problems import BadDefinition
from holdfast.rooms.experiments.rules.statistics.distributions import normal_above, normal_at
from holdfast.rooms.experiments.rules.statistics.estimates import linearised
from holdfast.rooms.experiments.rules.statistics.sums import Sums, moments

INFLATION = 1.075
"""What looking on the way and `looks.RESERVE` cost, at any number of looks, for a power of 0.8 and above."""
WEEK = 7


class Sizing(msgspec.Struct, frozen=True):
    """What a plan rests on."""

    baseline: float
    spread: float | None = None
    """Standard deviation of a unit's total; of a conversion None will do."""
    kind: MetricKind = "mean"
    alpha: float = 0.05
    power: float = 0.8
    comparisons: int = 1
    """Treatments times primary metrics."""
    looks: bool = True
    """Whether it is looked at before its end."""


class Planned(msgspec.Struct, frozen=True):
    """How large and how long."""

    units_per_arm: int
    units: int
    effect: float
    """Relative: what this many units find with the power asked for."""
    days: float | None
    """Whole weeks, so that every day of the week counts alike; None where nobody comes."""
    days_at_least: float | None
    """Before rounding up to weeks."""


def variances(sizing: Sizing, effect: float) -> tuple[float, float]:
    """Of a unit's total, in control and under the effect."""
    if sizing.kind == "conversion":
        rate, treated = sizing.baseline, sizing.baseline * (1 + effect)
        if not 0 < rate < 1 or not 0 < treated < 1:
            raise BadDefinition(
                f"a conversion of {rate:g} cannot change by {effect:+.0%}",
                hint="both rates must lie between 0 and 1: give another baseline or effect",
            )
        return rate * (1 - rate), treated * (1 - treated)
    if sizing.spread is None or not sizing.spread > 0 or not isfinite(sizing.spread):
        raise BadDefinition(
            "the plan needs the spread of a unit's total",
            hint="give `spread`, its standard deviation; the room can take it from what it has seen",
        )
    return sizing.spread**2, sizing.spread**2


def power(sizing: Sizing, effect: float, control_n: float, treatment_n: float) -> float:
    """The chance that this effect is found with so many units."""
    if sizing.looks:
        control_n, treatment_n = control_n / INFLATION, treatment_n / INFLATION
    control, treated = variances(sizing, effect)
    z = abs(sizing.baseline * effect) / sqrt(control / control_n + treated / treatment_n)
    line = _line(sizing)
    return normal_above(line - z) + normal_above(line + z)


def units_per_arm(sizing: Sizing, effect: float, ratio: float = 1.0) -> int:
    """Units of control that find the effect; the treatment has `ratio` times as many."""
    control, treated = variances(sizing, effect)
    change = sizing.baseline * effect
    if change == 0:
        raise BadDefinition(
            "no number of units finds an effect of nothing", hint="give a baseline and an effect above 0"
        )
    exact = (_line(sizing) + normal_at(sizing.power)) ** 2 * (control + treated / ratio) / change**2
    return max(2, ceil(exact * (INFLATION if sizing.looks else 1.0)))


def smallest_effect(sizing: Sizing, per_arm: float) -> float:
    """The least relative effect that so many units an arm find with the power asked for.

    A conversion cannot rise beyond one: raises BadDefinition where so few units find not even that.
    """
    low, high = 0.0, 1e-6
    limit = (1 / sizing.baseline - 1) if sizing.kind == "conversion" else float("inf")
    while high < limit and units_per_arm(sizing, high) > per_arm:
        low, high = high, high * 2
    high = min(high, limit * (1 - 1e-9))
    if units_per_arm(sizing, high) > per_arm:
        raise BadDefinition(
            f"{per_arm:g} units an arm find no rise of a conversion of {sizing.baseline:g}, however large",
            hint="plan more days or larger shares",
        )
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if units_per_arm(sizing, middle) > per_arm else (low, middle)
    return high


def plan(
    sizing: Sizing,
    shares: Sequence[float],
    units_per_day: float,
    *,
    effect: float | None = None,
    days: float | None = None,
) -> Planned:
    """Size and duration for an effect, or the effect that a duration finds; one of them is asked for.

    `shares` are the arms' shares of `units_per_day`, the new units that come on a day; the smallest arm
    decides.
    """
    if (effect is None) == (days is None):
        raise BadDefinition("a plan is made from an effect or from days", hint="give one of `effect`, `days`")
    smallest = min(shares)
    daily = units_per_day * smallest
    if effect is None:
        assert days is not None
        per_arm = int(daily * days)
        if per_arm < 2:
            raise BadDefinition(
                f"{days:g} days bring fewer than two units to an arm", hint="plan more days or larger shares"
            )
        found = smallest_effect(sizing, per_arm)
        return Planned(per_arm, _all(per_arm, shares), found, days, days)
    per_arm = units_per_arm(sizing, effect)
    if daily <= 0:
        return Planned(per_arm, _all(per_arm, shares), effect, None, None)
    at_least = per_arm / daily
    return Planned(per_arm, _all(per_arm, shares), effect, float(ceil(at_least / WEEK) * WEEK), at_least)


def _all(per_arm: int, shares: Sequence[float]) -> int:
    return ceil(per_arm * sum(shares) / min(shares))


def _line(sizing: Sizing) -> float:
    return -normal_at(sizing.alpha / sizing.comparisons / 2)


def from_sums(sums: Sums, kind: MetricKind) -> tuple[float, float] | None:
    """(baseline, spread) from what was seen of units; of a ratio the spread of units' parts in it."""
    raw = moments(sums)
    part = raw and linearised(kind, raw)
    return None if part is None else (part.y, sqrt(part.yy))
