"""The files behind the worker slots: locks that die with their process, atomic writes, cheap re-reads."""

import asyncio
import logging
import os
import re
import weakref
from collections.abc import Sequence
from pathlib import Path

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.telemetry.engine.slices import Slices
from holdfast.rooms.telemetry.engine.snapshot import Chunk, chunk_of, frames, header_of

MAX_SLOTS = 64
STALE_S = 10.0
"""A slot that was not written for this long belongs to a dead worker: its gauges are left out."""

_SLOT = re.compile(r"slot-(\d+)\.metrics")

logger = logging.getLogger("holdfast.telemetry")


class Neighbour:
    """What one slot held when it was read."""

    __slots__ = ("chunks", "live", "number")

    def __init__(self, number: int, live: bool, chunks: Sequence[Chunk]) -> None:
        self.number = number
        self.live = live
        self.chunks = chunks


class SlotLock:
    """A slot's number, ours until `release` or until the process dies."""

    def __init__(self, number: int, fd: int) -> None:
        self.number = number
        self._fd = fd
        # A forked child that outlives us would otherwise hold the slot in our name. Weakly: the hook
        # outlives the lock, and by then its descriptor's number may be somebody else's.
        weak = weakref.WeakMethod(self.release)
        os.register_at_fork(after_in_child=lambda: (found := weak()) and found())

    def release(self) -> None:
        """Free the slot; legal twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def take_lock(folder: Path, most: int = MAX_SLOTS) -> SlotLock:
    """The lowest slot that no living process holds."""
    import fcntl  # not on Windows, where one worker needs no slot

    for number in range(most):
        fd = os.open(folder / f"slot-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        return SlotLock(number, fd)
    raise Misconfigured(
        f"all {most} metric slots in {folder} are held by running workers",
        hint="run fewer workers on one data_dir, or give each server a data_dir of its own",
    )


def slot_path(folder: Path, number: int) -> Path:
    """Where a slot's figures are."""
    return folder / f"slot-{number}.metrics"


def slot_numbers(folder: Path) -> list[int]:
    """The slots that were ever written, in order."""
    found = (_SLOT.fullmatch(name) for name in os.listdir(folder))  # noqa: PTH208 - names are all it takes
    return sorted(int(match.group(1)) for match in found if match)


def replace_file(folder: Path, number: int, content: Sequence[bytes], wall_s: float) -> None:
    """Write a slot's file beside the old one and swap them; its time of change is `wall_s`.

    Not synced: a crash of the machine may cost the slot, never a request.
    """
    path = slot_path(folder, number)
    fresh = path.with_suffix(".part")
    with open(fresh, "wb") as file:  # noqa: PTH123 - Path.open is a Python frame more for nothing
        file.writelines(content)  # each piece is larger than the buffer, and no copy of all is made
    os.utime(fresh, (wall_s, wall_s))
    fresh.replace(path)


class SlotReader:
    """Reads one slot again and again, decoding only the chunks whose bytes have changed."""

    def __init__(self, folder: Path, number: int, clock: Clock) -> None:
        self._path = slot_path(folder, number)
        self._number = number
        self._clock = clock
        self._identity: tuple[int, int, int] | None = None
        self._known: dict[bytes, Chunk] = {}
        self._chunks: list[Chunk] = []
        self._open = False
        self._warned = False

    async def read(self, slices: Slices) -> Neighbour | None:
        """What the slot holds now; None where there is no file, or none that can be read."""
        try:
            state = self._path.stat()
            identity = (state.st_ino, state.st_size, state.st_mtime_ns)
            if identity != self._identity:
                await self._decode(await asyncio.to_thread(self._path.read_bytes), slices)
                self._identity, self._warned = identity, False
        except FileNotFoundError:
            return None
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            if not self._warned:
                logger.warning("the metrics in %s cannot be read and are left out: %s", self._path, error)
            self._warned = True
            return None
        live = self._open and abs(self._clock.wall() - state.st_mtime) <= STALE_S
        return Neighbour(self._number, live, self._chunks)

    async def _decode(self, raw: bytes, slices: Slices) -> None:
        fresh: dict[bytes, Chunk] = {}
        payloads = frames(raw)
        self._open = header_of(next(payloads, b"")).open
        for payload in payloads:
            fresh[payload] = self._known.get(payload) or chunk_of(payload)
            if slices.over():
                await slices.rest()
        self._known = fresh
        self._chunks = list(fresh.values())
