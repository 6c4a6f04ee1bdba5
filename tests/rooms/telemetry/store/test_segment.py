import errno
import os
from pathlib import Path

import pytest

from holdfast.rooms.telemetry.store.lock import sole_holder
from holdfast.rooms.telemetry.store.orphans import seal_orphans
from holdfast.rooms.telemetry.store.segment import Segment
from tests.rooms.telemetry.store.records import output_of

NAME = "20250615T150640250Z-x.jsonl"

PARTIAL_WRITE = """
import resource, sys
from pathlib import Path
from holdfast.rooms.telemetry.store.segment import Segment

segment = Segment(Path(sys.argv[1]), "20250615T150640250Z-x.jsonl", 0.0)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (25, hard))
count, error = segment.write([b"0123456789", b"0123456789", b"0123456789"])
print(count, error.errno, segment.size, segment.broken, segment.path.read_bytes())
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(*segment.write([b"next"]), segment.path.read_bytes())
"""


def test_a_write_that_got_half_way_leaves_whole_lines_only(tmp_path: Path):
    first, second = output_of(PARTIAL_WRITE, tmp_path).splitlines()
    assert first == rf"2 {errno.EFBIG} 22 False b'0123456789\n0123456789\n'"
    assert second == r"1 None b'0123456789\n0123456789\nnext\n'"


def test_a_torn_line_that_cannot_be_cut_off_leaves_the_segment_to_be_repaired(tmp_path: Path):
    segment = Segment(tmp_path, NAME, 0.0)
    segment.write([b"whole"])
    os.write(segment._fd, b"torn")
    readonly = os.open(segment.path, os.O_RDONLY)
    os.dup2(readonly, segment._fd)
    os.close(readonly)
    assert segment._keep_whole(b"torn") == 0
    assert segment.broken
    segment.seal()
    assert seal_orphans(tmp_path).torn == 1
    assert (tmp_path / "sealed" / NAME).read_bytes() == b"whole\n"


def test_a_name_is_never_taken_twice(tmp_path: Path):
    first = Segment(tmp_path, NAME, 0.0)
    (tmp_path / "hot" / (NAME + ".opening")).touch()
    with pytest.raises(FileExistsError):
        Segment(tmp_path, NAME, 0.0)
    first.seal()
    assert not first.path.exists()


def test_sealing_after_somebody_deleted_the_folder_is_quiet(tmp_path: Path):
    segment = Segment(tmp_path, NAME, 0.0)
    segment.write([b"x"])
    segment.path.unlink()
    segment.seal()
    assert not list((tmp_path / "sealed").iterdir())


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path):
    path = tmp_path / "a" / "lock"
    with sole_holder(path) as first, sole_holder(path) as second:
        assert (first, second) == (True, False)
    with sole_holder(path) as again:
        assert again
