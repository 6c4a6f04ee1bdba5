"""What the store of releases gives and takes, as values."""

import msgspec

from holdfast.rooms.experiments.rules.releases import Release, Status


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a release stands: its row, in the order of the table."""

    name: str
    definition: Release
    status: Status = "draft"
    run: int = 0
    period: int = 0
    stage: int = 0
    turn: int = 0
    generation: int = 0
    told: int = 0
    elapsed_s: float = 0.0
    state: str = ""
    """The evidence, as JSON."""
    verdict: str = ""
    """The last one, as JSON."""
    reason: str = ""
    incident: str = ""
    """The id of the one that is open."""
    changed_ms: int = 0


class Mark(msgspec.Struct, frozen=True, order=True):
    """What counts once over all processes."""

    release: str
    period: int
    gate: str
    arm: str
    kind: str
    """`bad`: a unit's burst of what is bad; `seen`: that it was exposed; `did`: that it did the action."""
    unit: str
    burst: int = 0
    """The minute in which it began, by the clock of who saw it."""
    at_ms: int = 0


class Minute(msgspec.Struct, frozen=True):
    """Whose requests failed in the last minute, as one process saw it."""

    treatment_failing: tuple[str, ...] = ()
    control_failing: tuple[str, ...] = ()
    treatment_successes: int = 0
    control_successes: int = 0


class Beat(msgspec.Struct, frozen=True):
    """What a process said last, and its how manieth word that was."""

    process: str
    number: int
    recent: Minute


class Sum(msgspec.Struct, frozen=True):
    """How many were counted in one arm for one gate, and how many of them were bad."""

    arm: str
    gate: str
    n: int
    bad: int


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was bad, to be looked up."""

    arm: str
    kind: str
    """`failed` or `slow`."""
    request_id: str
    trace_id: str = ""
    error: str = ""
    route: str = ""
    gate: str = ""
    seconds: float | None = None
    stage: int = 0
    at_ms: int = 0


class Point(msgspec.Struct, frozen=True):
    """The evidence at one turn, as JSON in `data`."""

    ordinal: int
    stage: int
    crossing: int
    at_ms: int
    data: str


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit: what was done to a release, by whom, and how it stood then."""

    generation: int
    run: int
    at_ms: int
    actor: str
    did: str
    reason: str
    status: str
    stage: int
    share: int
    verdict: str = ""
    """As JSON, of what the room did by itself."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a release."""

    run: int
    version: str
    started_ms: int
    ended_ms: int | None = None
    ending: str = ""
    reason: str = ""
    report: str | None = None
    definition: str = ""
    """As JSON: an ended release may be given another one, and is still shown and rolled back by this."""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which both arms were bad."""

    id: str
    run: int
    stage: int
    opened_ms: int
    closed_ms: int | None = None
    reason: str = ""
    closed_by: str = ""
