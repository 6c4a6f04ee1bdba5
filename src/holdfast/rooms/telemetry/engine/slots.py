"""Metrics over several worker processes, through a fixed number of files that successors take over.

Each worker holds the lowest free slot by `flock` on `slot-<n>.lock` (the kernel frees it when the
process dies, however it dies) and writes its series to `slot-<n>.metrics` once a second, replaced
atomically. A worker that takes a slot over begins where the former one stood: counters and histograms
never fall over a restart, gauges start fresh, and the number of files never grows with restarts.

A single worker without slots starts its counters at zero; Prometheus reads that as the reset it is.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path

from holdfast.kernel.clock import Clock
from holdfast.rooms.telemetry.engine.bridge import Bridge
from holdfast.rooms.telemetry.engine.registry import Family, Registry
from holdfast.rooms.telemetry.engine.series import BoundSeries
from holdfast.rooms.telemetry.engine.slices import Slices
from holdfast.rooms.telemetry.engine.slot_files import (
    Neighbour,
    SlotLock,
    SlotReader,
    replace_file,
    slot_numbers,
    take_lock,
)
from holdfast.rooms.telemetry.engine.snapshot import CHUNK_SERIES, MAGIC, Chunk, Header, frame, save

PUBLISH_S = 1.0
FORGET_S = 7 * 86_400.0
"""A series that has not changed for this long is not taken over: routes and labels do go away."""

_MARKS: dict[str, Callable[[BoundSeries], float]] = {
    "counter": attrgetter("value"),
    "gauge": attrgetter("value"),
    "histogram": attrgetter("count"),
}

logger = logging.getLogger("holdfast.telemetry")


class _Encoded:
    """A chunk's frame, and the values by which to see that it is still true."""

    __slots__ = ("family", "frame", "marks")

    def __init__(self, family: Family[BoundSeries], marks: list[float], frame: bytes) -> None:
        self.family = family
        self.marks = marks
        self.frame = frame


class Slots:
    """This worker's slot, and sight of the others: `claim`, then `publish` every PUBLISH_S, then `close`."""

    def __init__(
        self, folder: Path, registry: Registry, clock: Clock, *, bridge: Bridge | None = None
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._clock = clock
        self._bridge = bridge
        self._lock: SlotLock | None = None
        self._encoded: dict[tuple[str, int], _Encoded] = {}
        self._writing = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._failing = False
        self._readers: dict[int, SlotReader] = {}
        self.number = -1
        """The slot held, or -1 before `claim` and after `close`."""

    async def claim(self) -> int:
        """Take the lowest free slot and what its former worker counted; Misconfigured when none is free."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(self._folder)
        self.number = self._lock.number
        slices = Slices(self._clock)
        former = await SlotReader(self._folder, self.number, self._clock).read(slices)
        for chunk in former.chunks if former is not None else ():
            self._inherit(chunk)
            if slices.over():
                await slices.rest()
        return self.number

    async def publish(self) -> None:
        """Write what has changed since the last time. A disk that refuses is logged once and tried again."""
        async with self._writing:
            if self.number < 0:
                return
            if self._bridge is not None:
                await self._bridge.refresh()
            await self._write(open_=True)

    async def close(self) -> None:
        """Leave the last values for the successor and free the slot."""
        async with self._writing:
            if self.number < 0:
                return
            await self._write(open_=False)
            if self._lock is not None:
                self._lock.release()
            self.number, self._lock = -1, None

    async def neighbours(self, slices: Slices) -> list[Neighbour]:
        """What the other slots hold, those of stopped workers included: their counts have happened.

        Nothing before `claim` and after `close`: without a slot of our own, one of them could be ours.
        """
        async with self._reading:
            found: list[Neighbour] = []
            if self.number < 0:
                return found
            for number in slot_numbers(self._folder):
                if number != self.number:
                    neighbour = await self._reader(number).read(slices)
                    if neighbour is not None:
                        found.append(neighbour)
            return found

    def _reader(self, number: int) -> SlotReader:
        if number not in self._readers:
            self._readers[number] = SlotReader(self._folder, number, self._clock)
        return self._readers[number]

    def _inherit(self, chunk: Chunk) -> None:
        oldest = self._clock.wall() - FORGET_S
        former = [series for series in chunk.series if series.seen >= oldest]
        if not former:
            return
        if not chunk.foreign:
            self._registry.inherit(chunk.kind, chunk.name, chunk.meaning, chunk.labels, former)
        elif self._bridge is not None:
            self._bridge.inherit(chunk, former)

    async def _write(self, *, open_: bool) -> None:
        self._registry.read_watches()
        content = [MAGIC, frame(Header(self.number, os.getpid(), open_)), *await self._encode()]
        try:
            await asyncio.to_thread(replace_file, self._folder, self.number, content, self._clock.wall())
        except OSError as error:
            if not self._failing:
                logger.warning("metrics are not shared with the other workers until it works: %s", error)
            self._failing = True
        else:
            self._failing = False

    async def _encode(self) -> list[bytes]:
        slices = Slices(self._clock)
        await slices.rest()  # whoever asked has worked in this turn of the loop already
        found: list[bytes] = []
        for family in self._registry.families():
            members = list(family.series.values())
            for start in range(0, len(members), CHUNK_SERIES):
                found.append(self._chunk(family, start, members[start : start + CHUNK_SERIES]))
                if slices.over():
                    await slices.rest()
        if self._bridge is not None:
            found.extend(self._bridge.frames)
        return found

    def _chunk(self, family: Family[BoundSeries], start: int, members: Sequence[BoundSeries]) -> bytes:
        marks = list(map(_MARKS[family.kind], members))
        known = self._encoded.get((family.name, start))
        if known is not None and known.marks == marks and known.family is family:
            return known.frame
        now = self._clock.wall()
        before = known.marks if known is not None else []
        for series, mark, former in zip(members, marks, before, strict=False):
            if mark != former:
                series.seen = now
        made = frame(
            Chunk(
                family.name,
                family.kind,
                family.meaning,
                family.label_names,
                family.over_workers,
                False,
                [save(series) for series in members],
            )
        )
        self._encoded[family.name, start] = _Encoded(family, marks, made)
        return made
