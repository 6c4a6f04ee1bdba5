"""What the room learns of a request, a call or an event, as its counts see it."""

from collections.abc import Mapping
from typing import Literal

import msgspec

FACT = "exposed"
"""Under this name a record carries what it used, as `line_of` has it, a line a flag.

One text: facts that hold nothing else are encoded in one call (0.4 us; nested ones are looked through for
secrets, 6 us), and in DuckDB or grep `ranker=treatment` finds it."""
EXPOSURE = "exposure"
"""The action of the product event that is written when a unit uses a variant, once a day."""


class Use(msgspec.Struct, frozen=True, array_like=True):
    """That a unit used a variant."""

    variant: str
    unit: str
    phase: int


def line_of(flag: str, use: Use) -> str:
    """`ranker=treatment 1 user-42`: only the unit may hold spaces, and no line break."""
    return f"{flag}={use.variant} {use.phase} {use.unit}"


def uses_of(found: object) -> dict[str, Use]:
    """What a FACT says, in the nested form flag -> [variant, unit, phase] too; anything else is left out."""
    if isinstance(found, Mapping):
        try:
            return msgspec.convert(found, dict[str, Use])
        except msgspec.ValidationError:
            return {}
    uses: dict[str, Use] = {}
    for line in found.split("\n") if isinstance(found, str) else ():
        flag, _, rest = line.partition("=")
        parts = rest.split(" ", 2)
        if len(parts) == 3 and parts[1].isdecimal():
            uses[flag] = Use(parts[0], parts[2], int(parts[1]))
    return uses


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a request or call ended, or what a user did."""

    kind: Literal["request", "call", "event"]
    at_s: float
    """Wall clock, seconds since the epoch."""
    user: str = ""
    uses: Mapping[str, Use] = {}
    """Of an event none: it belongs to whatever its user was exposed to."""
    name: str = ""
    """A request's route, an event's action."""
    failed: bool = False
    """5xx, an unhandled exception or an answer that broke off; a client that left early has not failed."""
    seconds: float | None = None
    value: float | None = None
    request_id: str = ""
    trace_id: str = ""
    error: str = ""
    attributes: Mapping[str, object] = {}
    """What segments may be cut by: tier, and the facts of the record that are plain."""
