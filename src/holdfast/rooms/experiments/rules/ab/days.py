"""What units of a single day did: for the timeline of an experiment that is over."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from holdfast.rooms.experiments.rules.ab.lives import Stored
from holdfast.rooms.experiments.rules.ab.question import Sheet
from holdfast.rooms.experiments.rules.ab.taking import DAY
from holdfast.rooms.experiments.rules.experiments import Metric
from holdfast.rooms.experiments.rules.statistics.distributions import normal_at
from holdfast.rooms.experiments.rules.statistics.estimates import estimates
from holdfast.rooms.experiments.rules.statistics.results import Kept


class DayEffect(msgspec.Struct, frozen=True):
    """The relative effect among units that were first exposed on one day."""

    ends_s: float
    metric: str
    arm: str
    value: float
    low: float
    high: float
    units: int


def by_day(stored: Stored, sheet: Sheet) -> tuple[DayEffect, ...]:
    """Each day's effect on each metric, with the interval of one look. Quantiles are not kept by day."""
    days = sorted({value for attribute, value, _ in sheet.counts if attribute == DAY})
    zone = ZoneInfo(stored.experiment.zone)
    return tuple(
        found
        for day in days
        for metric in stored.life.metrics
        if metric.kind != "quantile"
        for found in _of_day(stored, sheet, metric, day, zone)
    )


def _of_day(stored: Stored, sheet: Sheet, metric: Metric, day: str, zone: ZoneInfo) -> Iterator[DayEffect]:
    control, alpha = stored.arms[0].name, stored.experiment.plan.alpha
    kept = {
        arm.name: Kept(arm.name, sheet.of((DAY, day, arm.name), metric.name), DAY, day) for arm in stored.arms
    }
    ends_s = datetime.combine(date.fromisoformat(day) + timedelta(days=1), time(), zone).timestamp()
    reach = -normal_at(alpha / 2)
    for arm, found in estimates(metric, kept, control, alpha):
        if (lift := found.lift(reach)) is not None:
            yield DayEffect(ends_s, metric.name, arm, lift.value, lift.low, lift.high, int(found.units))
