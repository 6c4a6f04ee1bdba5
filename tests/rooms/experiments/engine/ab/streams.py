"""Streams of outcomes, and what sums over them must come to: recomputed by numpy from the raw events."""

from typing import Any

import msgspec
import numpy as np

from holdfast.rooms.experiments.rules.ab.lives import Life, Phase, Stored
from holdfast.rooms.experiments.rules.experiments import Arm, Experiment, Measure, Metric
from holdfast.rooms.experiments.rules.outcomes import EXPOSURE, Outcome, Use

START_S = 1_750_000_000.0
BOUGHT = Metric("bought", "conversion", Measure("event", "buy"))
SPENT = Metric("spent", "mean", Measure("event", "buy", "value"), cap=50.0)
PER_VISIT = Metric("per-visit", "ratio", Measure("event", "buy", "value"), Measure("event", "visit"))
SLOWEST = Metric("slowest", "quantile", Measure("event", "buy", "value"), quantile=0.9)
SECONDS = Metric("seconds", "mean", Measure("request", "/shop", "seconds"), better="down")
METRICS = (BOUGHT, SPENT, PER_VISIT, SLOWEST, SECONDS)
ARMS = (Arm("control", 5000), Arm("treatment", 5000))


def running(name: str = "buttons", metrics: tuple[Metric, ...] = METRICS, **changes: Any) -> Stored:
    """An experiment that runs since START_S."""
    life = Life(
        started_ms=int(START_S * 1000), phases=(Phase(1, int(START_S * 1000), ARMS),), metrics=metrics
    )
    return Stored(Experiment(name, ARMS, **changes), "running", 1, 1, life)


def exposure(
    unit: str, arm: str, at_s: float, *, phase: int = 1, name: str = "buttons", **attributes: Any
) -> Outcome:
    """That the unit uses the arm, for the first time today."""
    uses = {name: Use(arm, unit, phase)}
    return Outcome(
        kind="event", at_s=START_S + at_s, user=unit, uses=uses, name=EXPOSURE, attributes=attributes
    )


def event(user: str, action: str, at_s: float, value: float | None = None) -> Outcome:
    """Something a user does."""
    return Outcome(kind="event", at_s=START_S + at_s, user=user, name=action, value=value)


def request(
    unit: str, arm: str, at_s: float, seconds: float, *, phase: int = 1, name: str = "buttons"
) -> Outcome:
    """A request that used the arm."""
    uses = {name: Use(arm, unit, phase)}
    return Outcome(
        kind="request", at_s=START_S + at_s, user=unit, uses=uses, name="/shop/cart", seconds=seconds
    )


def recomputed(outcomes: list[Outcome], name: str = "buttons") -> dict[tuple[str, str], dict[str, float]]:
    """(arm, metric) -> sums over the units that saw one arm in one phase, from the raw events alone."""
    seen: dict[str, list[tuple[float, str]]] = {}
    for outcome in outcomes:
        if name in outcome.uses:
            use = outcome.uses[name]
            seen.setdefault(use.unit, []).append((outcome.at_s, use.variant))
    whole = {unit: min(uses) for unit, uses in seen.items() if len({arm for _, arm in uses}) == 1}
    found: dict[tuple[str, str], dict[str, float]] = {}
    for arm in ("control", "treatment"):
        members = sorted(unit for unit, (_, is_in) in whole.items() if is_in == arm)
        mine = [[o for o in outcomes if o.user == unit and o.at_s >= whole[unit][0]] for unit in members]
        buys = [[o.value or 0.0 for o in done if o.name == "buy"] for done in mine]
        spent = np.array([sum(values) for values in buys])
        visits = np.array([float(sum(o.name == "visit" for o in done)) for done in mine])
        seconds = np.array([sum(o.seconds or 0.0 for o in done if o.kind == "request") for done in mine])
        bought = np.array([1.0 if values else 0.0 for values in buys])
        zeros = np.zeros(len(members))
        for metric, y, d in (
            ("bought", bought, zeros), ("spent", np.minimum(spent, 50.0), zeros),
            ("per-visit", spent, visits), ("seconds", seconds, zeros),
        ):  # fmt: skip
            found[arm, metric] = {
                "n": float(len(members)), "y": float(y.sum()), "yy": float(y @ y),
                "d": float(d.sum()), "dd": float(d @ d), "yd": float(y @ d),
            }  # fmt: skip
    return found


def with_cuped(stored: Stored, days: float = 7.0) -> Stored:
    """The same, keeping what units did before."""
    return msgspec.structs.replace(
        stored, experiment=msgspec.structs.replace(stored.experiment, cuped_days=days)
    )
