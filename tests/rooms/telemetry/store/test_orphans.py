from pathlib import Path

from holdfast.kernel.codec import encode_json
from holdfast.rooms.telemetry.store.orphans import Orphans, seal_orphans
from holdfast.rooms.telemetry.store.reader import read_events
from holdfast.rooms.telemetry.store.segment import OPENING
from holdfast.rooms.telemetry.store.writer import SegmentLog
from tests.rooms.telemetry.store.records import MEGABYTE, ONE_OF_EACH

NAME = "20250615T150640250Z-dead.jsonl"
LINE = encode_json(ONE_OF_EACH[0]) + b"\n"


def hot(folder: Path, name: str, content: bytes) -> Path:
    path = folder / "hot" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_an_empty_folder_has_no_orphans(tmp_path: Path):
    assert seal_orphans(tmp_path) == Orphans(0, 0)


def test_a_torn_last_line_is_cut_off_and_counted(tmp_path: Path):
    hot(tmp_path, NAME, LINE * 2 + LINE[:40])
    assert list(read_events(tmp_path)) == [ONE_OF_EACH[0]] * 2
    assert seal_orphans(tmp_path) == Orphans(1, 1)
    assert (tmp_path / "sealed" / NAME).read_bytes() == LINE * 2
    assert seal_orphans(tmp_path) == Orphans(0, 0)


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path: Path):
    hot(tmp_path, NAME, LINE + b"x" * MEGABYTE)
    assert seal_orphans(tmp_path) == Orphans(1, 1)
    assert (tmp_path / "sealed" / NAME).read_bytes() == LINE


def test_a_segment_with_nothing_whole_in_it_goes(tmp_path: Path):
    hot(tmp_path, NAME, b"x" * MEGABYTE)
    hot(tmp_path, "20250615T150640251Z-dead.jsonl", b"")
    hot(tmp_path, NAME + OPENING, b"")
    assert seal_orphans(tmp_path) == Orphans(2, 1)
    assert not list((tmp_path / "hot").iterdir())
    assert not list((tmp_path / "sealed").iterdir())


def test_a_living_process_keeps_its_segment(tmp_path: Path):
    log = SegmentLog(tmp_path)
    log.append(ONE_OF_EACH[0])
    log.flush()
    assert seal_orphans(tmp_path) == Orphans(0, 0)
    log.append(ONE_OF_EACH[1])
    log.close()
    assert list(read_events(tmp_path)) == ONE_OF_EACH[:2]
