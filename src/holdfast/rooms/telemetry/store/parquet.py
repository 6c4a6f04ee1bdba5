"""Sealed segments as Parquet: fixed columns a kind, one file a segment, day and kind; and back.

Every statement in here is built from the record's own field names, which are constants of the code;
values are passed as parameters except in COPY, which takes none, and there they are checked first.
"""

import importlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from holdfast.kernel.event import AnyRecord, Record
from holdfast.rooms.telemetry.rules.segments import PARQUET, day_of, is_day, stem_of

KINDS: dict[str, type[Record]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyRecord)}
"""Every kind of record by its tag."""
PARTIAL = ".partial"

_SQL_TYPES: dict[Any, str] = {str: "VARCHAR", int: "BIGINT", bool: "BOOLEAN", float: "DOUBLE"}
_FACTS = "holdfast"
_LONGEST_LINE_BYTES = 32 * 1024 * 1024
_ROWS = 1000


def has_duckdb() -> bool:
    """Whether the `analytics` extra is installed."""
    return importlib.util.find_spec("duckdb") is not None


def columns(kind: type[Record]) -> dict[str, str]:
    """Column name to SQL type, in the Struct's order. Facts are the text of a JSON object."""
    return {
        field.encode_name: _SQL_TYPES.get(field.type, "VARCHAR") for field in msgspec.structs.fields(kind)
    }


def open_duckdb() -> Any:
    """A connection in memory that takes one thread and never reaches for the network."""
    duckdb = importlib.import_module("duckdb")
    config = {
        "threads": 1,
        "memory_limit": "512MB",
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    return duckdb.connect(":memory:", config=config)


def write_parquet(connection: Any, segment: Path, target: Path, *, tolerant: bool = False) -> int:
    """Write the records of `segment` under `target`/day=.../kind=.../; how many there were.

    Each file appears whole or not at all, and doing it again replaces it with the same, so a crash
    at any point is mended by another run. Records of unknown kinds are left out; a line that is no record
    raises duckdb.Error, unless `tolerant`: then what does not fit a column is lost.
    """
    connection.execute(_LOAD, [str(segment), _READ_COLUMNS, tolerant])
    rows = 0
    for day, kind, count in connection.execute(_PARTS, [day_of(segment.name)]).fetchall():
        if not is_day(day):
            continue
        folder = target / f"day={day}" / f"kind={kind}"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{stem_of(segment.name)}{PARQUET}"
        partial = file.with_name(file.name + PARTIAL)
        connection.execute(_copy(kind, day, day_of(segment.name), partial))
        _make_durable(partial)
        partial.rename(file)
        _make_durable(folder)
        rows += count
    connection.execute("DROP TABLE lines")
    return rows


def read_parquet(file: Path) -> Iterator[Record]:
    """The records of one Parquet file. The folder `kind=...` says which kind."""
    kind = KINDS.get(file.parent.name.removeprefix("kind="))
    if kind is None:
        return
    connection = open_duckdb()
    try:
        found = connection.execute("SELECT * FROM read_parquet(?, hive_partitioning = false)", [str(file)])
        names = [column[0] for column in found.description]
        while rows := found.fetchmany(_ROWS):
            for row in rows:
                yield _record(kind, dict(zip(names, row, strict=True)))
    finally:
        connection.close()


def _record(kind: type[Record], row: dict[str, Any]) -> Record:
    given = {name: value for name, value in row.items() if value is not None}
    if _FACTS in given:
        given[_FACTS] = msgspec.json.decode(given[_FACTS])
    given["kind"] = kind.__struct_config__.tag
    return msgspec.convert(given, kind)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _all_columns() -> dict[str, str]:
    found = {"kind": "VARCHAR"}
    for kind in KINDS.values():
        found.update(columns(kind))
    return {**found, _FACTS: "JSON"}


_READ_COLUMNS = _all_columns()
_KNOWN = ", ".join(map(_text, KINDS))
_LOAD = (
    "CREATE OR REPLACE TEMP TABLE lines AS SELECT * FROM read_json(?, format = 'newline_delimited', "  # noqa: S608 - constants only
    f"columns = ?, ignore_errors = ?, compression = 'auto', maximum_object_size = {_LONGEST_LINE_BYTES})"
)


def _day(fallback: str) -> str:
    stamp = 'left("@timestamp", 10)'
    return (
        rf"CASE WHEN regexp_full_match({stamp}, '\d{{4}}-\d{{2}}-\d{{2}}') THEN {stamp} ELSE {fallback} END"
    )


_PARTS = (
    f"SELECT {_day('?')} AS day, kind, count(*) FROM lines "  # noqa: S608 - constants only
    f"WHERE kind IN ({_KNOWN}) GROUP BY ALL ORDER BY ALL"
)


def _copy(kind: str, day: str, segment_day: str, to: Path) -> str:
    chosen = ", ".join(
        f"CAST({_quoted(name)} AS {sql_type}) AS {_quoted(name)}"
        for name, sql_type in columns(KINDS[kind]).items()
    )
    return (
        f"COPY (SELECT {chosen} FROM lines WHERE kind = {_text(kind)} "  # noqa: S608 - names are constants, day and kind are checked
        f"AND {_day(_text(segment_day))} = {_text(day)}) TO {_text(str(to))} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )


def _make_durable(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
