"""kill -9: what was appended more than 200 ms before is on disk and readable."""

from pathlib import Path

import pytest

from holdfast.rooms.telemetry.store.orphans import seal_orphans
from holdfast.rooms.telemetry.store.reader import read_events
from tests.rooms.telemetry.store.records import child
from tests.waiting import wait_until

PROMISED_S = 0.2

UNDER_LOAD = """
import sys, time
from pathlib import Path
from holdfast.kernel.event import Event
from holdfast.rooms.telemetry.store.writer import SegmentLog

log = SegmentLog(Path(sys.argv[1]))
number = 0
while True:
    for _ in range(20):
        log.append(Event(path="/x" * 100, status=number))
        number += 1
        sum(range(2_000))  # a request's own work: some 20,000 records a second, and never a pause
    print(number - 1, time.monotonic(), flush=True)
"""

BUSY_LOOP = """
import asyncio, sys, time
from pathlib import Path
from holdfast.kernel.event import Event
from holdfast.rooms.telemetry.engine.nudge import Nudger
from holdfast.rooms.telemetry.store.writer import SegmentLog

async def serve():
    log = SegmentLog(Path(sys.argv[1]))
    Nudger(log).start()
    number = 0
    while True:
        log.append(Event(path="/x" * 100, status=number))
        print(number, time.monotonic(), flush=True)
        number += 1
        sum(range(40_000))
        await asyncio.sleep(0)  # the loop polls, which lets the interpreter go for an instant

asyncio.run(serve())
"""

BUSY = """
import sys
from pathlib import Path
from holdfast.kernel.event import Event
from holdfast.rooms.telemetry.store.writer import SegmentLog

log = SegmentLog(Path(sys.argv[1]))
for number in range(10):
    log.append(Event(status=number))
print("appended", flush=True)
while True:
    pass
"""


def said(line: str) -> tuple[int, float]:
    """The number of a record, and when it had been appended."""
    number, at = line.split()
    return int(number), float(at)


@pytest.mark.alone
@pytest.mark.parametrize("script", [UNDER_LOAD, BUSY_LOOP], ids=["flat out", "busy event loop"])
def test_under_load_nothing_older_than_the_promise_is_lost(script: str, tmp_path: Path):
    process = child(script, tmp_path)
    assert process.stdout is not None
    told = [said(process.stdout.readline())]
    while told[-1][1] - told[0][1] <= 1.0:
        told.append(said(process.stdout.readline()))
    process.kill()
    process.wait()
    told += [said(line) for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    # By its own last word, not by when it was killed: what holds it up until then holds its thread up too.
    due = max(number for number, at in told if at <= told[-1][1] - PROMISED_S)
    assert due > 100
    found = [record.status for record in read_events(tmp_path)]
    assert found == list(range(len(found)))
    assert len(found) > due

    repaired = seal_orphans(tmp_path)
    assert repaired.sealed >= 1
    assert [record.status for record in read_events(tmp_path)] == found
    assert not list((tmp_path / "hot").iterdir())


def test_a_program_that_never_yields_still_gets_its_records_out(tmp_path: Path):
    process = child(BUSY, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "appended\n"
    try:
        wait_until(lambda: len(list(read_events(tmp_path))) == 10)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
