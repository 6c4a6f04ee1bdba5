"""The ledger: a row for each attempt that may have been charged, and the sums that reports are made of."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, tzinfo

import msgspec

OK = "ok"
CANCELLED = "cancelled"
HEDGE_LOST = "hedge_lost"
CACHED = "cached"
COALESCED = "coalesced"
FREE_OUTCOMES = frozenset({CACHED, COALESCED})
"""Rows that cost nothing: they refer to the row that paid."""

EVERYTHING = "everything"
DIMENSIONS = (EVERYTHING, "tenant", "user", "key", "model", "provider")
OTHER = "(other)"
"""Under what sums of ids beyond the bound are kept."""

_LONGEST = 200
_BIG = (1 << 63) - 1
_BARE_BYTES = 600
"""What a row takes in memory besides its texts, about."""


def failed(kind: str) -> str:
    """The outcome of an attempt that failed in this way: `failed:silent`."""
    return f"failed:{kind}"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a provider, or one answer that needed none (cached, coalesced)."""

    id: str
    """Unique and sortable by time; written twice it is one row."""
    at_ms: int
    """When it began, milliseconds since the epoch."""
    request_id: str = ""
    trace_id: str = ""
    tenant: str = ""
    user: str = ""
    key_id: str = ""
    model: str = ""
    """The public name that was asked for."""
    provider: str = ""
    deployment: str = ""
    upstream_model: str = ""
    """The model that answered, as its provider says."""
    purpose: str = ""
    outcome: str = OK
    """`ok`, `failed:<kind>`, `cancelled`, `hedge_lost`, `cached`, `coalesced`."""
    attempt: int = 1
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    """Of `tokens_in`, what came from the provider's cache."""
    estimated: bool = False
    """Whether we counted the tokens, because the provider did not say."""
    cost: int = 0
    """Nano-dollars."""
    currency: str = "USD"
    unpriced: bool = False
    """Whether no price is known for the model, so that the cost of 0 says nothing."""
    latency_ms: int = 0
    paid_by: str = ""
    """The row that paid, of a cached or coalesced answer."""


def day_before(at_ms: int, days: int, zone: tzinfo) -> str:
    """The day that many days before that of `at_ms`, however long the days between them are."""
    return (datetime.fromtimestamp(at_ms / 1000, zone).date() - timedelta(days=days)).isoformat()


class Sum(msgspec.Struct):
    """What a dimension's id has come to on one day."""

    calls: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    cost: int = 0
    free: int = 0
    """Answers of ours that cost nothing: from the cache, or shared with another call."""

    def add(self, other: "Sum") -> None:
        self.calls += other.calls
        self.failures += other.failures
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out
        self.tokens_cached += other.tokens_cached
        self.cost += other.cost
        self.free += other.free

    def count(self, entry: Entry) -> None:
        """One entry more. A free answer's tokens were paid for elsewhere, and are not counted again."""
        if entry.outcome in FREE_OUTCOMES:
            self.free += 1
            return
        self.calls += 1
        self.failures += entry.outcome.startswith("failed:")
        self.tokens_in += entry.tokens_in
        self.tokens_out += entry.tokens_out
        self.tokens_cached += entry.tokens_cached
        self.cost += entry.cost


Place = tuple[str, str, str]
"""(day, dimension, id)."""
Whose = tuple[str, str, str, str, str]
"""Tenant, user, key, model and provider, in the order of DIMENSIONS."""


def clean(entry: Entry) -> Entry:
    """The entry as any database takes it: no NUL or lone surrogate, bounded texts, numbers of 64 bits."""
    values = msgspec.structs.astuple(entry)
    changes: dict[str, object] = {}
    for name, value in zip(entry.__struct_fields__, values, strict=True):
        if isinstance(value, str):
            if not value.isascii() or len(value) > _LONGEST or "\0" in value:
                changes[name] = _text(value)
        elif not 0 <= value <= _BIG:
            changes[name] = min(max(0, value), _BIG)
    if entry.outcome in FREE_OUTCOMES and entry.cost:
        changes["cost"] = 0
    return msgspec.structs.replace(entry, **changes) if changes else entry


def size_bytes(entry: Entry) -> int:
    """About what the row takes in memory while it waits."""
    return _BARE_BYTES + 2 * (
        len(entry.request_id) + len(entry.user) + len(entry.tenant) + len(entry.deployment)
    )


def day_of(at_ms: int, zone: tzinfo) -> str:
    """The day of the team's time zone.

    >>> from datetime import UTC
    >>> day_of(1_750_000_000_000, UTC)
    '2025-06-15'
    """
    return datetime.fromtimestamp(at_ms / 1000, zone).strftime("%Y-%m-%d")


def add_up(entries: Iterable[Entry], zone: tzinfo) -> dict[Place, Sum]:
    """The sums of the entries by day and each dimension.

    First by everybody concerned at once, and only those sums by each dimension: a batch has many entries
    and few who made them. A day begins on a whole minute, whatever the zone.
    """
    days: dict[int, str] = {}
    alike: dict[tuple[str, Whose], Sum] = {}
    for entry in entries:
        minute = entry.at_ms // 60_000
        day = days.get(minute)
        if day is None:
            day = days[minute] = day_of(entry.at_ms, zone)
        whose = (entry.tenant, entry.user, entry.key_id, entry.model, entry.provider)
        found = alike.get((day, whose))
        if found is None:
            found = alike[day, whose] = Sum()
        found.count(entry)
    return _by_dimension(alike.items())


def served_sums(served: Mapping[Whose, int], day: str) -> dict[Place, Sum]:
    """The sums of kept answers, counted by whose they were."""
    return _by_dimension(((day, whose), Sum(free=count)) for whose, count in served.items())


def _by_dimension(alike: Iterable[tuple[tuple[str, Whose], Sum]]) -> dict[Place, Sum]:
    sums: dict[Place, Sum] = {}
    for (day, whose), one in alike:
        for dimension, id in zip(DIMENSIONS, ("", *whose), strict=True):
            sums.setdefault((day, dimension, id), Sum()).add(one)
    return sums


def merge(into: dict[Place, Sum], more: Mapping[Place, Sum], most: int) -> None:
    """Add sums to sums, at most `most` of them: ids beyond that are kept together as OTHER."""
    for (day, dimension, id), each in more.items():
        place = (day, dimension, id)
        if place not in into and len(into) >= most:
            place = (day, dimension, OTHER)
        into.setdefault(place, Sum()).add(each)


def _text(value: str) -> str:
    return value[:_LONGEST].encode("utf-8", "replace").decode().replace("\0", "\ufffd")
