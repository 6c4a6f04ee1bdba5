"""The files of the event log as retention sees them."""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from holdfast.rooms.telemetry.rules.retention import Stored
from holdfast.rooms.telemetry.rules.segments import PARQUET, day_of
from holdfast.rooms.telemetry.store.archive import PARQUET_FOLDER, REJECTED
from holdfast.rooms.telemetry.store.segment import SEALED


def finished_files(folder: Path) -> list[Stored]:
    """Every file that no process writes any more: sealed, packed, rejected and Parquet."""
    found: list[Stored] = []
    for place in (SEALED, REJECTED):
        for path in (folder / place).glob("*.jsonl*"):
            _add(found, path, day_of(path.name))
    for path in (folder / PARQUET_FOLDER).glob(f"*/*/*{PARQUET}"):
        _add(found, path, path.parent.parent.name.removeprefix("day="))
    return found


def _add(found: list[Stored], path: Path, day: str) -> None:
    with suppress(FileNotFoundError):  # another process archived or deleted it since the folder was listed
        found.append(Stored(str(path), day, path.stat().st_size))


def delete(paths: Iterable[str]) -> None:
    """Remove files, and the day and kind folders that they leave empty."""
    for name in paths:
        path = Path(name)
        path.unlink(missing_ok=True)
        if path.suffix == PARQUET:
            with suppress(OSError):  # not empty: other segments of that day remain
                path.parent.rmdir()
                path.parent.parent.rmdir()


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write on the disk under `folder`."""
    return shutil.disk_usage(folder).free
