"""A closed-loop load of chat completions: one process for a whole benchmark, told by a line what to do next.

Run as `python -m benchmarks.apps.llm_load`; reads one JSON object a line and answers with one:
`{"port", "key", "connections", "seconds", "most_warm_s", "spread_s", "same"}` gives `{"requests", "all",
"seconds", "errors", "error", "p50_ms", "p99_ms", "cpu_s"}`. The connections begin one after the other within
`spread_s`, as callers do who know nothing of each other. Counting begins when every one has been answered or,
if that takes longer, after `most_warm_s`, and ends after `seconds`. What is under way then is waited for as
long at most, so that it is no burden on whoever is next. Prompts differ by a counter that never comes back,
unless `same` asks for one prompt; the temperature is 0. Latency is from the write to the last byte.
"""

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

import uvloop

from benchmarks.harness import percentile

_BODY = (
    b'{"model":"mock","temperature":0,"max_tokens":64,"messages":[{"role":"system","content":"You answer in '
    b'one sentence."},{"role":"user","content":"What is the capital of France? Question %014d"}]}'
)
_LENGTH = len(_BODY % 0)


def head(port: int, key: str) -> bytes:
    """All of a request that does not change."""
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: {_LENGTH}\r\n\r\n"
    ).encode()


class Numbers:
    """What makes a prompt one that nobody has asked before, in this run or any other."""

    def __init__(self) -> None:
        self.last = int(time.time() * 1000)
        self.step = 1

    def body(self) -> bytes:
        self.last += self.step
        return _BODY % self.last


class Slice:
    """One stretch of load: what its connections share."""

    def __init__(self, request_head: bytes, connections: int, numbers: Numbers) -> None:
        self.head = request_head
        self.numbers = numbers
        self.cold = connections
        self.under_way = connections
        self.warm = asyncio.Event()
        self.drained = asyncio.Event()
        self.counts = False
        self.all = 0
        self.over = False
        self.latencies: list[float] = []
        self.errors = 0
        self.error = ""

    def answered(self, began: float, status: bytes, body: bytes) -> None:
        self.all += 1
        if self.counts:
            self.latencies.append(time.perf_counter() - began)
        if status != b"200":
            self.errors += 1
            self.error = self.error or f"{status.decode()} {body[:300].decode(errors='replace')}"

    def first(self) -> None:
        self.cold -= 1
        if not self.cold:
            self.warm.set()

    def left(self) -> None:
        """A connection asks no more."""
        self.under_way -= 1
        if not self.under_way:
            self.drained.set()

    def failed(self, why: str) -> None:
        self.errors += 1
        self.error = self.error or why
        self.warm.set()


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way."""

    def __init__(self, load: Slice) -> None:
        self.load = load
        self.transport: Any = None
        self.began = 0.0
        self.buffer = b""
        self.body_at = 0
        self.need = -1
        self.is_new = True
        self.is_done = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.load.head + self.load.numbers.body())

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer = self.buffer + data if self.buffer else data
        if self.need < 0 and not self._read_head(buffer):
            return
        if self.need:
            if len(buffer) < self.need:
                return
        elif not buffer.endswith(b"0\r\n\r\n"):  # chunked
            return
        self.load.answered(self.began, buffer[9:12], buffer[self.body_at :])
        self.buffer, self.need = b"", -1
        if self.is_new:
            self.is_new = False
            self.load.first()
        if self.load.over:
            self.is_done = True
            self.load.left()
        else:
            self.ask()

    def _read_head(self, buffer: bytes) -> bool:
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        lower = buffer[:end].lower()
        at = lower.find(b"content-length:")
        self.body_at = end + 4
        self.need = 0 if at < 0 else end + 4 + int(lower[at + 15 :].split(b"\r\n", 1)[0])
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_done:
            self.load.failed(f"the connection was closed: {error}")
            self.load.left()


async def within(event: asyncio.Event, seconds: float) -> None:
    """Wait for it, but not for ever."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def one_slice(order: dict[str, Any], numbers: Numbers) -> dict[str, Any]:
    """Load as told; the connections are new each time."""
    loop = asyncio.get_running_loop()
    numbers.step = 0 if order["same"] else 1
    numbers.last += 1
    load = Slice(head(order["port"], order["key"]), order["connections"], numbers)
    made = [
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", order["port"])
        for _ in range(order["connections"])
    ]
    for _, connection in made:
        connection.ask()
        if order["spread_s"]:
            await asyncio.sleep(order["spread_s"] / len(made))
    await within(load.warm, order["most_warm_s"])
    began, cpu_began = time.perf_counter(), time.process_time()
    load.counts = True
    await asyncio.sleep(order["seconds"])
    load.counts = False
    elapsed, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    load.over = True
    await within(load.drained, order["most_warm_s"])
    for transport, connection in made:
        connection.is_done = True
        transport.abort()
    found = load.latencies or [float("nan")]
    return {
        "requests": len(load.latencies),
        "all": load.all,
        "seconds": elapsed,
        "errors": load.errors,
        "error": load.error,
        "p50_ms": percentile(found, 0.5) * 1e3,
        "p99_ms": percentile(found, 0.99) * 1e3,
        "cpu_s": cpu_s,
    }


async def obey() -> None:
    numbers = Numbers()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await one_slice(json.loads(line), numbers)), flush=True)


if __name__ == "__main__":
    uvloop.run(obey())
