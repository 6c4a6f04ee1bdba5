import sys
from collections.abc import Iterator
from pathlib import Path

import prometheus_client as theirs
import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.telemetry.engine.bridge import REFRESH_S, Bridge
from holdfast.rooms.telemetry.engine.exposition import Exposition
from holdfast.rooms.telemetry.engine.registry import Registry
from holdfast.rooms.telemetry.engine.slots import Slots

BUCKETS = (0.1, 1.0)


class Custom:
    """A collector of the user's own."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("disk_free_bytes", "Free.", value=12)


class Process:
    """One worker process: our registry, its bridge and a prometheus_client registry."""

    def __init__(self, clock: ManualClock, folder: Path | None = None) -> None:
        self.theirs = theirs.CollectorRegistry()
        self.ours = Registry(clock)
        names = lambda: [family.name for family in self.ours.families()]  # noqa: E731 - a test's shorthand
        self.bridge = Bridge(clock, names, self.theirs)
        self.slots = None if folder is None else Slots(folder, self.ours, clock, bridge=self.bridge)
        self.exposition = Exposition(self.ours, clock, slots=self.slots, bridge=self.bridge)

    async def read(
        self, *, openmetrics: bool = False
    ) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        text = b"".join(await self.exposition.render(openmetrics=openmetrics)).decode()
        parse = parse_openmetrics if openmetrics else parse_text
        samples = [sample for family in parse(text) for sample in family.samples]
        return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.mark.parametrize("openmetrics", [False, True])
async def test_every_kind_of_metric_appears(clock: ManualClock, openmetrics: bool) -> None:
    process = Process(clock)
    theirs.Counter("jobs", "Jobs.", ["queue"], registry=process.theirs).labels("결제").inc(3)
    theirs.Gauge("rooms", "Rooms.", registry=process.theirs).set(4)
    theirs.Summary("size", "Size.", registry=process.theirs).observe(2)
    theirs.Histogram("wait", "Wait.", registry=process.theirs, buckets=BUCKETS).observe(0.5)
    theirs.Info("build", "Build.", registry=process.theirs).info({"version": "1"})
    theirs.Enum("state", "State.", states=["up", "down"], registry=process.theirs).state("down")
    process.theirs.register(Custom())
    found = await process.read(openmetrics=openmetrics)
    assert found["jobs_total", (("queue", "결제"),)] == 3
    assert found["rooms", ()] == 4
    assert (found["size_count", ()], found["size_sum", ()]) == (1, 2)
    assert found["wait_bucket", (("le", "0.1"),)] == 0
    assert found["wait_bucket", (("le", "1.0"),)] == 1
    assert found["build_info", (("version", "1"),)] == 1
    assert found["state", (("state", "down"),)] == 1
    assert found["disk_free_bytes", ()] == 12
    assert (("wait_created", ()) in found) is openmetrics


async def test_a_clash_is_left_out_and_said_once(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(clock)
    process.ours.counter("orders_total", "Ours.").labels().add(1)
    process.ours.histogram("wait_seconds", "Ours.").labels().observe(1)
    theirs.Counter("orders", "Theirs.", registry=process.theirs).inc(50)
    theirs.Gauge("wait_seconds", "Theirs.", registry=process.theirs).set(50)
    for _ in range(2):
        found = await process.read()
    assert found["orders_total", ()] == 1
    assert 50 not in found.values()
    assert caplog.text.count("orders of prometheus_client is not shown") == 1
    assert caplog.text.count("wait_seconds of prometheus_client is not shown") == 1


async def test_workers_add_up_and_gauges_stay_apart(clock: ManualClock, tmp_path: Path) -> None:
    processes = [Process(clock, tmp_path) for _ in range(2)]
    for number, process in enumerate(processes):
        assert process.slots is not None
        await process.slots.claim()
        theirs.Counter("jobs", "Jobs.", registry=process.theirs).inc(number + 1)
        theirs.Gauge("rooms", "Rooms.", registry=process.theirs).set(number + 10)
        theirs.Histogram("wait", "Wait.", registry=process.theirs, buckets=BUCKETS).observe(0.5)
        await process.slots.publish()
    found = await processes[0].read(openmetrics=True)
    assert found["jobs_total", ()] == 3
    assert found["rooms", (("worker", "0"),)] == 10
    assert found["rooms", (("worker", "1"),)] == 11
    assert found["wait_bucket", (("le", "1.0"),)] == 2
    for process in processes:
        assert process.slots is not None
        await process.slots.close()


async def test_a_restart_counts_on_even_before_the_metric_is_there_again(
    clock: ManualClock, tmp_path: Path
) -> None:
    for life in range(3):
        process = Process(clock, tmp_path)
        assert process.slots is not None
        await process.slots.claim()
        before = await process.read()
        assert before.get(("jobs_total", (("queue", "a"),)), 0) == 2 * life
        jobs = theirs.Counter("jobs", "Jobs.", ["queue"], registry=process.theirs)
        assert (await process.read()).get(("jobs_total", (("queue", "a"),)), 0) == 2 * life
        jobs.labels("a").inc(2)
        # Other bounds in each life: such buckets cannot be added up, so the histogram begins anew.
        theirs.Histogram("wait", "Wait.", registry=process.theirs, buckets=(life + 1.0,)).observe(0.5)
        found = await process.read(openmetrics=True)
        assert found["jobs_total", (("queue", "a"),)] == 2 * life + 2
        assert found["wait_count", ()] == 1
        clock.advance(60)
        await process.slots.close()


async def test_the_slot_gets_new_values_every_few_seconds_only(clock: ManualClock) -> None:
    process = Process(clock)
    rooms = theirs.Gauge("rooms", "Rooms.", registry=process.theirs)
    await process.bridge.refresh()
    first = process.bridge.frames
    rooms.set(1)
    await process.bridge.refresh()
    assert process.bridge.frames is first
    clock.advance(REFRESH_S)
    await process.bridge.refresh()
    assert process.bridge.frames != first


async def test_a_registry_that_only_collects_is_read_too(clock: ManualClock) -> None:
    class Plain:
        def collect(self) -> Iterator[GaugeMetricFamily]:
            return Custom().collect()

    bridge = Bridge(clock, list, Plain())
    await bridge.refresh()
    assert [(chunk.name, chunk.series[0].value) for chunk in bridge.chunks] == [("disk_free_bytes", 12)]


async def test_the_default_registry_is_found_only_when_it_is_loaded(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = Bridge(clock, list)
    with monkeypatch.context() as without:
        without.delitem(sys.modules, "prometheus_client")
        await bridge.refresh(0.0)
        assert bridge.chunks == []
    await bridge.refresh(0.0)
    assert "python_info" in {chunk.name for chunk in bridge.chunks}
