"""What the cache counts: plain numbers in the process, handed to the meter now and then, never per hit."""

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.ports.services import Meter

MEMORY, SHARED = "memory", "shared"

_COUNTERS = {
    "hits": ("holdfast_cache_memory_hits_total", "Values given from process memory."),
    "shared_hits": ("holdfast_cache_shared_hits_total", "Values found in the second tier."),
    "misses": ("holdfast_cache_misses_total", "Callers who found no fresh value in memory."),
    "stale": ("holdfast_cache_stale_total", "Values given past their time to live."),
    "negative": ("holdfast_cache_negative_total", "Answers from memory that there is nothing."),
    "loads": ("holdfast_cache_loads_total", "Calls of a factory."),
    "failures": ("holdfast_cache_load_failures_total", "Calls of a factory that failed or were given up."),
    "load_s": ("holdfast_cache_load_seconds_total", "Time that factories took."),
    "early": (
        "holdfast_cache_refreshes_total",
        "Loads begun while callers got the value that was there.",
    ),
    "joined": ("holdfast_cache_joined_total", "Callers who waited for a load that somebody else had begun."),
    "evictions": ("holdfast_cache_evictions_total", "Entries given up for room."),
    "refused": ("holdfast_cache_refused_total", "Values too large to keep."),
    "poisoned": ("holdfast_cache_poisoned_total", "Values of the second tier that could not be read."),
}

_TIER_GAUGES = {
    "journal_markers": "Invalidations that the shared store has still to be told.",
    "journal_writes": "Writes kept for the shared store while it is away.",
    "waiting": "Loads that wait for another node's.",
    "leases_held": "Loads under way with a lease.",
    "poisoned": "Values in the shared store that could not be read, since the start.",
    "replayed": "Missed writes made up for, since the start.",
    "lost_writes": "Missed writes that found no room, since the start.",
}


class Tally:
    """The numbers of one kind since the start. `hits` is counted where the value is found: one increment."""

    __slots__ = (*_COUNTERS, "entries", "fact", "kind", "size_bytes")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.fact = f"{MEMORY}:{kind}"
        """What a hit writes on the request's record."""
        self.hits = self.shared_hits = self.misses = self.stale = self.negative = 0
        self.loads = self.failures = self.early = self.joined = 0
        self.evictions = self.refused = self.poisoned = 0
        self.load_s = 0.0
        self.entries = 0
        self.size_bytes = 0

    def figures(self) -> dict[str, Any]:
        """All of it by name, for people and for JSON."""
        found: dict[str, Any] = {"kind": self.kind, "entries": self.entries, "size_bytes": self.size_bytes}
        found.update((name, getattr(self, name)) for name in _COUNTERS)
        found["load_s"] = round(self.load_s, 6)
        return found


class Export:
    """Carries what has been counted since the last time to the meter."""

    def __init__(self, meter: Meter, tallies: Callable[[], list[Tally]]) -> None:
        self._tallies = tallies
        self._told: dict[tuple[str, str], float] = {}
        self._counters = {
            name: meter.counter(metric, meaning, ("kind",)) for name, (metric, meaning) in _COUNTERS.items()
        }
        self._entries = meter.gauge("holdfast_cache_memory_entries", "Entries in process memory.", ("kind",))
        self._bytes = meter.gauge(
            "holdfast_cache_memory_bytes", "Estimated size of what is in memory.", ("kind",)
        )

    def flush(self) -> None:
        """Bring the meter up to date; costs nothing where nothing has changed."""
        for tally in self._tallies():
            for name, counter in self._counters.items():
                now = getattr(tally, name)
                grown = now - self._told.get((tally.kind, name), 0)
                if grown:
                    self._told[tally.kind, name] = now
                    counter.labels(tally.kind).add(grown)
            self._entries.labels(tally.kind).set(tally.entries)
            self._bytes.labels(tally.kind).set(tally.size_bytes)


def watch_tier(meter: Meter, state: Callable[[], Mapping[str, Any]] | None) -> None:
    """Gauges of the second tier, read when somebody asks; all nil where there is none."""

    def read(name: str) -> Callable[[], float]:
        return lambda: 0.0 if state is None else float(state()[name])

    for name, meaning in _TIER_GAUGES.items():
        meter.watch(f"holdfast_cache_shared_{name}", meaning, read(name))
