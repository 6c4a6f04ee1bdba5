"""Segments of processes that died: found by their free lock, repaired, sealed."""

import os
from pathlib import Path

import msgspec

from holdfast.rooms.telemetry.rules.segments import HOT as HOT_SUFFIX
from holdfast.rooms.telemetry.rules.segments import whole_length
from holdfast.rooms.telemetry.store.lock import is_same_file, try_lock
from holdfast.rooms.telemetry.store.segment import HOT, OPENING, SEALED

_BLOCK_BYTES = 64 * 1024


class Orphans(msgspec.Struct, frozen=True):
    """What one look found."""

    sealed: int = 0
    torn: int = 0
    """Last lines cut off because their process died in the middle of them."""


def seal_orphans(folder: Path) -> Orphans:
    """Repair and seal every segment under `folder`/hot whose process is gone. Raises OSError."""
    sealed = torn = 0
    (folder / SEALED).mkdir(parents=True, exist_ok=True)
    for path in sorted((folder / HOT).glob(f"*{HOT_SUFFIX}")):
        cut = _seal(path, folder / SEALED / path.name)
        if cut is not None:
            sealed += 1
            torn += cut
    for path in (folder / HOT).glob(f"*{OPENING}"):
        _remove_unborn(path)
    return Orphans(sealed, torn)


def _seal(path: Path, target: Path) -> int | None:
    """Lines cut off, or None when the segment is somebody's, or somebody else was faster."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if not try_lock(fd) or not is_same_file(fd, path):
            return None
        size = os.fstat(fd).st_size
        whole = _whole_size(fd, size)
        if whole != size:
            os.ftruncate(fd, whole)
        if whole:
            path.rename(target)
        else:
            path.unlink()
        return int(whole != size)
    finally:
        os.close(fd)


def _whole_size(fd: int, size: int) -> int:
    """The file's length up to and with its last newline."""
    end = size
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        whole = whole_length(os.pread(fd, end - start, start))
        if whole:
            return start + whole
        end = start
    return 0


def _remove_unborn(path: Path) -> None:
    """A file whose process died between creating and locking it is empty and nobody's."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if try_lock(fd) and is_same_file(fd, path):
            path.unlink()
    finally:
        os.close(fd)
