"""What /metrics says: the series of this worker and its neighbours, merged, in slices of half a millisecond.

The text of a series is kept with the values it was made from, so a series that has not changed costs
two comparisons. Between slices the loop serves whatever is ready.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import fsum

from holdfast.kernel.clock import Clock
from holdfast.rooms.telemetry.engine.bridge import SUMMED, Bridge
from holdfast.rooms.telemetry.engine.registry import Registry
from holdfast.rooms.telemetry.engine.series import Reading
from holdfast.rooms.telemetry.engine.slices import Slices
from holdfast.rooms.telemetry.engine.slots import Slots
from holdfast.rooms.telemetry.engine.snapshot import Chunk
from holdfast.rooms.telemetry.rules import exposition as text
from holdfast.rooms.telemetry.rules.cardinality import WORKER, unit_of
from holdfast.rooms.telemetry.rules.histogram import bounds_for, cumulative, merge

Labels = tuple[str, ...]

PIECE_BYTES = 65_536
"""One body of megabytes would be new pages to fill in one go: a stall of its own."""


class Merged:
    """One metric as all workers have it: its shape, and the series of each worker."""

    __slots__ = ("foreign", "kind", "label_names", "meaning", "name", "over_workers", "parts")

    def __init__(
        self,
        name: str,
        kind: str,
        meaning: str,
        label_names: Labels,
        over_workers: str,
        *,
        foreign: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.meaning = meaning
        self.label_names = label_names
        self.over_workers = over_workers
        self.foreign = foreign
        self.parts: dict[str, dict[Labels, Reading]] = {}
        """By worker, then by label values."""

    def add(self, worker: str, chunk: Chunk) -> None:
        """Take a chunk of the same metric; workers of two releases may differ for a while."""
        mine = (self.kind, self.label_names, self.over_workers, self.foreign)
        if mine == (chunk.kind, chunk.labels, chunk.over_workers, chunk.foreign):
            part = self.parts.setdefault(worker, {})
            part.update((series.labels, series) for series in chunk.series)

    def rows(self) -> Iterator[tuple[Labels, list[Reading]]]:
        """Each set of label values, with the readings of all workers that have it."""
        parts = list(self.parts.values())
        for place, part in enumerate(parts):
            rest = parts[place + 1 :]
            fresh = list(part)
            for earlier in parts[:place]:  # most workers have the same series: after the first, none is left
                fresh = [labels for labels in fresh if labels not in earlier]
            for labels in fresh:
                yield labels, [part[labels], *(other[labels] for other in rest if labels in other)]


class _Kept:
    """The text of one histogram series, and the values it says."""

    __slots__ = ("count", "template", "text", "value")

    def __init__(self, template: str) -> None:
        self.template = template
        self.text = b""
        self.count = -1
        self.value = 0.0


class Exposition:
    """Renders a registry, and the worker slots and the prometheus_client bridge where there are any."""

    def __init__(
        self, registry: Registry, clock: Clock, *, slots: Slots | None = None, bridge: Bridge | None = None
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._slots = slots
        self._bridge = bridge
        self._kept: dict[tuple[str, bool], dict[Labels, _Kept]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def render(self, *, openmetrics: bool = False) -> list[bytes]:
        """The whole body, in pieces of about PIECE_BYTES.

        What it says is in this worker's slot before it is returned, so that even a kill -9 right after
        leaves the successor with every count that was ever shown.
        """
        async with self._one_at_a_time:
            slices = Slices(self._clock)
            if self._bridge is not None:
                await self._bridge.refresh(0.0)
            pieces: list[bytes] = []
            lines: list[bytes] = []
            size = 0
            for family in await self._gather(slices):
                for line in self._family(family, openmetrics=openmetrics):
                    lines.append(line)
                    size += len(line)
                    if size >= PIECE_BYTES:
                        pieces.append(b"".join(lines))
                        lines, size = [], 0
                    if slices.over():
                        await slices.rest()
            pieces.append(b"".join(lines) + (b"# EOF\n" if openmetrics else b""))
            if self._slots is not None:
                await self._slots.publish()
            return pieces

    async def distributions(self, name: str) -> tuple[Labels, dict[Labels, dict[int, int]]]:
        """The label names of a histogram, and for each label set its counts over all workers."""
        slices = Slices(self._clock)
        found: dict[Labels, dict[int, int]] = {}
        names: Labels = ()
        for family in await self._gather(slices):
            if family.name != name or family.kind != "histogram":
                continue
            names = family.label_names
            for labels, readings in family.rows():
                found[labels] = _counts(readings)
                if slices.over():
                    await slices.rest()
        return names, found

    async def _gather(self, slices: Slices) -> list[Merged]:
        self._registry.read_watches()
        found: dict[str, Merged] = {}
        own = str(self._slots.number) if self._slots is not None else ""
        for family in self._registry.families():
            merged = Merged(family.name, family.kind, family.meaning, family.label_names, family.over_workers)
            found[family.name] = merged
            merged.parts[own] = dict(family.series)
        for chunk in list(self._bridge.chunks) if self._bridge is not None else ():
            _add(found, own, chunk)
            if slices.over():
                await slices.rest()
        for neighbour in await self._slots.neighbours(slices) if self._slots is not None else ():
            for chunk in neighbour.chunks:
                if neighbour.live or chunk.kind in SUMMED:
                    _add(found, str(neighbour.number), chunk)
                    if slices.over():
                        await slices.rest()
        return list(found.values())

    def _family(self, family: Merged, *, openmetrics: bool) -> Iterator[bytes]:
        if family.foreign:
            yield from self._foreign(family, openmetrics=openmetrics)
            return
        unit = unit_of(family.name)
        yield text.head(family.name, family.kind, family.meaning, unit, openmetrics=openmetrics).encode()
        if family.kind == "histogram":
            yield from self._histograms(family, openmetrics=openmetrics)
        else:
            yield from self._numbers(family, openmetrics=openmetrics)

    def _histograms(self, family: Merged, *, openmetrics: bool) -> Iterator[bytes]:
        kept = self._kept.setdefault((family.name, openmetrics), {})
        bounds = bounds_for(unit_of(family.name))
        for labels, readings in family.rows():
            known = kept.get(labels)
            if known is None:
                pairs = text.label_pairs(family.label_names, labels)
                template = text.histogram_template(family.name, pairs, bounds, openmetrics=openmetrics)
                known = kept[labels] = _Kept(template)
            count = sum(reading.count for reading in readings)
            value = _total([reading.value for reading in readings])
            if known.count != count or known.value != value:
                known.text = _filled(known.template, value, readings, bounds, openmetrics).encode()
                known.count, known.value = count, value
            yield known.text

    def _numbers(self, family: Merged, *, openmetrics: bool) -> Iterator[bytes]:
        if self._shows_each(family):
            names = (*family.label_names, WORKER)
            for worker, readings in family.parts.items():
                for reading in readings.values():
                    pairs = text.label_pairs(names, (*reading.labels, worker))
                    yield text.sample(family.name, pairs, reading.value).encode()
            return
        total = max if family.over_workers == "max" else _total
        for labels, found in family.rows():
            pairs = text.label_pairs(family.label_names, labels)
            line = text.sample(family.name, pairs, total([reading.value for reading in found]))
            if openmetrics and family.kind == "counter":
                created = min(reading.created for reading in found)
                line += text.sample(family.name.removesuffix("_total") + "_created", pairs, created)
            yield line.encode()

    def _foreign(self, family: Merged, *, openmetrics: bool) -> Iterator[bytes]:
        name, kind = text.foreign_shape(family.name, family.kind, openmetrics=openmetrics)
        yield text.head(name, kind, family.meaning, "", openmetrics=openmetrics).encode()
        if self._shows_each(family):
            for worker, readings in family.parts.items():
                for (sample, *labels), reading in readings.items():
                    pairs = text.label_pairs((*labels[::2], WORKER), (*labels[1::2], worker))
                    yield text.sample(sample, pairs, reading.value).encode()
            return
        for (sample, *labels), found in family.rows():
            created = sample.endswith("_created")
            if created and not openmetrics:
                continue  # the plain format has no such sample
            total = min if created else _total
            pairs = text.label_pairs(labels[::2], labels[1::2])
            yield text.sample(sample, pairs, total([reading.value for reading in found])).encode()

    def _shows_each(self, family: Merged) -> bool:
        return self._slots is not None and self._slots.number >= 0 and family.over_workers == "each"


def _add(found: dict[str, Merged], worker: str, chunk: Chunk) -> None:
    known = found.get(chunk.name)
    if known is None:
        known = found[chunk.name] = Merged(
            chunk.name,
            chunk.kind,
            chunk.meaning,
            chunk.labels,
            chunk.over_workers,
            foreign=chunk.foreign,
        )
    known.add(worker, chunk)


def _total(values: Sequence[float]) -> float:
    """Their sum, the same in whichever order the workers come: a counter must not fall by one rounding."""
    found = sum(values)
    return found if isinstance(found, int) else fsum(values)


def _counts(readings: Sequence[Reading]) -> dict[int, int]:
    counts = readings[0].counts.copy()
    for reading in readings[1:]:
        merge(counts, reading.counts)
    return counts


def _filled(
    template: str,
    value: float,
    readings: Sequence[Reading],
    bounds: tuple[float, ...],
    openmetrics: bool,
) -> str:
    buckets = cumulative(_counts(readings), bounds)
    total = (text.number(value), buckets[-1])
    if not openmetrics:
        return template % (*buckets, *total)
    shown = _exemplars(readings, bounds)
    marked = (part for place, count in enumerate(buckets) for part in (count, shown.get(place, "")))
    created = min(reading.created for reading in readings)
    return template % (*marked, *total, text.number(created))


def _exemplars(readings: Sequence[Reading], bounds: tuple[float, ...]) -> dict[int, str]:
    """The newest exemplar of each classic bucket, by the bucket that its very value lies in."""
    newest: dict[int, tuple[float, str, float]] = {}
    for reading in readings:
        for found in reading.exemplars.copy().values():
            place = bisect_left(bounds, found[0])
            if place not in newest or newest[place][2] < found[2]:
                newest[place] = found
    return {place: text.exemplar(trace, value, stamp) for place, (value, trace, stamp) in newest.items()}
