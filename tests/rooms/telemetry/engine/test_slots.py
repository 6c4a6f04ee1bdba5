import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.telemetry.engine.exposition import Exposition
from holdfast.rooms.telemetry.engine.registry import Registry
from holdfast.rooms.telemetry.engine.slices import Slices
from holdfast.rooms.telemetry.engine.slot_files import STALE_S, slot_path, take_lock
from holdfast.rooms.telemetry.engine.slots import FORGET_S, Slots

WORKER = """
import asyncio, sys
from pathlib import Path
from holdfast.kernel.clock import SystemClock
from holdfast.rooms.telemetry.engine.registry import Registry
from holdfast.rooms.telemetry.engine.slots import Slots

async def main():
    registry = Registry(SystemClock())
    slots = Slots(Path(sys.argv[1]), registry, SystemClock())
    number = await slots.claim()
    orders = registry.counter("orders_total", "Orders.").labels()
    orders.add(int(sys.argv[2]))
    registry.gauge("rooms", "Rooms.").labels().set(9)
    await slots.publish()
    print(number, orders.value, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Worker:
    """What one worker has, in this process."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.registry = Registry(clock)
        self.slots = Slots(folder, self.registry, clock)
        self.exposition = Exposition(self.registry, clock, slots=self.slots)

    async def text(self) -> str:
        return b"".join(await self.exposition.render()).decode()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def workers(tmp_path: Path, clock: ManualClock) -> AsyncIterator[list[Worker]]:
    made = [Worker(tmp_path, clock) for _ in range(3)]
    for worker in made:
        await worker.slots.claim()
    yield made
    for worker in made:
        await worker.slots.close()


async def test_each_worker_takes_the_lowest_free_slot(
    workers: list[Worker], tmp_path: Path, clock: ManualClock
) -> None:
    assert [worker.slots.number for worker in workers] == [0, 1, 2]
    await workers[1].slots.close()
    successor = Worker(tmp_path, clock)
    assert await successor.slots.claim() == 1
    await successor.slots.close()


async def test_counters_and_histograms_add_up_over_workers(workers: list[Worker]) -> None:
    for number, worker in enumerate(workers):
        worker.registry.counter("orders_total", "Orders.", ("shop",)).labels("서울").add(10**number)
        worker.registry.histogram("wait_seconds", "Waits.").labels().observe(number + 0.1)
        await worker.slots.publish()
    for worker in workers:
        text = await worker.text()
        assert 'orders_total{shop="서울"} 111\n' in text
        assert 'wait_seconds_bucket{le="2.5"} 3\n' in text
        assert 'wait_seconds_bucket{le="1.0"} 1\n' in text
        assert "wait_seconds_sum 3.3000000000000003\n" in text


async def test_a_metric_that_only_a_neighbour_has_is_shown(workers: list[Worker]) -> None:
    workers[2].registry.counter("rare_total", "Rare.").labels().add(4)
    await workers[2].slots.publish()
    assert "rare_total 4\n" in await workers[0].text()


async def test_gauges_are_shown_for_each_worker_or_as_declared(workers: list[Worker]) -> None:
    for number, worker in enumerate(workers):
        worker.registry.gauge("rooms", "Rooms.").labels().set(number)
        worker.registry.gauge("in_flight", "In flight.", over_workers="sum").labels().set(number)
        worker.registry.watch("free_bytes", "Free.", lambda number=number: number, over_workers="max")
        await worker.slots.publish()
    text = await workers[1].text()
    assert [line for line in text.splitlines() if line.startswith("rooms")] == [
        'rooms{worker="1"} 1',
        'rooms{worker="0"} 0',
        'rooms{worker="2"} 2',
    ]
    assert "\nin_flight 3\n" in text
    assert "\nfree_bytes 2.0\n" in text


async def test_gauges_of_a_stopped_or_dead_worker_go_and_its_counters_stay(
    workers: list[Worker], clock: ManualClock
) -> None:
    for worker in workers:
        worker.registry.gauge("rooms", "Rooms.").labels().set(1)
        worker.registry.counter("orders_total", "Orders.").labels().add()
        await worker.slots.publish()
    await workers[1].slots.close()
    assert 'rooms{worker="1"}' not in await workers[0].text()
    clock.advance(STALE_S + 1)
    text = await workers[0].text()
    assert 'rooms{worker="2"}' not in text
    assert 'rooms{worker="0"} 1\n' in text
    assert "orders_total 3\n" in text


async def test_a_scrape_is_in_the_slot_before_it_is_answered(workers: list[Worker], tmp_path: Path) -> None:
    workers[0].registry.counter("orders_total", "Orders.").labels().add(5)
    assert "orders_total 5\n" in await workers[0].text()
    assert "orders_total 5\n" in await workers[1].text()


async def test_without_a_slot_there_is_only_this_worker(tmp_path: Path, clock: ManualClock) -> None:
    worker = Worker(tmp_path / "not made yet", clock)
    worker.registry.counter("orders_total", "Orders.").labels().add()
    worker.registry.gauge("rooms", "Rooms.").labels().set(2)
    early = await worker.text()
    await worker.slots.claim()
    await worker.slots.close()
    for text in (early, await worker.text()):
        assert "\norders_total 1\n" in text
        assert "\nrooms 2\n" in text


async def test_a_restart_counts_on_and_makes_no_new_file(tmp_path: Path, clock: ManualClock) -> None:
    shown = []
    for _ in range(5):
        worker = Worker(tmp_path, clock)
        await worker.slots.claim()
        shown.append(await worker.text())
        worker.registry.counter("orders_total", "Orders.", ("shop",)).labels("a").add(2)
        worker.registry.histogram("wait_seconds", "Waits.").labels().observe(1)
        worker.registry.gauge("rooms", "Rooms.").labels().set(3)
        shown.append(await worker.text())
        await worker.slots.close()
    for run, (early, late) in enumerate(zip(shown[::2], shown[1::2], strict=True)):
        assert f'orders_total{{shop="a"}} {2 * run + 2}\n' in late
        assert f"wait_seconds_count {run + 1}\n" in late
        assert run == 0 or f'orders_total{{shop="a"}} {2 * run}\n' in early, (
            "kept before it is registered again"
        )
        assert "rooms{" not in early
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slot-0.lock", "slot-0.metrics"]


async def test_series_that_nobody_touched_for_a_week_are_forgotten(
    tmp_path: Path, clock: ManualClock
) -> None:
    first = Worker(tmp_path, clock)
    await first.slots.claim()
    orders = first.registry.counter("orders_total", "Orders.", ("shop",))
    orders.labels("old").add()
    orders.labels("live").add()
    await first.slots.publish()
    clock.advance(FORGET_S - 10)
    orders.labels("live").add()
    await first.slots.publish()
    clock.advance(20)
    await first.slots.close()
    second = Worker(tmp_path, clock)
    await second.slots.claim()
    text = await second.text()
    assert 'orders_total{shop="live"} 2\n' in text
    assert 'shop="old"' not in text
    await second.slots.close()


async def test_only_what_changed_is_encoded_and_decoded_again(
    workers: list[Worker], clock: ManualClock
) -> None:
    orders = workers[0].registry.counter("orders_total", "Orders.", ("shop",))
    for number in range(100):
        orders.labels(str(number)).add()
    await workers[0].slots.publish()
    [before] = [n for n in await workers[1].slots.neighbours(Slices(clock)) if n.number == 0]
    orders.labels("50").add()
    await workers[0].slots.publish()
    [after] = [n for n in await workers[1].slots.neighbours(Slices(clock)) if n.number == 0]
    same = {id(chunk) for chunk in before.chunks}
    assert [chunk.name for chunk in after.chunks if id(chunk) not in same] == ["orders_total"]


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"HFM1", b"HFM1\x00\x00\x00\x02\x93\x01", b"HFM1\x00\x00\x00\x01\xc1"]
)
async def test_a_damaged_slot_is_left_out_and_taken_over_empty(
    tmp_path: Path, clock: ManualClock, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    slot_path(tmp_path, 0).write_bytes(content)
    slot_path(tmp_path, 1).write_bytes(content)
    worker = Worker(tmp_path, clock)
    assert await worker.slots.claim() == 0
    worker.registry.counter("orders_total", "Orders.").labels().add()
    for _ in range(2):
        assert "orders_total 1\n" in await worker.text()
    assert caplog.text.count("slot-1.metrics cannot be read") == 1
    await worker.slots.close()


async def test_a_disk_that_refuses_is_said_once_and_the_scrape_goes_on(
    workers: list[Worker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "slot-0.part").mkdir()
    workers[0].registry.counter("orders_total", "Orders.").labels().add()
    for _ in range(3):
        assert "orders_total 1\n" in await workers[0].text()
    assert caplog.text.count("not shared with the other workers") == 1
    (tmp_path / "slot-0.part").rmdir()
    await workers[0].slots.publish()
    assert "orders_total 1\n" in await workers[1].text()


def test_too_many_workers_are_told(tmp_path: Path) -> None:
    held = [take_lock(tmp_path, most=2) for _ in range(2)]
    with pytest.raises(Misconfigured) as refused:
        take_lock(tmp_path, most=2)
    assert "data_dir" in refused.value.hint
    for lock in held:
        lock.release()


def test_a_child_of_a_later_fork_keeps_its_own_descriptors(tmp_path: Path) -> None:
    """The lock's descriptor number is free again after the release: nobody may close it a second time."""
    lock = take_lock(tmp_path)
    number = lock._fd
    lock.release()
    lock.release()
    reader, writer = os.pipe()
    assert number in (reader, writer)
    child = os.fork()
    if child == 0:
        try:
            os.fstat(reader)
            os.fstat(writer)
        except OSError:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(reader)
    os.close(writer)


def test_a_forked_child_does_not_hold_its_parents_slot(tmp_path: Path) -> None:
    lock = take_lock(tmp_path)
    ours, childs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        childs.send(b"here")
        childs.recv(1)  # until the parent closes its end
        os._exit(0)
    assert ours.recv(4) == b"here"
    lock.release()
    assert take_lock(tmp_path).number == lock.number
    ours.close()
    childs.close()
    os.waitpid(child, 0)


async def start_worker(folder: Path, orders: int) -> tuple[asyncio.subprocess.Process, list[int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(folder), str(orders), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
    return process, [int(word) for word in line.split()]


async def test_kill_9_frees_the_slot_and_the_successor_counts_on(tmp_path: Path) -> None:
    for life in range(3):
        one, first = await start_worker(tmp_path, 5)
        two, second = await start_worker(tmp_path, 7)
        assert first == [0, 5 * (life + 1)]
        assert second == [1, 7 * (life + 1)]
        for process in (one, two):
            process.send_signal(signal.SIGKILL)
            await process.wait()
    registry = Registry(SystemClock())
    slots = Slots(tmp_path, registry, SystemClock())
    assert await slots.claim() == 0
    text = b"".join(await Exposition(registry, SystemClock(), slots=slots).render()).decode()
    assert "orders_total 36\n" in text
    await slots.close()
    assert len(list(tmp_path.iterdir())) == 4
