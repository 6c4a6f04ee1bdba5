"""The nouns of an experiment: its metrics, its plan, its state."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from holdfast.rooms.experiments.rules.flags import Condition, Name, Share, UnitKind

Status = Literal["draft", "collecting", "running", "stopped"]
"""`collecting`: nobody is assigned yet; what users do is kept as their own past (CUPED)."""
MetricKind = Literal["conversion", "mean", "ratio", "quantile"]
Direction = Literal["up", "down"]
Role = Literal["primary", "secondary", "guardrail"]


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is added up for each unit."""

    source: Literal["event", "request"] = "event"
    """Product events of `action`, or the records of requests that used the variant."""
    action: str = ""
    """Of events: the action. Of requests: a prefix of the route; empty: all."""
    take: Literal["count", "value", "seconds", "failed"] = "count"
    """One each; an event's value; a request's seconds; one for each failed request."""


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure of each arm. Sums are of units' totals, never of single events."""

    name: Name
    kind: MetricKind = "conversion"
    measure: Measure = Measure()
    """A conversion: whether the total is above zero. Of a ratio: the part above the line."""
    over: Measure | None = None
    """Of a ratio: the part below the line."""
    better: Direction = "up"
    quantile: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    cap: float | None = None
    """A unit's total counts at most this much: one whale must not decide."""
    cuped: bool = True
    """Whether units' own past takes noise away, where it is known."""
    description: str = ""


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One variant of an experiment; the first of them is the control."""

    name: Name
    share: Share
    value: Any = None


class Watched(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a metric is there for in one experiment."""

    metric: Name
    role: Role = "secondary"
    margin: Annotated[float, Meta(ge=0)] = 0.02
    """Of a guardrail: how much worse it may be, as a share of control's figure."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was settled before anyone looked."""

    baseline: float | None = None
    spread: float | None = None
    """Standard deviation of a unit's total; of a conversion it follows from the baseline."""
    effect: float | None = None
    """The least relative effect worth finding: 0.05 is 5 %."""
    power: Annotated[float, Meta(gt=0, lt=1)] = 0.8
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    units_per_arm: Annotated[int, Meta(ge=2)] | None = None
    """None: no end is planned, and only always-valid figures are shown."""
    days: Annotated[float, Meta(gt=0)] | None = None


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What its owner asks for. The room keeps its state beside it."""

    name: Name
    arms: tuple[Arm, ...] = (Arm("control", 5000), Arm("treatment", 5000))
    metrics: tuple[Watched, ...] = ()
    plan: Plan = Plan()
    hypothesis: str = ""
    unit: UnitKind = "user"
    when: tuple[Condition, ...] = ()
    layer: str = ""
    layer_share: Share = 0
    routes: tuple[str, ...] = ()
    segments: tuple[str, ...] = ("visitor", "tier")
    """Attributes that results are also shown by; `visitor` is `new` or `returning`."""
    cuped_days: Annotated[float, Meta(ge=0, le=90)] = 0.0
    """Days before the start in which what users do is kept as their past."""
    zone: str = "UTC"
    """Whose days and hours: Asia/Seoul."""
    allow_unseen: bool = False
    """Whether a metric may rest on an action that nobody has done yet."""
