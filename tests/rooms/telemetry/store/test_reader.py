from pathlib import Path

from holdfast.kernel.clock import Stamps
from holdfast.kernel.codec import encode_json
from holdfast.kernel.event import Event, LogLine
from holdfast.rooms.telemetry.store.archive import archive
from holdfast.rooms.telemetry.store.reader import read_events

NOON_S = 1_750_000_000.0


def write(folder: Path, place: str, stem: str, *messages: str, tail: bytes = b"") -> None:
    path = folder / place / f"{stem}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(encode_json(LogLine(message=text)) + b"\n" for text in messages) + tail)


def messages(folder: Path) -> list[str]:
    return [record.message for record in read_events(folder)]


def test_nothing_there_is_nothing_read(tmp_path: Path):
    assert list(read_events(tmp_path / "absent")) == []


def test_hot_sealed_and_parquet_are_one_stream_in_order(tmp_path: Path):
    write(tmp_path, "sealed", "20250615T000000001Z-a", "one", "two")
    archive(tmp_path)
    write(tmp_path, "sealed", "20250615T000000002Z-a", "three")
    archive(tmp_path, with_duckdb=False)
    write(tmp_path, "sealed", "20250615T000000003Z-a", "four")
    write(tmp_path, "hot", "20250615T000000004Z-a", "five", tail=b'{"kind":"log","mess')
    assert messages(tmp_path) == ["one", "two", "three", "four", "five"]


def test_a_segment_in_two_places_is_read_once(tmp_path: Path):
    write(tmp_path, "hot", "20250615T000000001Z-a", "one")
    write(tmp_path, "sealed", "20250615T000000001Z-a", "one")
    assert messages(tmp_path) == ["one"]


def test_a_segment_that_moves_on_while_it_is_read_is_found_where_it_went(tmp_path: Path):
    write(tmp_path, "sealed", "20250615T000000001Z-a", "one")
    write(tmp_path, "sealed", "20250615T000000002Z-a", "two")
    stream = read_events(tmp_path)
    assert next(stream).message == "one"
    archive(tmp_path)
    assert [record.message for record in stream] == ["two"]


def test_kinds_and_times_choose(tmp_path: Path):
    stamps = Stamps()
    path = tmp_path / "sealed" / "20250615T000000001Z-a.jsonl"
    path.parent.mkdir()
    path.write_bytes(
        b"".join(
            encode_json(kind(timestamp=stamps.iso(NOON_S + second))) + b"\n"
            for second in range(3)
            for kind in (Event, LogLine)
        )
    )

    def chosen(**choice: object) -> list[tuple[str, int]]:
        return [
            (type(record).__name__, int(record.timestamp[17:19]) - 40)
            for record in read_events(tmp_path, **choice)
        ]

    for _ in range(2):  # as lines, then as Parquet
        assert chosen(kinds={"request"}) == [("Event", 0), ("Event", 1), ("Event", 2)]
        assert sorted(chosen(since=NOON_S + 1, until=NOON_S + 2)) == [("Event", 1), ("LogLine", 1)]
        assert chosen(kinds=["log"], since=NOON_S + 1.5) == [("LogLine", 2)]
        assert chosen(kinds=["no such kind"]) == []
        archive(tmp_path)
