import asyncio
import logging
from pathlib import Path

import msgspec
import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.event import Event
from holdfast.kernel.ids import IdSource
from holdfast.kernel.route import Call
from holdfast.kernel.tasks import Supervisor
from holdfast.rooms.telemetry import Config, TelemetryRoom, track
from tests.waiting import until


def room(folder: Path, **settings: object) -> TelemetryRoom:
    return TelemetryRoom(
        Config(**settings), data_dir=folder, clock=SystemClock(), ids=IdSource(), supervisor=Supervisor()
    )


async def test_log_and_meter_work_before_the_start(tmp_path: Path):
    telemetry = room(tmp_path)
    telemetry.log.append(Event(path="/early"))
    telemetry.meter.counter("holdfast_test_things_total", "Things.").labels().add()
    await telemetry.stop()
    assert [record.path for record in telemetry.read()] == ["/early"]


async def test_log_calls_and_product_events_are_taken_between_start_and_stop(tmp_path: Path):
    telemetry = room(tmp_path)
    logger = logging.getLogger("tests.telemetry")
    for _ in range(2):
        await telemetry.start()
    logger.error("주문 실패", extra={"order": 7, "password": "hunter2"})
    track("bought", user_id="u", item="A-17")
    for _ in range(2):
        await telemetry.stop()
    logger.error("after")
    track("after")
    (line,) = telemetry.read(kinds=["log"])
    assert (line.message, line.facts) == ("주문 실패", {"order": 7, "password": "***"})
    (event,) = telemetry.read(kinds=["product"])
    assert (event.action, event.facts) == ("bought", {"item": "A-17"})
    assert not list((tmp_path / "events" / "hot").iterdir())


async def test_it_starts_again_after_a_stop(tmp_path: Path):
    telemetry = room(tmp_path)
    for message in ("first", "second"):
        await telemetry.start()
        logging.getLogger("tests.telemetry").error(message)
        await telemetry.stop()
    assert [record.message for record in telemetry.read()] == ["first", "second"]


async def test_the_start_reads_on_where_a_dead_process_left(tmp_path: Path):
    hot = tmp_path / "events" / "hot" / "20250615T000000000Z-dead.jsonl"
    hot.parent.mkdir(parents=True)
    hot.write_bytes(b'{"kind":"log","message":"left"}\n{"kind":"log","mess')
    telemetry = room(tmp_path)
    await telemetry.start()
    await until(lambda: telemetry.upkeep.done.converted)
    await telemetry.stop()
    assert [record.message for record in telemetry.read()] == ["left"]
    assert telemetry.meter.family("holdfast_telemetry_records_dropped_total").labels("torn").value == 1


async def test_the_event_log_can_be_off(tmp_path: Path):
    telemetry = room(tmp_path, events=False)
    await telemetry.start()
    telemetry.log.append(Event(path="/x"))
    logging.getLogger("tests.telemetry").error("x")
    await telemetry.stop()
    assert not (tmp_path / "events").exists()
    assert telemetry.checks() == ()


async def test_the_figures_stand_in_metrics(tmp_path: Path):
    telemetry = room(tmp_path)
    await telemetry.start()
    telemetry.log.append(Event(path="/x"))
    await asyncio.to_thread(telemetry.segments.flush)
    telemetry.figures.publish()
    (metrics,) = [route for route in telemetry.routes() if route.path == "/metrics"]
    answer = await metrics.handler(Call(Event()))
    text = b"".join([piece async for piece in answer.stream]).decode()
    await telemetry.stop()
    assert "holdfast_telemetry_records_written_total 1" in text
    assert 'holdfast_telemetry_records_dropped_total{reason="disk_full"} 0' in text
    assert "holdfast_process_resident_memory_bytes" in text


async def test_the_check_asks_the_log(tmp_path: Path):
    telemetry = room(tmp_path)
    (check,) = telemetry.checks()
    assert check.name == "event_log"
    assert (await check.probe()).status == "ok"
    telemetry.segments.count_dropped("io_error")
    assert (await check.probe()).status == "degraded"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("segment_mib", 0),
        ("retention_days", 0),
        ("log_level", "loud"),
        ("free_disk_floor_mib", -1),
        ("echo", 3),
    ],
)
def test_a_setting_out_of_bounds_is_refused(key: str, value: object):
    with pytest.raises(Misconfigured, match=key):
        load_settings(
            {"holdfast": msgspec.defstruct("Root", []), "telemetry": Config},
            overrides={"telemetry": {key: value}},
        )
