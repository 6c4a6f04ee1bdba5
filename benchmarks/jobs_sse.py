"""Progress over server-sent events with connections cut all the time: what a job said, what its watcher got.

A real server runs jobs of a known number of steps; each is watched by a client whose connection is reset
after a random number of bytes, in the middle of an event as likely as not, and which comes back with
Last-Event-ID. Judged against the whole stream read afterwards without a cut, and against the steps that the
job must have said.

python -m benchmarks.jobs_sse [--quick] [--json FILE]
"""

import asyncio
import json
import random
import socket
import struct
from dataclasses import dataclass, field

from benchmarks.apps.serving import child, folder, free_port
from benchmarks.harness import Row, at_most, main, shown

HOST = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: the close is a reset, and what is under way is thrown away."""
PATIENCE_S = 120.0
LAST = frozenset({"succeeded", "failed", "cancelled"})


@dataclass
class Watched:
    """One job's events as its watcher got them."""

    ids: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    cuts: int = 0

    @property
    def is_over(self) -> bool:
        return bool(self.kinds) and self.kinds[-1] in LAST


class Chunks:
    """The body of a chunked answer, as far as it has come, the part of a chunk too."""

    def __init__(self) -> None:
        self._raw = b""
        self._body = b""
        self._in_body = False
        self._left = 0
        """Bytes of the chunk at hand that are still to come, with its line end."""

    def feed(self, data: bytes) -> list[tuple[int, str]]:
        """Events that are whole now: id and kind. RuntimeError for an answer that is no stream."""
        self._raw += data
        if not self._in_body and not self._has_head():
            return []
        while self._raw:
            if not self._left and not self._has_size():
                break
            part, self._raw = self._raw[: self._left], self._raw[self._left :]
            self._body += part[: max(0, self._left - 2)]  # without the line end behind the chunk
            self._left -= len(part)
        *whole, self._body = self._body.split(b"\n\n")
        return [event for block in whole if (event := _event(block.decode())) is not None]

    def _has_head(self) -> bool:
        head, found, rest = self._raw.partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 200") or b"text/event-stream" not in head.lower():
            raise RuntimeError(f"no stream: {self._raw[:400]!r}")
        self._in_body, self._raw = True, rest
        return True

    def _has_size(self) -> bool:
        size, found, rest = self._raw.partition(b"\r\n")
        if found:
            self._left, self._raw = int(size, 16) + 2, rest
        return bool(found)


def _event(block: str) -> tuple[int, str] | None:
    """Id and kind; None for a comment."""
    fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":")
    return (int(fields["id"]), fields["event"]) if "id" in fields else None


async def connection(port: int, job: str, watched: Watched, cut_after: int | None) -> None:
    """Watch until the stream ends, or cut it after so many bytes."""
    reader, writer = await asyncio.open_connection(HOST, port)
    asked = f"GET /api/v1/jobs/{job}/events HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n"
    if watched.ids:
        asked += f"Last-Event-ID: {watched.ids[-1]}\r\n"
    writer.write(asked.encode() + b"\r\n")
    chunks, got = Chunks(), 0
    while not watched.is_over:
        data = await reader.read(65_536 if cut_after is None else max(1, cut_after - got))
        if not data:
            break
        got += len(data)
        for number, kind in chunks.feed(data):
            watched.ids.append(number)
            watched.kinds.append(kind)
        if cut_after is not None and got >= cut_after and not watched.is_over:
            watched.cuts += 1
            break
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def begin(port: int, steps: int, pause_ms: int) -> str:
    """A new job's id."""
    reader, writer = await asyncio.open_connection(HOST, port)
    body = json.dumps({"steps": steps, "pause_ms": pause_ms}).encode()
    head = f"POST /begin HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    answer = await reader.read()
    writer.close()
    return str(json.loads(answer.split(b"\r\n\r\n", 1)[1])["id"])


async def watch(port: int, steps: int, pause_ms: int, rng: random.Random) -> tuple[Watched, Watched]:
    """One job to its end, and then its whole stream at once."""
    job, watched, whole = await begin(port, steps, pause_ms), Watched(), Watched()
    async with asyncio.timeout(PATIENCE_S):
        while not watched.is_over:
            # The head is about 400 bytes, an event about 100: none, one or a few events a connection.
            await connection(port, job, watched, rng.randrange(200, 1_200))
        await connection(port, job, whole, None)
    return watched, whole


async def measured(port: int, cuts: int, steps: int) -> list[tuple[Watched, Watched]]:
    """Jobs, eight at once, until there were so many cuts."""
    rng, found = random.Random(5), []
    while sum(watched.cuts for watched, _ in found) < cuts:
        found += await asyncio.gather(*(watch(port, steps, 15, rng) for _ in range(8)))
    return found


async def run(quick: bool) -> list[Row]:
    steps = 25 if quick else 60
    with folder() as place:
        port = free_port()
        with child("benchmarks.apps.jobs_sse_app", str(port), str(place), port=port):
            found = await measured(port, 60 if quick else 1_000, steps)
    lost = sum(len(set(whole.ids) - set(watched.ids)) for watched, whole in found)
    lost += sum(max(0, steps - watched.kinds.count("step")) for watched, _ in found)
    doubled = sum(len(watched.ids) - len(set(watched.ids)) for watched, _ in found)
    disordered = sum(watched.ids != sorted(watched.ids) for watched, _ in found)
    cuts, events = sum(watched.cuts for watched, _ in found), sum(len(whole.ids) for _, whole in found)
    return [
        at_most(f"events lost over {cuts:,} forced reconnects", f"{lost} of {events:,}", lost, 0, 0),
        at_most("events got twice", doubled, doubled, 0, 0),
        at_most("streams out of order", disordered, disordered, 0, 0),
        shown("jobs watched, steps each", f"{len(found)} x {steps}"),
    ]


if __name__ == "__main__":
    main(run, "Progress over server-sent events")
