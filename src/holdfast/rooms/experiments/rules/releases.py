"""The nouns of a release: what is released, in which stages, and what would stop it."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from holdfast.rooms.experiments.rules.flags import Condition, Name, Share, UnitKind

Status = Literal["draft", "running", "paused", "held", "rolled_back", "promoted"]
"""`held`: trouble that is not only the treatment's, or of which that cannot be told; nothing moves until an
operator or recovery says so."""
ENDED = frozenset({"rolled_back", "promoted"})
AT_REST = ENDED | {"draft"}
"""May be defined anew, and started."""
CONTROL, TREATMENT = "control", "treatment"


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step up."""

    share: Share
    """Buckets of 10,000 that get the treatment: 500 is 5 %."""
    dwell_s: Annotated[float, Meta(ge=0)] = 3600.0
    """The least time in this stage."""
    samples: Annotated[int, Meta(ge=1)] | None = None
    """The least number of units counted in the treatment; None: enough to see twice the baseline's errors."""
    deadline_s: Annotated[float, Meta(gt=0)] | None = None
    """After which a stage without a verdict is rolled back; None: four times its dwell, an hour at least."""


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that must not get worse: a share of bad ones among those counted.

    `errors`: requests or calls that failed. `latency`: those that took longer than `target_s`. `event`:
    product events `action` whose value is at least `bad_from` or below `bad_below` among all of that action,
    or, with neither, units that did `action` at all among those exposed.
    """

    name: Name
    of: Literal["errors", "latency", "event"] = "errors"
    target_s: Annotated[float, Meta(gt=0)] | None = None
    action: str = ""
    bad_from: float | None = None
    bad_below: float | None = None
    warn: Annotated[float, Meta(gt=0, lt=1)] = 0.005
    limit: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    observe_only: bool = False
    """Judged and shown, but decides nothing."""


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What its owner asks for. The room keeps its state beside it."""

    name: Name
    description: str = ""
    values: dict[str, Any] = msgspec.field(default_factory=lambda: {CONTROL: False, TREATMENT: True})
    """What `value` gives each arm: a setting, a prompt, an upstream's address."""
    stages: tuple[Stage, ...] = (Stage(500), Stage(2500), Stage(5000), Stage(10_000))
    gates: tuple[Gate, ...] = (Gate("errors"),)
    measure: Literal["request", "call"] = "request"
    """What a unit of work is: the request that used the variant, or a call made through `run`."""
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.01
    """The chance that a healthy release is rolled back, over all gates and all time."""
    warm_up_s: Annotated[float, Meta(ge=0)] = 0.0
    """From the start of a stage, what is seen is dropped: caches are cold. Set beforehand, for both arms."""
    stale_s: Annotated[float, Meta(gt=0)] = 60.0
    """Without any count for so long nothing is known: INCONCLUSIVE."""
    routes: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()
    """Only these units are in the release."""
    unit: UnitKind = "user"
    version: str = ""
    """What is being released. A version that was rolled back is not started again unless forced."""
