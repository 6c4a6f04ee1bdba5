"""Whether an experiment can be meant: refused when it is made or started, never silently inconclusive."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from zoneinfo import ZoneInfo

from holdfast.rooms.experiments.rules.checking import gaps
from holdfast.rooms.experiments.rules.experiments import Arm, Experiment, Metric, Plan
from holdfast.rooms.experiments.rules.flags import BUCKETS, Flag, Lane, Rule, Ruleset, Split
from holdfast.rooms.experiments.rules.problems import BadDefinition
from holdfast.rooms.experiments.rules.readable import check_readable

TAKES = {"event": ("count", "value"), "request": ("count", "seconds", "failed")}
"""What there is of each source: a metric of anything else would never be above zero."""
MOST_ARMS, MOST_METRICS, MOST_SEGMENTS = 10, 30, 10
MOST_UNITS, MOST_DAYS = 10**10, 36_500
"""More than there are people, longer than anybody waits: what is reckoned with a plan stays a number."""


def check_experiment(experiment: Experiment) -> None:
    """Raises BadDefinition for what contradicts itself."""
    check_readable(experiment)
    check_arms(experiment.arms)
    _check_plan(experiment.plan)
    names = [use.metric for use in experiment.metrics]
    _check_unique("metric", names)
    if len(names) > MOST_METRICS:
        raise BadDefinition(f"at most {MOST_METRICS} metrics", hint="each one more hides what others find")
    _check_unique("segment", experiment.segments)
    if len(experiment.segments) > MOST_SEGMENTS:
        raise BadDefinition(f"at most {MOST_SEGMENTS} segments")
    for attribute in experiment.segments:
        if not attribute or attribute.startswith("@"):
            raise BadDefinition(f"{attribute!r} is no attribute", hint="@ begins the room's own cells")
    if bool(experiment.layer) != bool(experiment.layer_share):
        raise BadDefinition(
            "a layer and its share go together", hint='e.g. layer = "checkout", layer_share = 5000'
        )
    check_zone(experiment.zone)


def check_arms(arms: Sequence[Arm]) -> None:
    """Raises BadDefinition."""
    if not 2 <= len(arms) <= MOST_ARMS:
        raise BadDefinition(
            f"an experiment has two to {MOST_ARMS} arms", hint="the first of them is the control"
        )
    _check_unique("arm", [arm.name for arm in arms])
    total = sum(arm.share for arm in arms)
    if total > BUCKETS:
        raise BadDefinition(
            f"the arms come to {total} of {BUCKETS} buckets", hint="shares are buckets: 500 is 5 %"
        )
    if arms[0].share == 0 or not any(arm.share for arm in arms[1:]):
        raise BadDefinition("control and at least one treatment need a share", hint="5000 is half")


def _check_plan(plan: Plan) -> None:
    if (plan.units_per_arm or 0) > MOST_UNITS or (plan.days or 0) > MOST_DAYS:
        raise BadDefinition(
            f"a plan has at most {MOST_UNITS:,} units an arm and {MOST_DAYS:,} days",
            hint="look for a larger effect",
        )


def check_zone(zone: str) -> None:
    """Raises BadDefinition."""
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise BadDefinition(f"there is no time zone {zone!r}", hint="e.g. Asia/Seoul, UTC") from None


def check_metric(metric: Metric) -> None:
    """Raises BadDefinition."""
    check_readable(metric)
    for measure in (metric.measure, metric.over):
        if measure is not None and measure.source == "event" and not measure.action:
            raise BadDefinition(
                f"metric {metric.name!r} counts events of no action", hint='e.g. measure.action = "purchase"'
            )
        is_route = measure is None or measure.action == "" or measure.action.startswith("/")
        if measure is not None and measure.source == "request" and not is_route:
            raise BadDefinition(
                f"metric {metric.name!r} counts requests of {measure.action!r}, which begins no route",
                hint='the beginning of a path, e.g. measure.action = "/shop"',
            )
        if measure is not None and measure.take not in TAKES[measure.source]:
            raise BadDefinition(
                f"metric {metric.name!r}: the source {measure.source!r} has no {measure.take!r} to take",
                hint=f"{measure.source} goes with take = {' or '.join(TAKES[measure.source])}",
            )
    if metric.cap is not None and not metric.cap > 0:
        raise BadDefinition(f"metric {metric.name!r}: a cap of {metric.cap:g}", hint="a cap is above 0")
    if (metric.kind == "ratio") != (metric.over is not None):
        raise BadDefinition(
            f"metric {metric.name!r}: a ratio, and nothing else, has an `over`",
            hint="what its total is divided by",
        )


def chosen(experiment: Experiment, known: Mapping[str, Metric]) -> tuple[Metric, ...]:
    """The metrics it uses; raises BadDefinition for one that is not there, and without a primary one."""
    if not any(use.role == "primary" for use in experiment.metrics):
        raise BadDefinition(
            f"{experiment.name!r} has no primary metric",
            hint="say what decides before anyone looks: role = primary",
        )
    found = []
    for use in experiment.metrics:
        metric = known.get(use.metric)
        if metric is None:
            raise BadDefinition(
                f"there is no metric {use.metric!r}", hint=_meant(use.metric, known, "metrics there are")
            )
        check_metric(metric)
        found.append(metric)
    return tuple(found)


def actions_of(metrics: Iterable[Metric]) -> list[str]:
    """Every action that they count events of."""
    measures = [each for metric in metrics for each in (metric.measure, metric.over) if each is not None]
    return sorted({each.action for each in measures if each.source == "event"})


def unseen(action: str, seen: Sequence[str]) -> BadDefinition:
    """The refusal of a metric on what nobody has ever done."""
    return BadDefinition(
        f"nobody has ever tracked the action {action!r}",
        hint=_meant(action, seen, "actions seen") + "; allow_unseen starts it all the same",
    )


def flag_of(experiment: Experiment, arms: Sequence[Arm], phase: int, before: Flag | None) -> Flag:
    """The flag that parts its units; the slots of its layer are those it has."""
    split = Split(tuple(Lane(arm.name, arm.share) for arm in arms), rest=arms[0].name)
    return Flag(
        name=experiment.name,
        variants={arm.name: arm.value for arm in arms},
        off=arms[0].name,
        rules=(Rule(when=experiment.when, split=split),),
        kind="experiment",
        unit=experiment.unit,
        salt=before.salt if before else "",
        phase=phase,
        layer=experiment.layer,
        slots=before.slots if before else None,
        routes=experiment.routes,
        description=experiment.hypothesis,
        generation=before.generation if before else 0,
    )


def free_slots(ruleset: Ruleset, layer: str, share: int, itself: str) -> tuple[int, int]:
    """The first stretch of the layer that is free and as long; raises BadDefinition."""
    free = gaps(
        flag.slots
        for flag in ruleset.flags.values()
        if flag.layer == layer and flag.slots is not None and flag.name != itself
    )
    for low, high in free:
        if high - low >= share:
            return low, low + share
    longest = max((high - low for low, high in free), default=0)
    raise BadDefinition(
        f"layer {layer!r} has no {share} free buckets in a row; the most is {longest}",
        hint="stop an experiment of the layer, or ask for a smaller layer_share",
    )


def _meant(name: str, known: Iterable[str], kind: str) -> str:
    there = list(known)
    near = get_close_matches(name, there, n=1)
    return f"did you mean {near[0]!r}?" if near else f"{kind}: {', '.join(sorted(there)[:20]) or 'none'}"


def _check_unique(kind: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadDefinition(f"{kind} {twice[0]!r} stands there twice", hint="name each once")
