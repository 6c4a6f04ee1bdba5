"""Everything that was written, read back: hot, sealed, packed and Parquet as one stream of records."""

from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from holdfast.kernel.clock import Stamps
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.event import AnyRecord, Record
from holdfast.rooms.telemetry.rules.segments import HOT as HOT_SUFFIX
from holdfast.rooms.telemetry.rules.segments import PACKED, PARQUET, stem_of
from holdfast.rooms.telemetry.store.archive import PARQUET_FOLDER, opened
from holdfast.rooms.telemetry.store.parquet import KINDS, has_duckdb, read_parquet
from holdfast.rooms.telemetry.store.segment import HOT, SEALED

_decode = msgspec.json.Decoder(AnyRecord).decode


def read_events(
    folder: Path,
    kinds: Collection[str] | None = None,
    since: float | None = None,
    until: float | None = None,
) -> Iterator[Record]:
    """Every record under `folder`, once, in the order of the segments (as written, or by kind in Parquet).

    `kinds` are tags (`request`, `log`, ...); `since` (inclusive) and `until` (exclusive) are seconds since
    the epoch. A line that is no whole record - torn by a crash, or being written this moment - is passed
    over. Loops in Python over every record: for tests, exports and offline work, not for the event loop.
    """
    stamps = Stamps()
    first = "" if since is None else stamps.iso(since)
    end = None if until is None else stamps.iso(until)
    for stem in _stems(folder):
        for record in _read_segment(folder, stem, kinds):
            if kinds is not None and record.__struct_config__.tag not in kinds:
                continue
            if record.timestamp >= first and (end is None or record.timestamp < end):
                yield record


def _stems(folder: Path) -> list[str]:
    found = {
        stem_of(path.name)
        for place in (folder / HOT, folder / SEALED)
        for path in (*place.glob(f"*{HOT_SUFFIX}"), *place.glob(f"*{PACKED}"))
    }
    found.update(stem_of(path.name) for path in (folder / PARQUET_FOLDER).glob(f"*/*/*{PARQUET}"))
    return sorted(found)


def _read_segment(folder: Path, stem: str, kinds: Collection[str] | None) -> Iterator[Record]:
    """A segment moves hot, sealed, Parquet, and stands in two places for a moment: the first found counts."""
    for path in (
        folder / HOT / (stem + HOT_SUFFIX),
        folder / SEALED / (stem + HOT_SUFFIX),
        folder / SEALED / (stem + PACKED),
    ):
        try:
            lines = opened(path)
        except FileNotFoundError:
            continue
        with lines:
            yield from _decoded(lines)
        return
    for kind in KINDS if kinds is None else kinds:
        for file in sorted((folder / PARQUET_FOLDER).glob(f"*/kind={kind}/{stem}{PARQUET}")):
            if not has_duckdb():
                raise Misconfigured(
                    f"{file} cannot be read without DuckDB", hint="pip install 'holdfast[analytics]'"
                )
            yield from read_parquet(file)


def _decoded(lines: Iterator[bytes]) -> Iterator[Record]:
    for line in lines:
        try:
            record = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        yield record
