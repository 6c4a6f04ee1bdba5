import asyncio
import gc
import os

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.rooms.telemetry.engine.process import BEAT_S, ProcessMetrics, open_fds, resident_bytes
from holdfast.rooms.telemetry.engine.registry import Registry


def test_what_the_process_costs_is_read_from_the_system():
    before = open_fds()
    fd = os.open(os.devnull, os.O_RDONLY)
    assert open_fds() == before + 1
    os.close(fd)
    assert 1024 * 1024 < resident_bytes() < 1024**4


@pytest.fixture
def no_other_collections():
    """None but those that the test asks for."""
    gc.disable()
    yield
    gc.enable()


def test_counters_follow_the_process(no_other_collections):
    registry = Registry(ManualClock())
    metrics = ProcessMetrics(registry, ManualClock())
    metrics.publish()
    cpu = registry.family("holdfast_process_cpu_seconds_total").labels()
    oldest = registry.family("holdfast_process_gc_collections_total").labels("2")
    first = oldest.value
    assert 0 < cpu.value <= sum(os.times()[:2])
    gc.collect()
    metrics.publish()
    assert oldest.value == first + 1
    assert cpu.value <= sum(os.times()[:2])


def test_the_gauges_are_there_from_the_start():
    registry = Registry(ManualClock())
    ProcessMetrics(registry, ManualClock())
    registry.read_watches()
    assert registry.family("holdfast_process_start_time_seconds").labels().value == 1_750_000_000.0
    assert registry.family("holdfast_process_threads").labels().value >= 1
    assert registry.family("holdfast_process_resident_memory_bytes").labels().value > 0


class LateClock(ManualClock):
    """Each look at it, a second has gone by."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


async def test_the_heartbeat_tells_how_late_the_loop_is():
    registry = Registry(SystemClock())
    metrics = ProcessMetrics(registry, LateClock())
    lag = registry.family("holdfast_process_loop_lag_seconds").labels()
    metrics.start()
    metrics.start()
    async with asyncio.timeout(30):
        while lag.count < 2:
            await asyncio.sleep(0)
    metrics.stop()
    metrics.stop()
    assert lag.value == 2 * (1.0 - BEAT_S)
