from pathlib import Path

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.event import LogLine
from holdfast.rooms.telemetry.engine.figures import RECENT_S, LogFigures
from holdfast.rooms.telemetry.engine.lines import LineSink
from holdfast.rooms.telemetry.engine.registry import Registry
from holdfast.rooms.telemetry.engine.upkeep import Upkeep
from holdfast.rooms.telemetry.rules.retention import Keep
from holdfast.rooms.telemetry.store.writer import SegmentLog
from tests.waiting import until


class Parts:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.log = SegmentLog(folder, clock=self.clock)
        self.upkeep = Upkeep(self.log, Keep(30, 10**12, 0), self.clock)
        self.lines = LineSink(self.log)
        self.registry = Registry(self.clock)
        self.figures = LogFigures(self.log, self.upkeep, self.lines, self.registry, self.clock)

    def value(self, name: str, *labels: str) -> float:
        return self.registry.family(name).labels(*labels).value

    async def finding(self):
        return await self.figures.check().probe()


@pytest.fixture
def parts(tmp_path: Path):
    parts = Parts(tmp_path)
    yield parts
    parts.log.close()


def test_counters_grow_by_what_was_added_since(parts: Parts):
    parts.log.append(LogLine(message="x"))
    parts.log.flush()
    parts.log.count_dropped("backlog", 3)
    parts.upkeep.done.deleted["age"] = 2
    parts.upkeep.done.rejected_lines = 5
    for _ in range(2):
        parts.figures.publish()
        assert parts.value("holdfast_telemetry_records_written_total") == 1
        assert parts.value("holdfast_telemetry_records_dropped_total", "backlog") == 3
        assert parts.value("holdfast_telemetry_records_dropped_total", "disk_full") == 0
        assert parts.value("holdfast_telemetry_files_deleted_total", "age") == 2
        assert parts.value("holdfast_telemetry_lines_rejected_total") == 5
    parts.log.count_dropped("backlog")
    parts.figures.publish()
    assert parts.value("holdfast_telemetry_records_dropped_total", "backlog") == 4


def test_gauges_are_read_when_asked(parts: Parts):
    parts.upkeep.total_bytes = 77
    parts.registry.read_watches()
    assert parts.value("holdfast_telemetry_log_bytes") == 77
    assert parts.value("holdfast_telemetry_waiting_records") == 0


async def test_a_healthy_log_is_ok(parts: Parts):
    finding = await parts.finding()
    assert (finding.status, finding.detail) == ("ok", "")
    assert finding.facts == {"written": 0, "waiting": 0, "dropped": {}}


async def test_dropped_records_degrade_it_for_a_minute(parts: Parts):
    parts.log.count_dropped("disk_full", 7)
    finding = await parts.finding()
    assert finding.status == "degraded"
    assert finding.detail == "records were dropped in the last minute: {'disk_full': 7}"
    parts.clock.advance(RECENT_S)
    assert (await parts.finding()).status == "ok"
    assert (await parts.finding()).facts["dropped"] == {"disk_full": 7}


async def test_a_disk_that_refuses_is_named(tmp_path: Path):
    in_the_way = tmp_path / "events"
    in_the_way.write_text("a file where the folder should be")
    parts = Parts(in_the_way)
    parts.log.append(LogLine(message="x"))
    await until(lambda: parts.log.failure)
    assert not parts.log.flush(0.01)
    finding = await parts.finding()
    assert finding.status == "degraded"
    assert "Not a directory" in finding.detail or "File exists" in finding.detail
    assert "1 records wait in memory" in finding.detail
    in_the_way.unlink()
    assert parts.log.flush(30)
    assert (await parts.finding()).status == "ok"
    parts.log.close()


async def test_a_nearly_full_disk_stops_debug_lines_and_says_so(parts: Parts):
    parts.upkeep.shed_debug = True
    parts.figures.publish()
    assert not parts.lines.wants("debug")
    assert parts.lines.wants("info")
    parts.figures.publish()
    assert parts.value("holdfast_telemetry_records_dropped_total", "debug") == 1
    assert "debug lines are stopped" in (await parts.finding()).detail
    parts.upkeep.shed_debug = False
    parts.figures.publish()
    assert parts.lines.wants("debug")
