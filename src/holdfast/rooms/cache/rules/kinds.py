"""Kinds: families of entries that live equally long, each with its settings merged over the default's."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from holdfast.rooms.cache.rules.problems import UnknownKind

Seconds = Annotated[float, Meta(ge=0, le=366 * 86400)]


class Kind(msgspec.Struct, frozen=True):
    """How the entries of one kind are kept. Times in seconds; 0 turns off what it is about."""

    name: str
    ttl_s: float = 300.0
    """Fresh for so long, spread by `jitter`."""
    jitter: float = 0.1
    """Share of the time to live by which it is spread to both sides, so that entries do not end together."""
    stale_s: float = 0.0
    """After that, served at once as stale for so long, while one load runs behind."""
    fail_safe_s: float = 300.0
    """After its time to live the last good value stands in for so long when no new one can be had."""
    soft_s: float = 0.0
    """Where a last good value is at hand, callers wait so long for a new one; 0: as long as it takes."""
    hard_s: float = 30.0
    """A load is given up after so long."""
    retry_s: float = 5.0
    """After a failed load the last good value is served for so long before the next try."""
    negative_ttl_s: float = 30.0
    """`None` and `Absent` are remembered for so long."""
    early_beta: float = 1.0
    """How eagerly an entry is refreshed before its end (XFetch's beta); 0: never."""
    isolated: bool = False
    """Every caller gets a value of its own, decoded for it, that it may change."""
    by_variant: bool = True
    """Requests of different variants have entries of their own."""
    max_bytes: int = 0
    """A part of the memory for this kind alone; 0: it shares what is left."""


class KindSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a `[cache.kinds.<name>]` table may say; what it leaves out is the default kind's."""

    ttl_s: Annotated[float, Meta(gt=0, le=366 * 86400)] | None = None
    jitter: Annotated[float, Meta(ge=0, le=0.5)] | None = None
    stale_s: Seconds | None = None
    fail_safe_s: Seconds | None = None
    soft_s: Seconds | None = None
    hard_s: Seconds | None = None
    retry_s: Seconds | None = None
    negative_ttl_s: Seconds | None = None
    early_beta: Annotated[float, Meta(ge=0, le=100)] | None = None
    isolated: bool | None = None
    by_variant: bool | None = None
    max_bytes: Annotated[int, Meta(ge=0)] | None = None


KNOWN: Mapping[str, KindSettings] = {
    "default": KindSettings(),
    "dashboard": KindSettings(ttl_s=60, stale_s=30),
    "farm_list": KindSettings(ttl_s=300),
    "recommendation": KindSettings(ttl_s=1800),
    "llm": KindSettings(ttl_s=3600, hard_s=120),
    # Its keys are digests of everything that a model hears, prompt and model of an arm included.
    "llm_exact": KindSettings(ttl_s=3600, hard_s=120, by_variant=False),
    "prediction": KindSettings(ttl_s=3600, hard_s=60),
    "session": KindSettings(
        ttl_s=86400, jitter=0, fail_safe_s=0, early_beta=0, isolated=True, by_variant=False
    ),
    "session_short": KindSettings(
        ttl_s=1800, jitter=0, fail_safe_s=0, early_beta=0, isolated=True, by_variant=False
    ),
}
"""The kinds that are there without a setting."""


def merge(given: Mapping[str, KindSettings]) -> dict[str, Kind]:
    """Every kind by name: Kind's defaults < `kinds.default` < what is known of the name < `kinds.<name>`."""
    default = _over(Kind("default"), given.get("default"))
    return {
        name: _over(_over(default, KNOWN.get(name), name), given.get(name)) for name in {**KNOWN, **given}
    }


def find(kinds: Mapping[str, Kind], name: str) -> Kind:
    """The kind; raises UnknownKind that names the known ones."""
    kind = kinds.get(name)
    if kind is None:
        raise UnknownKind(
            f"there is no cache kind {name!r}; there are: {', '.join(sorted(kinds))}",
            hint=f"declare it in the settings: [cache.kinds.{name}]",
        )
    return kind


def longest_load_s(kinds: Mapping[str, Kind]) -> float:
    """Seconds after which every load of a kind that has a hard deadline has been given up."""
    return max(kind.hard_s for kind in kinds.values())


def longest_life_s(kinds: Mapping[str, Kind]) -> float:
    """Seconds after which no entry that lives as its kind says is of any use."""
    return max(
        kind.ttl_s * (1 + kind.jitter) + max(kind.stale_s, kind.fail_safe_s) for kind in kinds.values()
    )


def _over(kind: Kind, said: KindSettings | None, name: str = "") -> Kind:
    changes: dict[str, Any] = {}
    if said is not None:
        changes = {key: value for key, value in msgspec.structs.asdict(said).items() if value is not None}
    if name:
        changes["name"] = name
    return msgspec.structs.replace(kind, **changes)
