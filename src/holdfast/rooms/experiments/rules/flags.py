"""The nouns of flags: what a flag is, whom its rules serve, what a look-up gives.

A flag says how units are parted among variants. A release and an experiment each have one flag of their
own name: the controller of the one moves its `rollout`, the plan of the other sets its lanes. So assignment
is one thing, whatever it is used for.

Shapes: shares are whole buckets of BUCKETS; stamps are milliseconds since the epoch.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

BUCKETS = 10_000
"""Into how many a flag parts its units: a share of 5 % is 500."""
ALGORITHM = "sha256-1"
"""How a unit's bucket is found (`assigning.py`). Stored with each flag, and never changed under it."""

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$(?!\n)")]
"""Names stand in headers, addresses and metrics: lower case, digits, dot, dash, underscore.

Python's `$` would let a line break follow, and OpenAPI's readers know no `\\Z`."""
Share = Annotated[int, Meta(ge=0, le=BUCKETS)]
Kind = Literal["flag", "release", "experiment"]
UnitKind = Literal["user", "tenant", "device"]
Operator = Literal[
    "is", "is_not", "in", "not_in", "exists", "missing", "contains", "starts_with", "ends_with", "matches",
    "less", "at_most", "more", "at_least", "version_less", "version_at_least", "before", "after",
]  # fmt: skip


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question about one attribute of whom is asked for."""

    attribute: str
    """`user`, `tenant`, `tier`, `path` and what the caller gives; dots reach into objects."""
    is_: Annotated[Operator, Meta(description="how it is compared")] = msgspec.field(name="op", default="is")
    value: Any = None


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named audience: every condition of at least one of its groups holds."""

    name: Name
    any_of: tuple[tuple[Condition, ...], ...] = ()
    description: str = ""
    generation: int = 0


class Lane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of buckets that is set aside for one variant."""

    variant: str
    share: Share


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Units parted by their bucket. Lanes lie one after another from bucket 0.

    `rollout` opens each lane from its beginning: raising it moves units only from `rest` into their lane,
    never from lane to lane and never back.
    """

    lanes: tuple[Lane, ...]
    rollout: Share = BUCKETS
    rest: str = "control"
    """What units get that are in no opened lane."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom it serves, and what. The first rule that fits decides."""

    when: tuple[Condition, ...] = ()
    segments: tuple[Name, ...] = ()
    """In at least one of these; empty asks for none."""
    from_ms: int | None = None
    until_ms: int | None = None
    variant: str = ""
    """Everybody gets this one; or a `split`."""
    split: Split | None = None


class Flag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A flag: variants, who gets which, and the switch that turns it off."""

    name: Name
    variants: dict[str, Any]
    """Name -> value; values of one flag are of one JSON type."""
    off: str = "control"
    """The variant while the flag is off, and of whom no rule fits."""
    enabled: bool = True
    """The kill switch: False gives everybody `off`, overrides included."""
    rules: tuple[Rule, ...] = ()
    kind: Kind = "flag"
    unit: UnitKind = "user"
    salt: str = ""
    """Random, drawn when the flag is made; empty: one is drawn."""
    algorithm: str = ALGORITHM
    phase: int = 1
    """Raised when lanes change: what was seen before and after are apart."""
    layer: str = ""
    """Flags of one layer share its units: nobody is in two of them."""
    slots: tuple[Share, Share] | None = None
    """Which buckets of the layer are this flag's: from, up to."""
    heeds_holdout: bool = True
    """Whether units of the global holdout get `off`."""
    routes: tuple[str, ...] = ()
    """Prefixes of paths at whose door it is assigned, so that record, header and cache keys carry it."""
    client: bool = False
    """Whether it may be read over OFREP without the admin token."""
    description: str = ""
    generation: int = 0
    """Counts its changes; a change names the one it goes by."""


class Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A set of flags that exclude each other."""

    name: Name
    salt: str = ""
    description: str = ""
    generation: int = 0


class Holdout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Units that get no change at all, to measure what all changes come to together."""

    share: Share = 0
    salt: str = ""
    generation: int = 0


class Ruleset(msgspec.Struct, frozen=True):
    """Everything that decides, as of one version."""

    version: int = 0
    flags: dict[str, Flag] = {}
    segments: dict[str, Segment] = {}
    layers: dict[str, Layer] = {}
    holdout: Holdout = Holdout()
    overrides: dict[str, dict[str, str]] = {}
    """Flag -> normalised unit -> variant: people who asked for one, testers."""
    made_ms: int = 0
    """When its version was made: a database that was restored gives the same number to other rules."""


Reason = Literal["STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED", "STALE", "ERROR"]
"""OpenFeature's words (specification 0.8, section 1.4.7)."""


class Evaluation(msgspec.Struct, frozen=True):
    """What a look-up gives, and why."""

    flag: str
    variant: str
    value: Any
    reason: Reason
    unit: str = ""
    phase: int = 0
    counted: bool = False
    """Whether it belongs to a release or an experiment and tells something about it: not for overrides,
    units outside, bots, or errors."""
    error: str = ""
    """OpenFeature's error code, where the reason is ERROR."""

    def __bool__(self) -> bool:
        raise TypeError("ask for .value or .variant: an evaluation itself is neither true nor false")


class Change(msgspec.Struct, frozen=True):
    """One change of what decides assignment: who, when, from what to what."""

    version: int
    """Of the Ruleset that it made."""
    kind: str
    """`flag`, `segment`, `layer`, `holdout` or `override`."""
    name: str
    actor: str
    at_ms: int
    before: Any = None
    after: Any = None
