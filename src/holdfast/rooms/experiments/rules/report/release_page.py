"""The page of a release: what was decided, on which evidence."""

from typing import Literal

import msgspec

from holdfast.rooms.experiments.rules.report.page import VERSION, Clock, Figure, Step, Words

Cause = Literal[
    "relative", "absolute", "late", "crash", "deadline", "stale", "operator", "outage", "alone",
    "undecided", "",
]  # fmt: skip
"""What decided: worse than control, over the limit, a late defect, a plain crash, a stage out of time, no
data, a person, trouble in both arms, trouble where nobody has control, too little of control to compare."""


class StageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One step up, as it went."""

    share: int
    dwell_s: float
    state: Literal["waiting", "running", "passed", "stopped"] = "waiting"
    began_s: float | None = None
    ended_s: float | None = None
    control: int = 0
    """Units counted in this stage."""
    treatment: int = 0
    wanted: int | None = None
    """The least number of units in the treatment."""


class ArmRate(msgspec.Struct, frozen=True):
    """How many were bad, of how many."""

    units: int = 0
    bad: int = 0
    rate: Figure = Figure()


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must not get worse, and the evidence at the end."""

    name: str
    of: Literal["errors", "latency", "event"] = "errors"
    target_s: float | None = None
    control: ArmRate = ArmRate()
    treatment: ArmRate = ArmRate()
    warn: float | None = None
    limit: float | None = None
    observe_only: bool = False
    verdict: str = ""
    """As the rule says it: ROLL BACK, HOLD, WARN, EXTEND, PROMOTE, INCONCLUSIVE."""
    log_e_relative: float | None = None
    log_e_absolute_treatment: float | None = None
    log_e_absolute_control: float | None = None
    log_sr: float | None = None
    relative_at: float | None = None
    """Where `log_e_relative` decides."""
    absolute_at: float | None = None
    sr_at: float | None = None


class EvidencePoint(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence of one gate at one moment."""

    at_s: float
    gate: str
    share: int = 0
    log_e_relative: float | None = None
    log_e_absolute_treatment: float | None = None
    log_e_absolute_control: float | None = None
    log_sr: float | None = None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """What was opened because of this release."""

    at_s: float
    title: Words
    name: str = ""
    ended_s: float | None = None


class ExampleRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request that counted as bad, to be looked up in logs and traces."""

    at_s: float
    arm: str
    request_id: str = ""
    trace_id: str = ""
    route: str = ""
    error: str = ""
    seconds: float | None = None
    gate: str = ""


class RuleUsed(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule was, settled before the release began."""

    alpha: float = 0.01
    ratios: tuple[float, ...] = ()
    """How many times worse than control the relative detector is set on."""
    detectors: tuple[str, ...] = ()
    measure: str = "request"
    unit: str = "user"
    warm_up_s: float = 0.0
    stale_s: float = 60.0


class ReleasePage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one release."""

    name: str
    status: str
    kind: Literal["release"] = "release"
    format: int = VERSION
    description: str = ""
    version: str = ""
    decision: Words | None = None
    """One sentence; None: `words.told` finds it from `status`, `cause` and `gate`."""
    cause: Cause = ""
    gate: str = ""
    """The name of the gate that decided."""
    share: int = 0
    """Of units that get the treatment now."""
    decided_share: int | None = None
    """Of units that got it when the decision fell."""
    began_s: float | None = None
    ended_s: float | None = None
    decided_s: float | None = None
    made_s: float | None = None
    """When this report was made."""
    generation: int = 0
    stages: tuple[StageRow, ...] = ()
    gates: tuple[GateRow, ...] = ()
    evidence: tuple[EvidencePoint, ...] = ()
    timeline: tuple[Step, ...] = ()
    incidents: tuple[Incident, ...] = ()
    examples: tuple[ExampleRequest, ...] = ()
    rule: RuleUsed | None = None
    clock: Clock = Clock()
