"""How long a scrape holds the loop: 1,000 histogram series in each of 4 workers, ours and the peer's.

Four worker processes keep every series changing. Worker 0 also serves requests and is scraped over HTTP; a
heartbeat every millisecond on its loop says how late it woke at worst. prometheus_client does the same job
in the same processes by its multiprocess mode.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, at_most, main, median, percentile, shown

WORKERS = 4
SERIES = 1_000
METHODS = ("GET", "POST", "PUT", "DELETE")
STATUSES = ("200", "201", "404", "422", "500")
BEAT_S = 0.001
PORT = 18_731

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def label_sets() -> list[tuple[str, str, str]]:
    """1,000 series of three labels, as 50 routes make them."""
    routes = [f"/api/v2/resource-{number}/{{item_id}}/part" for number in range(SERIES // 20)]
    return [(method, route, status) for route in routes for method in METHODS for status in STATUSES]


class Heartbeat:
    """Wakes every millisecond and keeps how late it was at worst since it was asked."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def beat(self) -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(BEAT_S)
            self.worst_s = max(self.worst_s, time.perf_counter() - asked - BEAT_S)


class Worker:
    """One worker process: both libraries' series, always changing, and both scrapes."""

    def __init__(self, folder: Path) -> None:
        from prometheus_client import CollectorRegistry, Histogram, generate_latest, multiprocess

        from holdfast.kernel.clock import SystemClock
        from holdfast.rooms.telemetry.engine.exposition import Exposition
        from holdfast.rooms.telemetry.engine.registry import Registry
        from holdfast.rooms.telemetry.engine.slots import Slots
        from holdfast.rooms.telemetry.http import scrape

        clock = SystemClock()
        registry = Registry(clock)
        names = ("method", "route", "status")
        ours = registry.histogram("holdfast_http_request_duration_seconds", "Time of a request.", names)
        theirs = Histogram("peer_request_duration_seconds", "Time of a request.", names)
        self.ours = [ours.labels(*labels) for labels in label_sets()]
        self.theirs = [theirs.labels(*labels) for labels in label_sets()]
        self.slots = Slots(folder / "metrics", registry, clock)
        self.exposition = Exposition(registry, clock, slots=self.slots)
        self.scrape = scrape
        self.heart = Heartbeat()
        merged = CollectorRegistry()
        multiprocess.MultiProcessCollector(merged)
        self.peer_text = lambda: generate_latest(merged)
        self.random = random.Random(os.getpid())

    def measure(self, index: int) -> None:
        seconds = self.random.lognormvariate(-4.0, 1.0)
        self.ours[index].observe(seconds, f"{self.random.getrandbits(128):032x}")
        self.theirs[index].observe(seconds)

    async def churn(self) -> None:
        """Every series changes about once a second, ten at a time."""
        while True:
            for index in self.random.sample(range(SERIES), 10):
                self.measure(index)
            await asyncio.sleep(0.01)

    async def publish(self) -> None:
        while True:
            await self.slots.publish()
            await asyncio.sleep(1.0)

    async def app(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answers /ours, /peer, /worst (which begins anew); every other path is a request to measure."""
        if scope["type"] != "http":
            return
        body = b"ok"
        if scope["path"] == "/ours":
            await self.answer(send)
            return
        if scope["path"] == "/peer":
            body = self.peer_text()
        elif scope["path"] == "/worst":
            body, self.heart.worst_s = repr(self.heart.worst_s).encode(), 0.0
        else:
            self.measure(len(scope["query_string"]) % SERIES)
        head = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, send: Send) -> None:
        """What GET /metrics answers, sent as the edge sends it."""
        answer = await self.scrape(self.exposition, "", "")
        head = [(name.encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        async for piece in answer.stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def run(self, serves: bool) -> None:
        for index in range(SERIES):
            for _ in range(40):
                self.measure(index)
        await self.slots.claim()
        tasks = [asyncio.create_task(work()) for work in (self.churn, self.publish, self.heart.beat)]
        print("ready", flush=True)
        if serves:
            import uvicorn

            config = uvicorn.Config(
                self.app, port=PORT, log_level="warning", access_log=False, lifespan="off", interface="asgi3"
            )
            await uvicorn.Server(config).serve()
        await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def workers(folder: Path) -> AsyncIterator[None]:
    """The four processes, ready, worker 0 listening."""
    (folder / "peer").mkdir()
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder / "peer")}
    started = []
    try:
        for number in range(WORKERS):
            command = (sys.executable, "-m", "benchmarks.scrape", "--worker", str(number), str(folder))
            started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE))
            await asyncio.to_thread(started[-1].stdout.readline)
        await listening()
        await asyncio.sleep(1.5)  # one publication of every worker
        yield
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()


async def listening() -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                await get("/")
                return
            await asyncio.sleep(0.05)


async def get(path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read(-1)
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def load() -> None:
    """One client that keeps worker 0 busy serving."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    while True:
        writer.write(b"GET /work HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"ok")
        await asyncio.sleep(0.002)


async def worst_during(work: Awaitable[Any]) -> float:
    """Milliseconds the loop of worker 0 was late at worst while `work` ran."""
    await get("/worst")
    await work
    return float(await get("/worst")) * 1e3


async def run(quick: bool) -> Sequence[Row]:
    rounds = 8 if quick else 30
    ours, theirs, idle, took = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        async with workers(Path(folder)):
            busy = asyncio.create_task(load())
            text = await get("/ours")
            check(text, await get("/peer"))
            for _ in range(rounds):
                started = time.perf_counter()
                ours.append(await worst_during(get("/ours")))
                took.append((time.perf_counter() - started) * 1e3)
                theirs.append(await worst_during(get("/peer")))
                idle.append(await worst_during(asyncio.sleep(took[-1] / 1e3)))
                await asyncio.sleep(0.2)
            busy.cancel()
    what = f"scrape of {SERIES:,} histogram series over {WORKERS} workers"
    stall = median(ours)
    return [
        at_most(
            f"{what}: longest stall of the loop (ms)",
            stall,
            stall,
            5.0,
            2.0,
            prometheus_client=median(theirs),
        ),
        shown("the same, worst of all scrapes (ms)", max(ours), prometheus_client=max(theirs)),
        shown("no scrape, as long a time: longest stall (ms)", median(idle), p90=percentile(idle, 0.9)),
        shown("the scrape from first byte sent to last received (ms)", median(took), body_kb=len(text) / 1e3),
    ]


def check(ours: bytes, theirs: bytes) -> None:
    """Both scrapes must say what all four workers counted, or the figures compare nothing."""
    for name, text in (("holdfast_http", ours), ("peer", theirs)):
        lines = [
            line
            for line in text.splitlines()
            if line.startswith(f"{name}_request_duration_seconds_count{{".encode())
        ]
        total = sum(float(line.rsplit(b" ", 1)[1]) for line in lines)
        if len(lines) != SERIES or total < WORKERS * SERIES * 40:
            raise SystemExit(
                f"{name}: {len(lines)} series with {total} values are not {WORKERS} workers' {SERIES}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Worker(Path(sys.argv[3])).run(serves=sys.argv[2] == "0"))
    else:
        main(run, "The scrape of metrics and the loop it runs on")
