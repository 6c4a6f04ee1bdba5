import gzip
import shutil
from pathlib import Path

import msgspec
import pytest

from holdfast.kernel.codec import encode_json
from holdfast.kernel.event import Event, LogLine, Record
from holdfast.rooms.telemetry.store.archive import Archived, archive
from holdfast.rooms.telemetry.store.parquet import KINDS, columns, open_duckdb
from holdfast.rooms.telemetry.store.reader import read_events
from tests.rooms.telemetry.store.records import MEGABYTE, ODD_TEXTS, ONE_OF_EACH, STAMP

STEM = "20250615T150640250Z-x"


def sealed(folder: Path, content: bytes, stem: str = STEM) -> Path:
    path = folder / "sealed" / f"{stem}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def lines(*records: Record) -> bytes:
    return b"".join(encode_json(record) + b"\n" for record in records)


def by_kind(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: list(KINDS.values()).index(type(record)))


def test_every_kind_comes_back_from_parquet_as_it_went(tmp_path: Path):
    sealed(tmp_path, lines(*ONE_OF_EACH))
    assert archive(tmp_path) == Archived(converted=1)
    assert not list((tmp_path / "sealed").iterdir())
    assert list(read_events(tmp_path)) == by_kind(ONE_OF_EACH)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet"))[0] == (
        f"parquet/day=2025-06-15/kind=job/{STEM}.parquet"
    )


def test_odd_records_survive_the_round_trip(tmp_path: Path):
    texts = [*ODD_TEXTS, "가" * MEGABYTE]
    records = [
        LogLine(timestamp=STAMP, message=text, facts={"t": text, text[:9]: [text[:9]]}) for text in texts
    ]
    sealed(tmp_path, lines(*records))
    assert archive(tmp_path).rejected_lines == 0
    assert list(read_events(tmp_path)) == records


def test_columns_are_the_structs_own_and_the_same_whatever_the_records_hold(tmp_path: Path):
    sealed(tmp_path, lines(Event(timestamp=STAMP)))
    archive(tmp_path)
    (file,) = tmp_path.rglob("*.parquet")
    with open_duckdb() as connection:
        described = connection.execute(
            "DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning=false)", [str(file)]
        )
        found = {row[0]: row[1] for row in described.fetchall()}
    assert found == columns(Event)
    assert found["event.duration"] == "BIGINT"
    assert found["trace.sampled"] == "BOOLEAN"
    assert found["holdfast"] == "VARCHAR"


def test_one_name_has_one_type_in_every_kind():
    types: dict[str, set[str]] = {}
    for kind in KINDS.values():
        for name, sql_type in columns(kind).items():
            types.setdefault(name, set()).add(sql_type)
    assert {name for name, found in types.items() if len(found) > 1} == set()


def test_a_segment_over_midnight_lands_in_two_days(tmp_path: Path):
    days = ["2025-06-15T23:59:59.999Z", "2025-06-16T00:00:00.000Z"]
    sealed(tmp_path, lines(*(Event(timestamp=stamp) for stamp in days)))
    archive(tmp_path)
    assert sorted(path.name for path in (tmp_path / "parquet").iterdir()) == [
        "day=2025-06-15",
        "day=2025-06-16",
    ]


def test_a_stamp_that_is_none_counts_for_the_segments_day(tmp_path: Path):
    sealed(tmp_path, lines(Event(path="/a"), Event(timestamp="../../../etc/passwd", path="/b")))
    archive(tmp_path)
    assert [path.name for path in (tmp_path / "parquet").iterdir()] == ["day=2025-06-15"]
    assert [record.path for record in read_events(tmp_path)] == ["/a", "/b"]


def test_a_crash_between_parquet_and_deletion_doubles_nothing(tmp_path: Path):
    path = sealed(tmp_path, lines(*ONE_OF_EACH))
    copy = shutil.copy(path, tmp_path / "copy")
    archive(tmp_path)
    shutil.copy(copy, path)
    assert len(list(read_events(tmp_path))) == len(ONE_OF_EACH)
    archive(tmp_path)
    assert list(read_events(tmp_path)) == by_kind(ONE_OF_EACH)


def test_what_a_dead_process_left_half_done_goes(tmp_path: Path):
    left = tmp_path / "parquet" / "day=2025-06-15" / "kind=log" / f"{STEM}.parquet.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1 half")
    archive(tmp_path)
    assert not left.exists()


@pytest.mark.parametrize(
    "damage",
    [
        b'{"kind":"request","url.path":"torn\n',
        b'{"kind":"request","url.path":"\xff\xfe"}\n',
        b'{"kind":"of a later version","x":1}\n',
        b"\x00\x00\x00\x00\n",
        b'{"kind":"request","event.duration":"not a number"}\n',
        b"[]\n",
        b"\n",
    ],
)
def test_damaged_lines_are_set_aside_and_the_rest_converted(tmp_path: Path, damage: bytes):
    sealed(tmp_path, lines(ONE_OF_EACH[0]) + damage + lines(ONE_OF_EACH[1]))
    assert archive(tmp_path) == Archived(converted=1, rejected_lines=1)
    assert list(read_events(tmp_path)) == ONE_OF_EACH[:2]
    assert (tmp_path / "rejected" / f"{STEM}.jsonl").read_bytes() == damage
    assert not list((tmp_path / "sealed").iterdir())


def test_what_only_duckdb_cannot_hold_is_kept_beside(tmp_path: Path):
    odd = lines(Event(timestamp=STAMP, duration_ns=2**70))
    sealed(tmp_path, lines(ONE_OF_EACH[0]) + odd)
    assert archive(tmp_path).rejected_lines == 2
    assert list(read_events(tmp_path)) == [ONE_OF_EACH[0], Event(timestamp=STAMP)]
    assert odd in (tmp_path / "rejected" / f"{STEM}.jsonl").read_bytes()


def test_without_duckdb_segments_are_packed_and_still_read(tmp_path: Path):
    path = sealed(tmp_path, lines(*ONE_OF_EACH))
    content = path.read_bytes()
    assert archive(tmp_path, with_duckdb=False) == Archived(packed=1)
    (packed,) = (tmp_path / "sealed").iterdir()
    assert gzip.decompress(packed.read_bytes()) == content
    assert list(read_events(tmp_path)) == ONE_OF_EACH
    assert archive(tmp_path, with_duckdb=False) == Archived()

    assert archive(tmp_path, with_duckdb=True) == Archived(converted=1)
    assert list(read_events(tmp_path)) == by_kind(ONE_OF_EACH)


def test_a_folder_with_a_quote_in_its_name_is_no_statement(tmp_path: Path):
    folder = tmp_path / "it's; DROP TABLE lines"
    folder.mkdir()
    sealed(folder, lines(*ONE_OF_EACH))
    assert archive(folder) == Archived(converted=1)
    assert len(list(read_events(folder))) == len(ONE_OF_EACH)


def test_every_field_type_has_a_column_type():
    for kind in KINDS.values():
        for field in msgspec.structs.fields(kind):
            assert field.name == "facts" or field.type in (str, int, bool, float)
