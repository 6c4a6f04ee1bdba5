"""The page of an experiment: what each arm did to each metric, and how sure that is."""

from typing import Literal

import msgspec

from holdfast.rooms.experiments.rules.report.page import VERSION, Clock, Figure, Step, Words
from holdfast.rooms.experiments.rules.statistics.srm import LIMIT

Finding = Literal["better", "worse", "same", "undecided", "within", "harmed", "blocked", ""]
"""Of an effect. `within` and `harmed` are a guardrail's; `blocked`: the sample ratio forbids a verdict."""
Scale = Literal["share", "number", "seconds"]
"""How a metric's figures are written."""


class ArmRow(msgspec.Struct, frozen=True, kw_only=True):
    """One arm of an experiment; the first is the control."""

    name: str
    share: int = 0
    units: int = 0
    expected: float | None = None
    """How many units the shares would give."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What one arm did to one metric, compared with control."""

    arm: str
    absolute: Figure = Figure()
    relative: Figure = Figure()
    finding: Finding = "undecided"
    """After the adjustment for several comparisons."""
    cohens_d: float | None = None
    p: float | None = None
    """Adjusted; None before the last planned look, and where no end is planned."""
    method: str = ""
    adjusted: str = ""
    """Holm, Benjamini-Hochberg."""


class ArmFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A metric's figure in one arm."""

    arm: str
    units: int = 0
    figure: Figure = Figure()


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: figures of the arms, effects against control."""

    name: str
    role: Literal["primary", "secondary", "guardrail"] = "secondary"
    kind: str = "conversion"
    better: Literal["up", "down"] = "up"
    description: str = ""
    scale: Scale = "number"
    unit: str = ""
    """After a number: won, clicks."""
    margin: float | None = None
    """Of a guardrail: how much worse it may be, as a share of control's figure."""
    arms: tuple[ArmFigure, ...] = ()
    effects: tuple[Effect, ...] = ()
    variance_removed: float | None = None
    """By CUPED: the share of the variance that units' own past explained."""


class EffectPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The effect on one metric up to a moment, relative, with its band; and of that day alone.

    The band of `effect` is always valid: it may be looked at on any day."""

    at_s: float
    metric: str
    arm: str
    effect: Figure = Figure()
    day: Figure | None = None
    units: int = 0


class SegmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """The effect among some of the units."""

    attribute: str
    value: str
    metric: str
    arm: str
    control_units: int = 0
    treatment_units: int = 0
    relative: Figure = Figure()
    finding: Finding = "undecided"


class SampleRatio(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the arms hold as many units as they should. Where they do not, no verdict is given."""

    passed: bool
    p: float | None = None
    always_valid: bool = False
    """`p` is meant over all looks at once, not of this one alone."""
    threshold: float = LIMIT
    arms: tuple[ArmRow, ...] = ()


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One effect beside others of its kind: a stratum, the early and the late days."""

    name: Words
    metric: str
    arm: str
    relative: Figure = Figure()
    units: int = 0


class Novelty(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the effect faded or grew after units' first days."""

    found: bool
    said: Words = Words()
    parts: tuple[Comparison, ...] = ()


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody looked, at what, and what they were told."""

    at_s: float
    who: str = ""
    what: Words = Words()
    said: Words = Words()
    information: float | None = None
    """Share of the planned units that had been seen."""
    planned: bool = False
    """The last look, planned or taken at the stop."""


class PlanUsed(msgspec.Struct, frozen=True, kw_only=True):
    """What was settled before anyone looked."""

    alpha: float = 0.05
    power: float = 0.8
    baseline: float | None = None
    effect: float | None = None
    units_per_arm: int | None = None
    days: float | None = None
    end_s: float | None = None


class ExperimentPage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one experiment."""

    name: str
    status: str
    kind: Literal["experiment"] = "experiment"
    format: int = VERSION
    hypothesis: str = ""
    verdict: Words = Words()
    """From `rules/statistics/words.py`."""
    finding: Finding = ""
    """What the verdict comes to, for its colour and sign."""
    began_s: float | None = None
    ended_s: float | None = None
    decided: str = ""
    """Of what has ended: the arm that its owner gave to everybody, whatever the verdict says."""
    made_s: float | None = None
    generation: int = 0
    unit: str = "user"
    arms: tuple[ArmRow, ...] = ()
    metrics: tuple[MetricRow, ...] = ()
    timeline: tuple[EffectPoint, ...] = ()
    segments: tuple[SegmentRow, ...] = ()
    sample_ratio: SampleRatio | None = None
    mixed: int = 0
    """Units that saw more than one arm: left out."""
    novelty: Novelty | None = None
    strata: tuple[Comparison, ...] = ()
    looks: tuple[Look, ...] = ()
    steps: tuple[Step, ...] = ()
    """Who began, changed and ended it."""
    plan: PlanUsed | None = None
    clock: Clock = Clock()
