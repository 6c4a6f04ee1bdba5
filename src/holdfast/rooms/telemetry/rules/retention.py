"""Which files of the event log have to go: by age, by total size, and when the disk runs out."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import msgspec


class Stored(msgspec.Struct, frozen=True):
    """One file that no process writes any more."""

    path: str
    day: str
    """`YYYY-MM-DD` of its records; empty when unknown, which counts as oldest."""
    size_bytes: int


class Keep(msgspec.Struct, frozen=True):
    """How much history to keep."""

    days: int
    total_bytes: int
    free_floor_bytes: int


class Verdict(msgspec.Struct, frozen=True):
    """What retention decided."""

    delete: tuple[tuple[str, str], ...] = ()
    """Path and reason: `age`, `size` or `free_disk`, oldest first."""
    shed_debug: bool = False
    """The disk stays below its floor even so: debug lines must stop."""


def decide(files: Iterable[Stored], *, today: str, free_bytes: int, keep: Keep) -> Verdict:
    """What to delete, oldest day first, given the day it is and the free bytes of the disk.

    The free-disk guard takes no file of `today`: when somebody else fills the disk, the last hours
    are what an operator needs most. It stops debug lines instead.
    """
    oldest_first = sorted(files, key=lambda file: (file.day, file.path))
    aged, rest = _split_by_age(oldest_first, (date.fromisoformat(today) - timedelta(keep.days)).isoformat())
    excess = sum(file.size_bytes for file in rest) - keep.total_bytes
    oversized = _take(rest, excess)
    rest = rest[len(oversized) :]
    freed = sum(file.size_bytes for file in [*aged, *oversized])
    missing = keep.free_floor_bytes - free_bytes - freed
    guarded = _take([file for file in rest if file.day < today], missing)
    missing -= sum(file.size_bytes for file in guarded)
    return Verdict(
        delete=(
            *((file.path, "age") for file in aged),
            *((file.path, "size") for file in oversized),
            *((file.path, "free_disk") for file in guarded),
        ),
        shed_debug=missing > 0,
    )


def _split_by_age(files: Sequence[Stored], first_day: str) -> tuple[list[Stored], list[Stored]]:
    """Files older than `first_day`, and the rest. An unknown day is old only by size, never by age."""
    aged = [file for file in files if file.day and file.day < first_day]
    return aged, [file for file in files if not file.day or file.day >= first_day]


def _take(files: Sequence[Stored], needed_bytes: int) -> list[Stored]:
    """The shortest start of `files` that holds `needed_bytes`, or all of them."""
    taken: list[Stored] = []
    for file in files:
        if needed_bytes <= 0:
            break
        taken.append(file)
        needed_bytes -= file.size_bytes
    return taken
