"""What happens to a sealed segment: Parquet when DuckDB is here, gzip when not; nothing is ever lost.

Run by one process at a time, in a thread: the long calls (DuckDB, zlib, fsync) let the interpreter go.
"""

import gzip
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from holdfast.kernel.event import AnyRecord
from holdfast.rooms.telemetry.rules.segments import HOT, PACKED, stem_of
from holdfast.rooms.telemetry.store.parquet import PARTIAL, has_duckdb, open_duckdb, write_parquet
from holdfast.rooms.telemetry.store.segment import SEALED

PARQUET_FOLDER = "parquet"
REJECTED = "rejected"
"""Lines that are no record this version knows, kept as they are for a person to look at."""

_CHUNK_BYTES = 1024 * 1024
_FASTEST = 1
_decode = msgspec.json.Decoder(AnyRecord).decode


class Archived(msgspec.Struct, frozen=True):
    """What one run did."""

    converted: int = 0
    packed: int = 0
    rejected_lines: int = 0


def archive(folder: Path, *, with_duckdb: bool | None = None) -> Archived:
    """Convert or pack every sealed segment under `folder`. Raises OSError; a second run goes on.

    The caller holds the upkeep lock, so what is half done was left by a dead process and may go.
    """
    for partial in folder.glob(f"**/*{PARTIAL}"):
        partial.unlink()
    if has_duckdb() if with_duckdb is None else with_duckdb:
        return _convert_all(folder)
    packed = 0
    for segment in sorted((folder / SEALED).glob(f"*{HOT}")):
        _pack(segment)
        packed += 1
    return Archived(packed=packed)


def _convert_all(folder: Path) -> Archived:
    import duckdb  # noqa: F401 - its 0.1 s is spent in the first round, at start, not amid traffic later

    segments = sorted([*(folder / SEALED).glob(f"*{HOT}"), *(folder / SEALED).glob(f"*{PACKED}")])
    if not segments:
        return Archived()
    rejected = 0
    connection = open_duckdb()
    try:
        for segment in segments:
            rejected += _convert(connection, segment, folder)
    finally:
        connection.close()
    return Archived(converted=len(segments), rejected_lines=rejected)


def _convert(connection: Any, segment: Path, folder: Path) -> int:
    """Lines set aside. The segment goes only when everything in it stands elsewhere."""
    rejected = 0
    if _try_parquet(connection, segment, folder / PARQUET_FOLDER) != _count_lines(segment):
        rejected = _sieve(connection, segment, folder)
    segment.unlink()
    return rejected


def _try_parquet(connection: Any, segment: Path, target: Path) -> int:
    import duckdb

    try:
        return write_parquet(connection, segment, target)
    except duckdb.Error:
        return -1


def _sieve(connection: Any, segment: Path, folder: Path) -> int:
    """Part the records of a damaged segment from the rest, line by line; the lines set aside."""
    good = segment.with_name(f"{stem_of(segment.name)}.sieved{PARTIAL}")
    aside = folder / REJECTED / f"{stem_of(segment.name)}{HOT}"
    aside.parent.mkdir(exist_ok=True)
    rejected = 0
    with opened(segment) as lines, good.open("wb") as kept, aside.open("wb") as left:
        for line in lines:
            if _is_record(line):
                kept.write(line)
            else:
                left.write(line)
                rejected += 1
    if _try_parquet(connection, good, folder / PARQUET_FOLDER) != _count_lines(good):
        # Ours to read but not DuckDB's, e.g. a number beyond 64 bits: better kept twice than lost.
        write_parquet(connection, good, folder / PARQUET_FOLDER, tolerant=True)
        with opened(segment) as lines, aside.open("wb") as left:
            shutil.copyfileobj(lines, left, _CHUNK_BYTES)
        rejected = _count_lines(aside)
    good.unlink()
    if not rejected:
        aside.unlink()
    return rejected


def _is_record(line: bytes) -> bool:
    try:
        _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _count_lines(segment: Path) -> int:
    with opened(segment) as file:
        return sum(chunk.count(b"\n") for chunk in _chunks(file))


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def opened(segment: Path) -> BinaryIO:
    """A segment's lines, packed or not."""
    return cast("BinaryIO", gzip.open(segment, "rb") if segment.name.endswith(PACKED) else segment.open("rb"))


def _pack(segment: Path) -> None:
    """`<name>.jsonl` becomes `<name>.jsonl.gz`, atomically."""
    packed = segment.with_name(stem_of(segment.name) + PACKED)
    partial = packed.with_name(packed.name + PARTIAL)
    with segment.open("rb") as source, partial.open("wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_FASTEST, filename="") as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
        raw.flush()
        os.fsync(raw.fileno())
    partial.rename(packed)
    segment.unlink()
