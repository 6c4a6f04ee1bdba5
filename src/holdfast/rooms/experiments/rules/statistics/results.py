"""What goes into an analysis and what comes out of it, as plain data that becomes JSON.

Kept sums per metric, arm and cell + plan + looks so far -> `Question` -> `analyse` -> `Analysis`.

Cells: attribute and value of a segment (`visitor`, `new`); the whole is `WHOLE`. Two attributes are the
room's own: `STRATUM`, when a unit was first exposed (`strata.stratum`), and `NOVELTY`, whose sums have the
unit's total of its later days as `y` and of its first days as `d`.
"""

from typing import Literal

import msgspec

from holdfast.rooms.experiments.rules.experiments import Arm, Metric, Plan, Role
from holdfast.rooms.experiments.rules.flags import UnitKind
from holdfast.rooms.experiments.rules.statistics.sums import Sums

WHOLE = ("", "")
STRATUM = "@stratum"
NOVELTY = "@novelty"

Method = Literal["group-sequential", "always-valid", "fixed"]
"""Looks that were planned for; any looks at all; one look, at the end."""
Estimator = Literal["welch", "cuped", "ratio", "ratio-cuped", "quantile"]
Finding = Literal["better", "worse", "unclear", "no-worse"]
"""`no-worse`: of a guardrail, that it is not worse by its margin."""
Decision = Literal[
    "blocked", "too-early", "keep-going", "ship", "do-not-ship", "harm", "no-difference", "inconclusive"
]


class Kept(msgspec.Struct, frozen=True):
    """The sums of one arm in one cell."""

    arm: str
    sums: Sums = Sums()
    attribute: str = ""
    value: str = ""
    bins: dict[int, int] = {}
    """Of a quantile: units by bin of their total (`quantile.bin_of`)."""


class Measured(msgspec.Struct, frozen=True):
    """A metric with everything kept of it."""

    metric: Metric
    kept: tuple[Kept, ...]
    role: Role = "secondary"
    margin: float = 0.02


class Look(msgspec.Struct, frozen=True):
    """That somebody looked: how far the experiment was, and what was seen."""

    at_s: float
    information: float
    """Units of an arm over those that were planned."""
    z: dict[str, float] = {}
    """`metric:arm` of each primary comparison -> how many standard errors it was from nothing."""
    decision: str = ""


class Question(msgspec.Struct, frozen=True):
    """Everything an analysis rests on."""

    arms: tuple[Arm, ...]
    """The first is the control; their shares are what SRM expects."""
    plan: Plan
    measured: tuple[Measured, ...]
    units: dict[str, int]
    """Units exposed, by arm."""
    looks: tuple[Look, ...] = ()
    """Those before this one."""
    at_s: float = 0.0
    ended: bool = False
    """This is the last look: its date has come or it was stopped for a reason outside the figures."""
    unit: UnitKind = "user"
    mixed: int = 0
    """Units that saw several arms; they are in no sums."""
    early: bool = False
    """It was ended by hand before its planned time: whoever did so had seen the figures."""


class Figure(msgspec.Struct, frozen=True):
    """One arm's figure, as it is shown: before any adjustment."""

    value: float
    units: int
    spread: float | None = None
    """Standard deviation of a unit's total."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True, tag="running"):
    """A treatment against the control in one metric and cell. It has no p-value that looking spoils."""

    metric: str
    arm: str
    role: Role
    attribute: str = ""
    value: str = ""
    control: Figure
    treatment: Figure
    absolute: float
    """Treatment minus control, with noise taken away where the estimator does so."""
    low: float
    high: float
    relative: float | None = None
    """The same as a share of control's figure; None where that is not apart from zero."""
    relative_low: float | None = None
    relative_high: float | None = None
    level: float = 0.95
    """Confidence of the intervals."""
    method: Method
    estimator: Estimator
    standard_error: float
    z: float
    cohens_d: float | None = None
    noise_removed: float = 0.0
    """The share of the variance that a unit's own past explains."""
    always_valid_p: float | None = None
    finding: Finding = "unclear"
    margin: float | None = None
    """Of a guardrail: how much worse it may be, in the metric's own unit."""


class FinalComparison(Comparison, frozen=True, kw_only=True, tag="final"):
    """A comparison at the last look: now it has a p-value too."""

    p: float
    adjusted_p: float
    """With regard to how many comparisons there are: Holm of primaries, Benjamini-Hochberg of the rest."""
    unbiased: float | None = None
    """The absolute effect, as often too large as too small: what is seen at an early stop is too large on
    average. None where looking went on after the boundary was crossed."""


class SampleRatio(msgspec.Struct, frozen=True):
    """Whether the arms have the shares of units that they should have."""

    observed: dict[str, int]
    expected: dict[str, float]
    chi_square: float
    p: float
    holds: bool
    always_valid: bool = False
    """How `p` is meant: over all looks at once, or (False) of this one, the last."""


class Boundary(msgspec.Struct, frozen=True):
    """A look on the way to the planned end: where the line was and what was seen."""

    at_s: float
    information: float
    z: dict[str, float]
    boundary: float | None
    """In standard errors, for the strictest primary comparison; None where no end is planned."""


class Novelty(msgspec.Struct, frozen=True):
    """Whether the effect in units' later days differs from that in their first days."""

    metric: str
    arm: str
    first: float
    """Relative effect in units' first days."""
    later: float
    change: float
    """Later over first, as a relative change of the treatment's factor: -0.1 is a tenth less."""
    low: float
    high: float
    p: float
    wears_off: bool
    """The interval excludes no change, and the effect has become smaller."""


class Stratified(msgspec.Struct, frozen=True):
    """The effect with units weighed by when they came, beside the plain one."""

    metric: str
    arm: str
    absolute: float
    low: float
    high: float
    standard_error: float
    strata: int
    disagrees: bool
    """The plain effect lies outside its interval: the arms were not filled alike over the week."""


class Reason(msgspec.Struct, frozen=True):
    """One reason of a decision, as data: `words` makes a sentence of it."""

    code: str
    metric: str = ""
    arm: str = ""
    figures: dict[str, float] = {}


class Verdict(msgspec.Struct, frozen=True):
    """What to do, and why."""

    decision: Decision
    arm: str = ""
    """Of `ship`: which one. Of `harm`: which one does it."""
    reasons: tuple[Reason, ...] = ()
    final: bool = False
    words: dict[str, str] = {}
    """Language (`en`, `ko`) -> what a product manager reads."""


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of an experiment now."""

    at_s: float
    units: dict[str, int]
    unit: UnitKind
    mixed: int
    """Units that saw several arms and were left out."""
    information: float | None
    """Share of the planned units; None where no end is planned."""
    final: bool
    sample_ratio: SampleRatio
    comparisons: tuple[Comparison | FinalComparison, ...]
    """Of whole arms; primary ones first, then guardrails, then secondary ones."""
    segments: tuple[Comparison | FinalComparison, ...]
    looks: tuple[Boundary, ...]
    novelty: tuple[Novelty, ...]
    strata: tuple[Stratified, ...]
    look: Look | None
    """What is to be kept and given to the next analysis; None: too little is new for a look of its own."""
    early: bool = False
    """It was ended by hand before its plan was full."""
    verdict: Verdict = Verdict("too-early")
