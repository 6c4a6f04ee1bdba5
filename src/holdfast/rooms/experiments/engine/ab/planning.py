"""Plans: how many units an effect needs and how long that takes, from what is given or was seen."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.kernel.clock import Clock
from holdfast.rooms.experiments.rules.ab.lives import Stored
from holdfast.rooms.experiments.rules.ab.question import Sheet
from holdfast.rooms.experiments.rules.experiments import Experiment, Metric, Plan
from holdfast.rooms.experiments.rules.flags import BUCKETS, Name
from holdfast.rooms.experiments.rules.problems import BadDefinition
from holdfast.rooms.experiments.rules.readable import check_readable
from holdfast.rooms.experiments.rules.statistics.power import Sizing, from_sums
from holdfast.rooms.experiments.rules.statistics.power import plan as planned
from holdfast.rooms.experiments.rules.statistics.results import WHOLE
from holdfast.rooms.experiments.rules.statistics.sums import Sums
from holdfast.rooms.experiments.store.ab_sums import SumsStore

DAY_MS = 86_400_000
PAST = 0
"""The phase in which units stand that nobody has exposed yet."""


class PlanAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan is made from; what is not given is taken from the experiment, or from what was seen."""

    metric: Name | None = None
    """None: the first primary one."""
    effect: Annotated[float, Meta(gt=0)] | None = None
    days: Annotated[float, Meta(gt=0)] | None = None
    """Instead of an effect: what this time finds."""
    baseline: float | None = None
    spread: Annotated[float, Meta(gt=0)] | None = None
    units_per_day: Annotated[float, Meta(gt=0)] | None = None
    power: Annotated[float, Meta(gt=0, lt=1)] | None = None
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] | None = None
    keep: bool = False
    """Whether the experiment, not begun yet, takes it as its plan."""


class PlanView(msgspec.Struct, frozen=True):
    """A plan, and what it rests on."""

    metric: str
    units_per_arm: int
    units: int
    effect: float
    days: float | None
    days_at_least: float | None
    baseline: float
    spread: float | None
    units_per_day: float | None
    power: float
    alpha: float
    comparisons: int
    source: str
    """`given`, or `seen`: of which phase and how many units."""


class Seen(msgspec.Struct, frozen=True):
    """What traffic says of a metric."""

    sums: Sums
    units_per_day: float
    source: str


class Planning:
    """Makes plans; reads sums only."""

    def __init__(self, sums: SumsStore, clock: Clock) -> None:
        self._sums = sums
        self._clock = clock

    async def plan(self, stored: Stored, ask: PlanAsk, known: Mapping[str, Metric]) -> tuple[PlanView, Plan]:
        """The plan as it is shown, and as the experiment would keep it. Raises BadDefinition."""
        check_readable(ask)
        experiment, settled = stored.experiment, stored.experiment.plan
        metric = _metric(experiment, ask, known)
        seen = await self._seen(stored, metric)
        baseline = _first(ask.baseline, settled.baseline)
        spread = _first(ask.spread, settled.spread)
        found = from_sums(seen.sums, metric.kind) if seen and baseline is None else None
        if baseline is None:
            if found is None:
                raise BadDefinition(
                    f"nothing is known yet of {metric.name!r}",
                    hint="give `baseline` (and `spread` of a mean), or set cuped_days and start",
                )
            baseline, spread = found[0], _first(spread, found[1])
        primaries = sum(use.role == "primary" for use in experiment.metrics) or 1
        sizing = Sizing(
            baseline,
            spread,
            metric.kind,
            ask.alpha or settled.alpha,
            ask.power or settled.power,
            comparisons=primaries * (len(experiment.arms) - 1),
        )
        per_day = _first(ask.units_per_day, seen.units_per_day if seen else None)
        shares = [arm.share / BUCKETS for arm in experiment.arms if arm.share]
        effect = ask.effect if ask.days is not None else _first(ask.effect, settled.effect)
        if effect is None and ask.days is None:
            raise BadDefinition("a plan needs an effect, or days", hint="effect = 0.05 is 5 % more")
        if ask.days is not None and not per_day:
            raise BadDefinition("nothing is known of the traffic", hint="give units_per_day")
        try:
            made = planned(sizing, shares, per_day or 0.0, effect=effect, days=ask.days)
        except ArithmeticError:
            raise BadDefinition(
                "no number of units comes of these figures", hint="one of them is far too small or too large"
            ) from None
        view = PlanView(
            metric.name,
            made.units_per_arm,
            made.units,
            made.effect,
            made.days,
            made.days_at_least,
            baseline,
            spread,
            per_day,
            sizing.power,
            sizing.alpha,
            sizing.comparisons,
            "given" if found is None or seen is None else seen.source,
        )
        return view, Plan(
            baseline, spread, made.effect, sizing.power, sizing.alpha, made.units_per_arm, made.days
        )

    async def _seen(self, stored: Stored, metric: Metric) -> Seen | None:
        """What units did while it collected; once it runs, what its control does."""
        life, now_ms = stored.life, int(self._clock.wall() * 1000)
        phase = stored.phase if stored.status in ("running", "stopped") else PAST
        sheet = await self._sums.kept(stored.experiment.name, phase)
        arm = stored.arms[0].name if phase else ""
        n = sheet.counts.get((*WHOLE, arm), 0)
        since_ms = life.phases[-1].since_ms if phase else life.collecting_ms
        if n < 2 or since_ms is None:
            return None
        days = max(((life.stopped_ms or now_ms) - since_ms) / DAY_MS, 1 / 24)
        share = sum(each.share for each in stored.arms) / BUCKETS if phase else 1.0
        everybody = sum(sheet.units(each.name) for each in stored.arms) / share if phase else n
        if not phase and stored.experiment.layer:
            everybody *= stored.experiment.layer_share / BUCKETS  # the others are the layer's, not ours
        return Seen(_sums(sheet, metric, arm), everybody / days, f"seen: phase {phase}, {n} units")


def _sums(sheet: Sheet, metric: Metric, arm: str) -> Sums:
    return sheet.of((*WHOLE, arm), metric.name)


def _metric(experiment: Experiment, ask: PlanAsk, known: Mapping[str, Metric]) -> Metric:
    primaries = [use.metric for use in experiment.metrics if use.role == "primary"]
    name = ask.metric or next(iter(primaries), None)
    if name is None or name not in known:
        raise BadDefinition(
            f"there is no metric {name!r} to plan for" if name else "there is no primary metric to plan for",
            hint=f"metrics there are: {', '.join(sorted(known)[:20]) or 'none'}",
        )
    if known[name].kind == "quantile":
        raise BadDefinition(
            f"{name!r} is a quantile: no plan is made for it",
            hint="plan for a mean or a conversion; quantiles are shown beside it",
        )
    return known[name]


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
