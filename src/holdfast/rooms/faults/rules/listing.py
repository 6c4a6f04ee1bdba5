"""The faults and the calls as they are shown."""

from typing import Any

import msgspec

from holdfast.rooms.faults.rules.chat import CREATED
from holdfast.rooms.faults.rules.table import FAULTS


class Line(msgspec.Struct, frozen=True):
    """One fault, described."""

    name: str
    what: str
    takes: str
    example: str


class CallShown(msgspec.Struct, frozen=True):
    """One request as the provider saw it; offsets count from the server's start."""

    model: str
    path: str
    fault: str
    attempt: int
    """Which call of this key and model it was, from 1."""
    key: str
    """Tells keys apart and gives none away; empty: the call had none."""
    began_s: float
    ended_s: float | None
    """When the answer was out or the client gone; null: it is still under way."""
    left_early: bool
    """Whether the client left before the answer was complete, as far as this server would have gone."""
    status: int | None
    """What was answered; null: nothing, so far."""
    stream: bool
    body_bytes: int
    sent_bytes: int
    headers: dict[str, str]


def described() -> list[Line]:
    """Every fault, in the order of the table."""
    return [Line(kind.name, kind.what, kind.takes, kind.example) for kind in FAULTS]


def listed() -> str:
    """The table for a terminal."""
    names = [f"{kind.name}:{kind.takes.upper()}" if kind.takes else kind.name for kind in FAULTS]
    width = max(len(name) for name in names if len(name) < 40)
    lines = []
    for kind, name in zip(FAULTS, names, strict=True):
        default = f" (default {kind.default:g})" if kind.takes else ""
        lines.append(f"{name:<{width}}  {kind.what}{default}")
    return "\n".join(lines)


def models() -> dict[str, Any]:
    """The list of models: one for each fault."""
    data = [
        {"id": kind.example, "object": "model", "created": CREATED, "owned_by": "holdfast"} for kind in FAULTS
    ]
    return {"object": "list", "data": data}
