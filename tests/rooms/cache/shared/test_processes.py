"""Four processes, one key: one call of the factory, whoever leaves, dies or loses the store."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]


class Worker:
    """One process of `worker.py`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, name: str, callers: int, lease_s: float) -> "Worker":
        arguments = ("-m", "tests.rooms.cache.shared.worker", url, name, str(callers), str(lease_s))
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        return cls(await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, **pipes))

    def tell(self, line: str) -> None:
        self._process.stdin.write(f"{line}\n".encode())

    async def hear(self, expected: str) -> None:
        line = (await self._process.stdout.readline()).decode().strip()
        assert line == expected, line

    async def end(self) -> dict:
        self.tell("end")
        while line := (await self._process.stdout.readline()).decode().strip():
            if line.startswith("{"):
                await self._process.wait()
                return json.loads(line)
        raise AssertionError("the process ended without a word")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


@contextlib.asynccontextmanager
async def crowd(url: str, callers: int, processes: int = 4, lease_s: float = 3.0):
    workers = await asyncio.gather(*(Worker.start(url, f"p{i}", callers, lease_s) for i in range(processes)))
    try:
        await asyncio.gather(*(worker.hear("ready") for worker in workers))
        yield workers
    finally:
        for worker in workers:
            worker.kill()


async def first_loading(workers: list[Worker]) -> Worker:
    """The one process that calls the factory; the others go on being listened to."""
    hearing = {asyncio.create_task(worker.hear("loading")): worker for worker in workers}
    done, rest = await asyncio.wait(hearing, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    assert len(done) == 1
    return hearing[done.pop()]


@pytest.mark.parametrize("topology", ["alone", "cluster"])
async def test_a_thousand_callers_on_four_processes_make_one_call(request, topology):
    if topology == "alone":
        url = request.getfixturevalue("redis_database")
    else:
        cluster = request.getfixturevalue("redis_cluster")
        cluster.empty()
        url = cluster.url
    async with crowd(url, 250) as workers:
        for worker in workers:
            worker.tell("go")
        loader = await first_loading(workers)
        loader.tell("finish")
        told = [await worker.end() for worker in workers]
    assert sum(each["calls"] for each in told) == 1
    assert [each["answered"] for each in told] == [250] * 4
    assert len({value for each in told for value in each["values"]}) == 1


async def test_half_of_the_callers_leave_and_the_store_is_killed_and_back(own_redis):
    async with crowd(own_redis.url, 100) as workers:
        for worker in workers:
            worker.tell("go")
        loader = await first_loading(workers)
        for worker in workers:
            worker.tell("cancel")
        own_redis.kill()
        await asyncio.gather(*(worker.hear("loading") for worker in workers if worker is not loader))
        own_redis.start()
        for worker in workers:
            worker.tell("finish")
        told = [await worker.end() for worker in workers]
    assert [each["calls"] for each in told] == [1] * 4
    assert [(each["answered"], each["stayed"], each["foreign"]) for each in told] == [(50, 50, 0)] * 4


async def test_the_holder_of_the_lease_is_killed(own_redis):
    async with crowd(own_redis.url, 20, processes=3, lease_s=3.0) as workers:
        for worker in workers:
            worker.tell("go")
        first = await first_loading(workers)
        first.kill()
        rest = [worker for worker in workers if worker is not first]
        second = await first_loading(rest)
        second.tell("finish")
        told = [await worker.end() for worker in rest]
    assert sum(each["calls"] for each in told) == 1
    assert [each["answered"] for each in told] == [20, 20]
