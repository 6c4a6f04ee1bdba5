from pathlib import Path

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.event import LogLine, Record
from holdfast.rooms.telemetry.engine.upkeep import LOCK, Upkeep
from holdfast.rooms.telemetry.rules.retention import Keep
from holdfast.rooms.telemetry.store.lock import sole_holder
from holdfast.rooms.telemetry.store.reader import read_events
from holdfast.rooms.telemetry.store.writer import SegmentLog
from tests.rooms.telemetry.store.records import child

AMPLE = Keep(days=30, total_bytes=10**12, free_floor_bytes=0)
DAY_S = 86_400.0


def upkeep(folder: Path, clock: ManualClock, keep: Keep = AMPLE) -> Upkeep:
    return Upkeep(SegmentLog(folder, clock=clock), keep, clock)


def day_of_records(folder: Path, clock: ManualClock, count: int = 10) -> None:
    log = SegmentLog(folder, clock=clock)
    for number in range(count):
        log.append(LogLine(message="x" * 100, facts={"n": number}))
    log.close()


def torn(folder: Path) -> None:
    path = folder / "hot" / "20250615T000000000Z-dead.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'{"kind":"log","message":"whole"}\n{"kind":"log","mess')


def read(folder: Path) -> list[Record]:
    return list(read_events(folder))


async def test_a_round_seals_what_the_dead_left_and_archives_it(tmp_path: Path):
    torn(tmp_path)
    clock = ManualClock()
    keeper = upkeep(tmp_path, clock)
    await keeper.turn()
    assert keeper.done.orphans == 1
    assert keeper.done.converted == 1
    assert keeper._log.dropped["torn"] == 1
    assert [record.message for record in read(tmp_path)] == ["whole"]
    assert not list((tmp_path / "hot").iterdir())


def test_a_quiet_process_s_old_segment_is_archived(tmp_path: Path):
    clock = ManualClock()
    keeper = upkeep(tmp_path, clock)
    keeper._log.append(LogLine(message="x"))
    keeper.run()
    assert keeper.done.converted == 0
    clock.advance(301)
    keeper.run()
    assert keeper.done.converted == 1


def test_days_beyond_retention_go(tmp_path: Path):
    clock = ManualClock()
    day_of_records(tmp_path, clock)
    keeper = upkeep(tmp_path, clock, Keep(days=2, total_bytes=10**12, free_floor_bytes=0))
    keeper.run()
    clock.advance(2 * DAY_S)
    keeper.run()
    assert len(read(tmp_path)) == 10
    clock.advance(DAY_S)
    keeper.run()
    assert read(tmp_path) == []
    assert keeper.done.deleted == {"age": 1}
    assert not list((tmp_path / "parquet").iterdir())


def test_the_oldest_go_when_the_whole_is_too_big(tmp_path: Path):
    clock = ManualClock()
    keeper = upkeep(tmp_path, clock)
    for _ in range(3):
        day_of_records(tmp_path, clock)
        keeper.run()
        clock.advance(DAY_S)
    small = upkeep(tmp_path, clock, Keep(days=30, total_bytes=keeper.total_bytes - 1, free_floor_bytes=0))
    small.run()
    assert small.done.deleted == {"size": 1}
    assert small.total_bytes < keeper.total_bytes
    assert len(read(tmp_path)) == 20


def test_a_disk_below_its_floor_loses_old_days_then_debug_lines(tmp_path: Path):
    clock = ManualClock()
    day_of_records(tmp_path, clock)
    clock.advance(DAY_S)
    day_of_records(tmp_path, clock)
    keeper = upkeep(tmp_path, clock, Keep(days=30, total_bytes=10**12, free_floor_bytes=10**18))
    keeper.run()
    assert keeper.done.deleted == {"free_disk": 1}
    assert keeper.shed_debug
    assert len(read(tmp_path)) == 10


def test_while_another_process_is_at_it_a_round_leaves_the_files_alone(tmp_path: Path):
    torn(tmp_path)
    keeper = upkeep(tmp_path, ManualClock())
    with sole_holder(tmp_path / LOCK) as alone:
        assert alone
        keeper.run()
    assert keeper.done.orphans == 0
    keeper.run()
    assert keeper.done.orphans == 1


BOTH = """
import sys
from pathlib import Path
from holdfast.kernel.clock import SystemClock
from holdfast.rooms.telemetry.engine.upkeep import Upkeep
from holdfast.rooms.telemetry.rules.retention import Keep
from holdfast.rooms.telemetry.store.writer import SegmentLog

folder = Path(sys.argv[1])
keeper = Upkeep(SegmentLog(folder), Keep(100_000, 10**12, 0), SystemClock())
print("ready", flush=True)
sys.stdin.readline()
while list((folder / "sealed").iterdir()) or list((folder / "hot").iterdir()):
    keeper.run()
print(keeper.done.orphans, keeper.done.converted, keeper.done.rejected_lines)
"""


def test_two_processes_at_once_archive_everything_exactly_once(tmp_path: Path):
    clock = ManualClock()
    for _ in range(8):
        day_of_records(tmp_path, clock, 200)
        clock.advance(1)
    torn(tmp_path)
    expected = len(read(tmp_path))
    both = [child(BOTH, tmp_path) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    figures = [process.communicate(timeout=120)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [sum(int(figure[index]) for figure in figures) for index in range(3)] == [1, 9, 0]
    assert len(read(tmp_path)) == expected == 1_601
    assert not list(tmp_path.rglob("*.partial"))
