"""What callers send: queries and bodies of the room's addresses."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

MOST_AT_ONCE = 1_000
"""Dead letters replayed or discarded by one request."""

State = Literal["", "scheduled", "available", "running", "retrying", "succeeded", "failed", "cancelled"]
Limit = Annotated[int, Meta(ge=1, le=1000)]


class ListQuery(msgspec.Struct, frozen=True):
    """Which jobs, and which part of the list."""

    state: State = ""
    queue: str = ""
    name: str = ""
    batch: str = ""
    before: str = ""
    """`next_before` of the part before."""
    limit: Limit = 100


class AdminQuery(msgspec.Struct, frozen=True):
    """Which jobs of anybody."""

    state: State = ""
    queue: str = ""
    name: str = ""
    batch: str = ""
    tenant: str = ""
    user: str = ""
    kind: str = ""
    """An error kind."""
    before: str = ""
    limit: Limit = 100


class EventsQuery(msgspec.Struct, frozen=True):
    """Where to begin, for clients that cannot send Last-Event-ID, which wins."""

    after: str = ""


class CancelQuery(msgspec.Struct, frozen=True):
    """Why it is to stop."""

    reason: str = ""


class ShapeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a queue is worked off from now on; null: as the settings say."""

    concurrency: int | None = None
    rate: str | None = None
    """`1000/60s`; empty: no limit."""


class ReplayBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another payload, if the old one was the fault."""

    payload: Any = msgspec.UNSET


class DeadFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which dead letters; empty fields do not narrow it."""

    queue: str = ""
    name: str = ""
    tenant: str = ""
    user: str = ""
    kind: str = ""
    batch: str = ""
    limit: Annotated[int, Meta(ge=1, le=MOST_AT_ONCE)] = MOST_AT_ONCE


class ReplayAllBody(DeadFilter, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which dead letters to replay, and how fast."""

    rate: str = ""
    """`10/s`: how far apart they begin; empty: all at once, as their queues allow."""


class DiscardBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it needs no work any more."""

    reason: str


class DiscardAllBody(DeadFilter, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which dead letters to discard, and why."""

    reason: str


class EngineBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The engine for all processes; null: as the settings and the environment say."""

    engine: str | None
