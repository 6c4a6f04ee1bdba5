import asyncio
import os
import select
import threading
from pathlib import Path

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.event import Event, LogLine, ProductEvent, Record
from holdfast.rooms.telemetry.store.reader import read_events
from holdfast.rooms.telemetry.store.segment import Segment
from holdfast.rooms.telemetry.store.writer import MOST_UNANSWERED, SegmentLog
from tests.rooms.telemetry.store.records import MEGABYTE, ODD_TEXTS, ONE_OF_EACH, STAMP, output_of
from tests.waiting import until, wait_until


@pytest.fixture
def log(tmp_path: Path):
    log = SegmentLog(tmp_path)
    yield log
    log.close()


def lines_under(folder: Path) -> list[bytes]:
    return [
        line
        for path in sorted(folder.rglob("*.jsonl"))
        for line in path.read_bytes().splitlines(keepends=True)
    ]


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.jsonl"))


def test_every_kind_comes_back_as_it_went(log: SegmentLog, tmp_path: Path):
    for record in ONE_OF_EACH:
        log.append(record)
    assert log.flush()
    assert list(read_events(tmp_path)) == ONE_OF_EACH
    assert log.written == len(ONE_OF_EACH)
    assert sum(log.dropped.values()) == 0


def test_who_taps_sees_what_tells_something_until_it_leaves(log: SegmentLog):
    plain, telling = Event(path="/plain"), Event(path="/telling", facts={"exposed": "f=treatment 1 u"})
    bought = ProductEvent(action="bought")
    seen: list[Record] = []
    leave = log.tap(seen.append)
    for record in (plain, telling, bought):
        log.append(record)
    assert seen == [telling, bought]
    leave()
    log.append(bought)
    assert len(seen) == 2


async def test_a_record_reaches_the_disk_by_itself(log: SegmentLog, tmp_path: Path):
    log.append(ONE_OF_EACH[0])
    await until(lambda: list(read_events(tmp_path)))
    await until(lambda: log.waiting == 0)
    log.append(ONE_OF_EACH[1])
    await until(lambda: len(list(read_events(tmp_path))) == 2)


def test_odd_text_takes_one_line_each(log: SegmentLog, tmp_path: Path):
    for text in ODD_TEXTS:
        log.append(LogLine(timestamp=STAMP, message=text, facts={"text": text, text: 1}))
    log.flush()
    assert len(lines_under(tmp_path)) == len(ODD_TEXTS)
    found = list(read_events(tmp_path))
    assert [record.message for record in found] == ODD_TEXTS
    assert [record.facts["text"] for record in found] == ODD_TEXTS


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_what_json_has_no_form_for_is_cleaned(log: SegmentLog, tmp_path: Path):
    loop: list[object] = []
    loop.append(loop)
    odd = {
        "lone": "\udcff",
        "object": complex(1, 2),
        "set": {1},
        "keys": {(1, 2): 3},
        "loop": loop,
        "huge": 2**90,
    }
    for name, value in odd.items():
        log.append(Event(path="\ud800", facts={name: value}))
    log.flush()
    found = [record.facts for record in read_events(tmp_path)]
    assert found[0] == {"lone": "\\udcff"}
    assert found[1] == {"object": "(1+2j)"}
    assert found[2] == {"set": [1]}
    assert found[3] == {"keys": {"(1, 2)": 3}}
    assert "…" in repr(found[4])
    assert found[5] == {"huge": 2**90}


def test_what_cannot_be_written_at_all_is_counted(log: SegmentLog, tmp_path: Path):
    log.append(Event(facts={"x": Unprintable()}))
    log.append("not a record")  # type: ignore[arg-type] # the promise is never to raise
    log.append(ONE_OF_EACH[0])
    log.flush()
    assert log.dropped["unencodable"] == 2
    assert log.dropped_at_s is not None
    assert list(read_events(tmp_path)) == [ONE_OF_EACH[0]]


def test_a_megabyte_is_cut_and_marked(log: SegmentLog, tmp_path: Path):
    log.append(
        LogLine(message="가" * MEGABYTE, error_stack="\x00" * MEGABYTE, facts={"body": "x" * MEGABYTE})
    )
    log.append(Event(facts={"rows": list(range(MEGABYTE))}))
    log.append(LogLine(message="\udcff" * MEGABYTE))
    log.flush()
    assert all(len(line) < 256 * 1024 for line in lines_under(tmp_path))
    line, event, odd = read_events(tmp_path)
    assert line.message.endswith(f"… [cut, {MEGABYTE} characters in all]")
    assert line.facts["body"].startswith("xxx")
    assert "cut" in event.facts
    assert odd.message.startswith("\\udcff")


def test_secrets_never_reach_the_disk(log: SegmentLog, tmp_path: Path):
    log.append(Event(facts={"rows": 1}))
    log.append(Event(facts={"rows": {"password": "hunter2"}}))
    log.append(Event(facts={"api_key": "hunter2", "rows": 1}))
    log.append(Event(facts={"headers": [{"Authorization": "hunter2"}], "note": "\udcff"}))
    log.append(LogLine(message="x" * MEGABYTE, facts={"비밀번호": "hunter2"}))
    log.flush()
    assert b"hunter2" not in b"".join(lines_under(tmp_path))
    assert [bool(record.facts) for record in read_events(tmp_path)] == [True] * 5


def test_masking_leaves_the_callers_record_alone(log: SegmentLog):
    event = Event(facts={"token": "abc"})
    log.append(event)
    assert event.facts == {"token": "abc"}


def test_eight_threads_tear_no_line(log: SegmentLog, tmp_path: Path):
    def write(worker: int) -> None:
        for number in range(2_000):
            log.append(Event(user_id=f"{worker}", status=number, facts={"w": worker}))

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.flush(30)
    found = [(record.user_id, record.status) for record in read_events(tmp_path)]
    for worker in range(8):
        assert [status for user, status in found if user == str(worker)] == list(range(2_000))


def test_a_segment_is_sealed_when_big(tmp_path: Path):
    log = SegmentLog(tmp_path, segment_bytes=10_000)
    for number in range(50):
        log.append(LogLine(message="x" * 1_000, facts={"n": number}))
        log.flush()
    assert len(list((tmp_path / "sealed").iterdir())) == 5
    log.close()
    assert [record.facts["n"] for record in read_events(tmp_path)] == list(range(50))


def test_a_segment_is_sealed_when_old_even_in_a_quiet_process(tmp_path: Path):
    clock = ManualClock()
    log = SegmentLog(tmp_path, clock=clock, segment_age_s=300)
    log.append(ONE_OF_EACH[0])
    log.flush()
    clock.advance(299)
    log.flush()
    assert not list((tmp_path / "sealed").iterdir())
    clock.advance(1)
    log.flush()
    assert not list((tmp_path / "hot").iterdir())
    assert len(list((tmp_path / "sealed").iterdir())) == 1
    log.close()


def test_a_clock_stepped_back_an_hour_keeps_names_apart_and_in_order(tmp_path: Path):
    clock = ManualClock()
    log = SegmentLog(tmp_path, clock=clock)
    for number in range(4):
        log.append(LogLine(facts={"n": number}))
        log.roll()
        clock.step_wall(-3600 if number == 1 else 0)
    log.close()
    assert len(set(segments(tmp_path))) == 4
    assert [record.facts["n"] for record in read_events(tmp_path)] == [0, 1, 2, 3]


def test_closing_seals_and_a_later_record_opens_anew(tmp_path: Path):
    log = SegmentLog(tmp_path)
    assert log.close()
    log.append(ONE_OF_EACH[0])
    assert log.close()
    assert log.close()
    assert not list((tmp_path / "hot").iterdir())
    log.append(ONE_OF_EACH[1])
    assert log.close()
    assert len(segments(tmp_path)) == 2
    assert list(read_events(tmp_path)) == ONE_OF_EACH[:2]


def test_nothing_is_made_before_the_first_record(tmp_path: Path):
    log = SegmentLog(tmp_path / "events")
    log.close()
    assert not (tmp_path / "events").exists()


@pytest.fixture
def opened(log: SegmentLog) -> tuple[SegmentLog, Segment, int]:
    """A log with an open segment, and a copy of that segment's real descriptor."""
    log.append(LogLine(message="before"))
    log.flush()
    segment = log._segment
    assert segment is not None
    return log, segment, os.dup(segment._fd)


def test_a_full_disk_costs_no_record_when_space_comes_back(opened, tmp_path: Path):
    log, segment, real = opened
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, segment._fd)
    log.append(LogLine(message="while full"))
    wait_until(lambda: log.failure)
    assert log.failure == "No space left on device"
    assert not log.flush(0.01)
    assert log.waiting == 1
    os.dup2(real, segment._fd)
    assert log.flush(30)
    assert log.failure == ""
    assert [record.message for record in read_events(tmp_path)] == ["before", "while full"]
    assert sum(log.dropped.values()) == 0
    os.close(full)
    os.close(real)


async def test_a_full_disk_that_stays_full_drops_the_oldest_and_counts(tmp_path: Path):
    log = SegmentLog(tmp_path, backlog_bytes=256 * 1024)
    log.append(LogLine(message="before"))
    log.flush()
    real = os.dup(log._segment._fd)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._segment._fd)
    log.append(LogLine(message="first refused"))
    await until(lambda: log.failure)
    for number in range(2_000):
        log.append(LogLine(message="x" * 500, facts={"n": number}))
    assert 0 < log.dropped["disk_full"] < 2_001
    assert log.waiting * 500 < 400 * 1024
    os.dup2(real, log._segment._fd)
    assert log.flush(30)
    log.close()
    found = list(read_events(tmp_path))
    assert len(found) == 2_002 - log.dropped["disk_full"]
    assert found[0].message == "before"
    assert found[-1].facts["n"] == 1_999
    os.close(full)
    os.close(real)


async def test_a_hung_disk_holds_up_nobody(tmp_path: Path):
    log = SegmentLog(tmp_path, backlog_bytes=256 * 1024)
    log.append(LogLine(message="before"))
    log.flush()
    real = os.dup(log._segment._fd)
    outlet, inlet = os.pipe()
    os.dup2(inlet, log._segment._fd)
    os.close(inlet)
    for number in range(4_000):
        log.append(LogLine(message="x" * 500, facts={"n": number}))
    inlet_is_free = select.poll()
    inlet_is_free.register(log._segment._fd, select.POLLOUT)
    await until(lambda: not inlet_is_free.poll(0))  # the thread hangs in its write
    assert log.dropped["backlog"] > 0
    for _ in range(2 * MOST_UNANSWERED):
        log.nudge()
    assert log._unanswered == MOST_UNANSWERED  # from now on nobody stands back for a thread that hangs
    assert not log.flush(0.05)

    async def drain() -> None:
        os.set_blocking(outlet, False)
        done = asyncio.create_task(asyncio.to_thread(log.flush, 60))
        while not done.done():
            try:
                os.read(outlet, MEGABYTE)
            except BlockingIOError:
                await asyncio.sleep(0)
        assert await done

    await drain()
    assert log.written + log.dropped["backlog"] == 4_001
    assert log._unanswered < MOST_UNANSWERED  # the thread answers again, so it is waited for again
    os.dup2(real, log._segment._fd)
    log.append(LogLine(message="after"))
    log.close()
    assert [record.message for record in read_events(tmp_path)] == ["before", "after"]
    os.close(outlet)
    os.close(real)


LIMITED = """
import resource, sys
from pathlib import Path
from holdfast.kernel.event import LogLine
from holdfast.rooms.telemetry.store.writer import SegmentLog

log = SegmentLog(Path(sys.argv[1]), backlog_bytes=256 * 1024)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
for number in range(1_000):
    log.append(LogLine(message="x" * 500, facts={"n": number}))
    if number % 100 == 99: assert log.flush(30)
print(sum(log.dropped.values()), log.failure)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
for number in range(1_000, 3_000):
    log.append(LogLine(message="x" * 500, facts={"n": number}))
    while number == 1_200 and not log.failure: log.flush(0.1)
print(log.dropped["disk_full"], log.failure)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.append(LogLine(message="space again", facts={"n": 3_000}))
assert log.flush(30)
print(log.dropped["disk_full"], log.failure)
log.close()
"""


def test_a_limit_on_file_size_splits_segments_then_drops_then_recovers(tmp_path: Path):
    within, beyond, after = output_of(LIMITED, tmp_path).splitlines()
    assert within == "0 "
    refused, failure = beyond.split(" ", 1)
    assert int(refused) > 0
    assert failure == "File too large"
    dropped, failure = after.split(" ", 1)
    assert int(dropped) >= int(refused)
    assert failure == ""
    lines = lines_under(tmp_path)
    assert all(line.endswith(b"\n") for line in lines)
    found = [record.facts["n"] for record in read_events(tmp_path)]
    assert len(found) == len(lines) == 3_001 - int(dropped)
    assert found[:1_000] == list(range(1_000))
    assert found == sorted(found)
    assert found[-1] == 3_000


UNCLOSED = """
import sys
from pathlib import Path
from holdfast.kernel.event import LogLine
from holdfast.rooms.telemetry.store.writer import SegmentLog

log = SegmentLog(Path(sys.argv[1]))
log.append(LogLine(message="last words"))
"""


def test_a_process_that_just_ends_leaves_nothing_behind(tmp_path: Path):
    output_of(UNCLOSED, tmp_path)
    assert [record.message for record in read_events(tmp_path)] == ["last words"]
    assert not list((tmp_path / "hot").iterdir())


FORKED = """
import os, sys
from pathlib import Path
from holdfast.kernel.event import LogLine
from holdfast.rooms.telemetry.store.writer import SegmentLog

log = SegmentLog(Path(sys.argv[1]))
log.append(LogLine(message="before, written"))
log.flush()
log.append(LogLine(message="before, waiting"))
child = os.fork()
log.append(LogLine(message="parent" if child else "child"))
assert log.close()
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_child_writes_its_own_segment_and_nothing_twice(tmp_path: Path):
    output_of(FORKED, tmp_path)
    found = sorted(record.message for record in read_events(tmp_path))
    assert found == ["before, waiting", "before, written", "child", "parent"]
    assert len(segments(tmp_path)) == 2
