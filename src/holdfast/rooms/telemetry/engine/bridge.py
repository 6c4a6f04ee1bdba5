"""What user code registers with prometheus_client, shown on our /metrics too.

Imported only when prometheus_client is in the process already. Its values are read in slices: its own
`generate_latest` holds the loop for about 0.1 ms a histogram series.
"""

import logging
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.rooms.telemetry.engine.slices import Slices
from holdfast.rooms.telemetry.engine.snapshot import CHUNK_SERIES, Chunk, Saved, frame

REFRESH_S = 5.0
"""How often the values are read for the other workers; for a scrape of this worker, each time."""
SUMMED = frozenset({"counter", "histogram", "summary"})
"""Kinds that add up over workers; the others are shown for each."""

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SUFFIXES = ("", "_total", "_bucket", "_count", "_sum", "_created", "_info")

Labels = tuple[str, ...]
Sample = tuple[str, Mapping[str, str], float]
Found = tuple[str, str, str, Iterable[Sample]]
"""Name, kind, meaning and samples of one foreign metric."""

logger = logging.getLogger("holdfast.telemetry")


class Bridge:
    """Reads a prometheus_client registry: its default one, found lazily, unless another is given.

    `taken` names our own metrics; a foreign one that would clash with them is left out, said once.
    """

    def __init__(self, clock: Clock, taken: Callable[[], Collection[str]], registry: Any = None) -> None:
        self._clock = clock
        self._taken = taken
        self._registry = registry
        self._former: dict[str, tuple[Chunk, dict[Labels, Saved]]] = {}
        self._read_at = -REFRESH_S
        self._warned: set[str] = set()
        self.chunks: list[Chunk] = []
        """What the last reading found."""
        self.frames: list[bytes] = []
        """The same, encoded for the worker's slot."""

    def inherit(self, chunk: Chunk, former: Iterable[Saved]) -> None:
        """Count on from what the slot's former worker left."""
        if chunk.kind in SUMMED:
            _, known = self._former.setdefault(chunk.name, (chunk, {}))
            known.update((series.labels, series) for series in former)

    async def refresh(self, older_than_s: float = REFRESH_S) -> None:
        """Read everything again unless that was done less than `older_than_s` ago."""
        now = self._clock.monotonic()
        registry = self._source()
        if registry is None or now - self._read_at < older_than_s:
            return
        self._read_at = now
        slices = Slices(self._clock)
        chunks: list[Chunk] = []
        taken = _all_forms(self._taken())
        for name, kind, meaning, samples in _walk(registry):
            if self._refused(name, taken):
                continue
            taken.add(name)
            chunks += await self._read((name, kind, meaning, samples), slices)
        for name, (chunk, _) in self._former.items():
            if not self._refused(name, taken):
                chunks += await self._read((name, chunk.kind, chunk.meaning, ()), slices)
        encoded = []
        for chunk in chunks:
            encoded.append(frame(chunk))
            if slices.over():
                await slices.rest()
        old, self.chunks, self.frames = self.chunks, chunks, encoded
        while old:  # freed in slices too: a large registry's samples at once are a stall of their own
            old.pop()
            if slices.over():
                await slices.rest()

    def _source(self) -> Any:
        if self._registry is None and "prometheus_client" in sys.modules:
            self._registry = getattr(sys.modules["prometheus_client"], "REGISTRY", None)
        return self._registry

    def _refused(self, name: str, taken: Collection[str]) -> bool:
        clash = not _NAME.fullmatch(name) or any(name + suffix in taken for suffix in _SUFFIXES)
        if clash and name not in self._warned:
            self._warned.add(name)
            logger.warning(
                "the metric %s of prometheus_client is not shown: its name is taken or not plain", name
            )
        return clash

    async def _read(self, found: Found, slices: Slices) -> list[Chunk]:
        name, kind, meaning, samples = found
        values: dict[Labels, float] = {}
        for sample, labels, value in samples:
            values[sample, *(part for pair in labels.items() for part in pair)] = value
            if slices.over():
                await slices.rest()
        now = self._clock.wall()
        former = self._former_of(name, kind, values)
        saved = []
        for key in dict.fromkeys((*values, *former)) if former else values:
            saved.append(_on_top(key, values.get(key), former.get(key), now))
            if slices.over():
                await slices.rest()
        over_workers = "sum" if kind in SUMMED else "each"
        return [
            Chunk(name, kind, meaning, (), over_workers, True, saved[start : start + CHUNK_SERIES])
            for start in range(0, len(saved), CHUNK_SERIES)
        ]

    def _former_of(self, name: str, kind: str, values: Collection[Labels]) -> Mapping[Labels, Saved]:
        chunk, former = self._former.get(name, (None, {}))
        if chunk is None or chunk.kind != kind:
            return {}
        # Buckets with other bounds than before cannot be added up; such a histogram begins anew.
        return former if not values or kind != "histogram" or _bounds(values) == _bounds(former) else {}


def _on_top(key: Labels, value: float | None, former: Saved | None, now: float) -> Saved:
    if former is None:
        return Saved(key, now, now, value or 0)
    if value is None:
        return former
    if key[0].endswith("_created"):
        return Saved(key, former.created, now, min(value, former.value))
    return Saved(key, former.created, now, value + former.value)


def _bounds(samples: Iterable[Labels]) -> set[str]:
    return {key[place + 1] for key in samples for place in range(1, len(key), 2) if key[place] == "le"}


def _all_forms(names: Collection[str]) -> set[str]:
    """Our names, and how OpenMetrics calls our counters."""
    return {*names, *(name.removesuffix("_total") for name in names)}


def _walk(registry: Any) -> Iterator[Found]:
    """Every metric of the registry, its samples one by one where prometheus_client lets us.

    `collect()` builds all samples of a metric in one go. Its own metrics make them by a generator
    underneath; where that is not there (another version, a custom collector) we take what it offers.
    """
    collectors = getattr(registry, "_collector_to_names", None)
    if collectors is None:
        yield from map(_whole, registry.collect())
        return
    for collector in list(collectors):
        make = getattr(collector, "_samples", None)
        shape = getattr(collector, "_get_metric", None)
        if callable(make) and callable(shape):
            metric = shape()
            samples = ((metric.name + sample[0], sample[1], sample[2]) for sample in make())
            yield metric.name, metric.type, metric.documentation, samples
        else:
            yield from map(_whole, collector.collect())


def _whole(metric: Any) -> Found:
    samples = [(sample.name, sample.labels, sample.value) for sample in metric.samples]
    return metric.name, metric.type, metric.documentation, samples
