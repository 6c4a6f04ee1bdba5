"""One round of housekeeping over the event log's files: seal what the dead left, archive, sweep."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.rooms.telemetry.rules.retention import Keep, decide
from holdfast.rooms.telemetry.store.archive import archive
from holdfast.rooms.telemetry.store.files import delete, finished_files, free_bytes
from holdfast.rooms.telemetry.store.lock import sole_holder
from holdfast.rooms.telemetry.store.orphans import seal_orphans
from holdfast.rooms.telemetry.store.writer import SegmentLog

LOCK = "upkeep.lock"


class Round(msgspec.Struct):
    """What the rounds of this process did, added up."""

    orphans: int = 0
    converted: int = 0
    packed: int = 0
    rejected_lines: int = 0
    deleted: dict[str, int] = {}
    """Files deleted, by reason."""


class Upkeep:
    """Keeps the folder of one SegmentLog in order, together with other processes on the same folder."""

    def __init__(self, log: SegmentLog, keep: Keep, clock: Clock) -> None:
        self._log = log
        self._keep = keep
        self._wall = clock.wall
        self.done = Round()
        self.shed_debug = False
        """The disk stays below its floor: debug lines should stop."""
        self.total_bytes = 0

    async def turn(self) -> None:
        """One round, in a thread; raises OSError when the disk fails, and the next round tries again."""
        await asyncio.to_thread(self.run)

    def run(self) -> None:
        """One round, here. Another process that is at it already makes this one only look after its own."""
        self._log.flush()  # also seals a segment that has grown old in a quiet process
        with sole_holder(self._log.folder / LOCK) as alone:
            if alone:
                # First, because on a full disk there is no room to convert anything.
                self.shed_debug = self._sweep(self._log.folder)
                self._tidy(self._log.folder)
            else:
                self.shed_debug = free_bytes(self._log.folder) < self._keep.free_floor_bytes
        self.total_bytes = sum(file.size_bytes for file in finished_files(self._log.folder))

    def _tidy(self, folder: Path) -> None:
        found = seal_orphans(folder)
        self.done.orphans += found.sealed
        if found.torn:
            self._log.count_dropped("torn", found.torn)
        archived = archive(folder)
        self.done.converted += archived.converted
        self.done.packed += archived.packed
        self.done.rejected_lines += archived.rejected_lines

    def _sweep(self, folder: Path) -> bool:
        today = datetime.fromtimestamp(self._wall(), UTC).date().isoformat()
        verdict = decide(finished_files(folder), today=today, free_bytes=free_bytes(folder), keep=self._keep)
        delete(path for path, _ in verdict.delete)
        for _, reason in verdict.delete:
            self.done.deleted[reason] = self.done.deleted.get(reason, 0) + 1
        return verdict.shed_debug
