"""Which outcomes concern which experiment: an index over the metrics of those that take in."""

from collections.abc import Iterator, Sequence
from math import isfinite

import msgspec

from holdfast.rooms.experiments.rules.ab.lives import Stored
from holdfast.rooms.experiments.rules.ab.taking import Deed
from holdfast.rooms.experiments.rules.experiments import Measure, Metric
from holdfast.rooms.experiments.rules.outcomes import EXPOSURE, Outcome, Use

MOST_AMOUNT = 1e30
"""Larger amounts are no measurements; the fourth power of this, which tests take, is still a number."""
LEAST_AMOUNT = 1e-30
"""Smaller amounts are nothing: their squares would be zero, and tests divide by those."""


class Part(msgspec.Struct, frozen=True):
    """One measure of one metric of one experiment."""

    experiment: str
    metric: str
    measure: Measure
    below: bool


class Watch:
    """What the active experiments look for."""

    def __init__(self, active: Sequence[Stored] = ()) -> None:
        self.stored = {each.experiment.name: each for each in active}
        self._actions: dict[str, list[Part]] = {}
        self._requests: dict[str, list[Part]] = {}
        for part in parts_of(active):
            if part.measure.source == "event":
                self._actions.setdefault(part.measure.action, []).append(part)
            else:
                self._requests.setdefault(part.experiment, []).append(part)

    def metrics(self, experiment: str) -> tuple[Metric, ...]:
        """Those of this experiment, as they were at its start."""
        return self.stored[experiment].life.metrics

    def keeps_past(self, experiment: str) -> bool:
        """Whether what units do before they are exposed is kept."""
        return self.stored[experiment].experiment.cuped_days > 0

    def is_of_users(self, experiment: str) -> bool:
        """Whether whoever a record names is the unit, unless exposed as another: not a tenant or device."""
        return self.stored[experiment].experiment.unit == "user"

    def exposures(self, outcome: Outcome) -> Iterator[tuple[str, Use]]:
        """The arms it shows its unit to have used, of experiments that run."""
        for name, use in outcome.uses.items():
            stored = self.stored.get(name)
            if stored is None or stored.status != "running" or not use.unit or use.phase < 1:
                continue
            if any(arm.name == use.variant for arm in stored.arms):
                yield name, use

    def deeds(self, outcome: Outcome) -> Iterator[tuple[str, Deed]]:
        """What it adds to the totals of whoever did it, by experiment."""
        at_ms = int(outcome.at_s * 1000)
        if outcome.kind == "event":
            for part in self._actions.get(outcome.name, ()) if outcome.name != EXPOSURE else ():
                if (amount := _amount(part.measure, outcome)) is not None:
                    yield part.experiment, Deed(at_ms, part.metric, amount, part.below)
            return
        for name, use in outcome.uses.items():
            for part in self._requests.get(name, ()):
                amount = _amount(part.measure, outcome)
                if amount is not None and outcome.name.startswith(part.measure.action):
                    yield name, Deed(at_ms, part.metric, amount, part.below, use.phase)


def parts_of(active: Sequence[Stored]) -> Iterator[Part]:
    """Every measure that their metrics add up."""
    for stored in active:
        for metric in stored.life.metrics:
            name = stored.experiment.name
            yield Part(name, metric.name, metric.measure, False)
            if metric.over is not None:
                yield Part(name, metric.name, metric.over, True)


def _amount(measure: Measure, outcome: Outcome) -> float | None:
    """What the outcome counts for; None where it has no such figure."""
    if measure.take == "count":
        return 1.0
    if measure.take == "failed":
        return 1.0 if outcome.failed else None
    found = outcome.value if measure.take == "value" else outcome.seconds
    return None if found is None else measured(found)


def measured(amount: float) -> float | None:
    """The amount as totals take it; None where it is no measurement."""
    if not isfinite(amount) or abs(amount) > MOST_AMOUNT:
        return None
    return amount if abs(amount) >= LEAST_AMOUNT else 0.0
