"""An open-loop HTTP/1.1 load generator: requests leave when they are due, however slow the answers are.

Run as `python -m benchmarks.apps.openloop HOST PORT RATE SECONDS WARM_S DEADLINE_S PATH=SHARE...`;
prints one JSON line, by path and for all together: offered, good (200 within the deadline), refused
(503), failed, late (no answer within the deadline: the client hangs up), and the latency percentiles of
the 200s. Latency is from the moment a request was due, so a generator that is late counts against
the server; `late_starts` says how many left more than a millisecond after they were due.
Half a second's worth of connections, at most a thousand, stands open before the first request, as between
a load balancer and its servers; more are opened when all are in use.
Arrivals are Poisson, of a fixed seed. What is due in the first WARM_S seconds is sent, not counted.
"""

import gc
import heapq
import json
import random
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.apps.load import get
from benchmarks.harness import percentile


class Connection:
    """One keep-alive connection; `due` is when its request was."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(address)
        self.open = False
        self.request = b""
        self.path = ""
        self.due = 0.0
        self.turn = 0
        self.buffer = b""
        self.need = -1
        self.status = 0

    def begin(self, path: str, request: bytes, due: float) -> None:
        self.path, self.request, self.due = path, request, due
        self.turn += 1

    def take(self) -> bool:
        """Read what is there; True when the response is whole."""
        chunk = self.socket.recv(1 << 16)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self.buffer += chunk
        if self.need < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.status = int(self.buffer[9:12])
            head = self.buffer[:end].lower()
            at = head.index(b"content-length:")
            self.need = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self.buffer) < self.need:
            return False
        self.buffer, self.need = b"", -1
        return True


@dataclass
class Tally:
    """What became of the requests to one path."""

    offered: int = 0
    good: int = 0
    refused: int = 0
    failed: int = 0
    late: int = 0
    latencies: list[float] = field(default_factory=list)

    def told(self, seconds: float) -> dict[str, float]:
        found = self.latencies or [float("nan")]
        return {
            "offered": self.offered / seconds,
            "good": self.good / seconds,
            "refused": self.refused / seconds,
            "failed": self.failed / seconds,
            "late": self.late / seconds,
            **{f"p{share:g}_ms": percentile(found, share / 100) * 1e3 for share in (50, 95, 99)},
        }


class OpenLoop:
    """One run. `mix` is pairs of path and share."""

    def __init__(
        self, address: tuple[str, int], rate: float, deadline_s: float, mix: Sequence[tuple[str, float]]
    ) -> None:
        self.address = address
        self.rate = rate
        self.deadline_s = deadline_s
        self.paths = [path for path, _ in mix]
        self.shares = [share for _, share in mix]
        self.requests = {path: get(address[0], path) for path in self.paths}
        self.tallies = {path: Tally() for path in self.paths}
        self.idle: deque[Connection] = deque()
        self.selector = selectors.DefaultSelector()
        self.deadlines: list[tuple[float, int, int, Connection]] = []
        self.count_from = 0.0
        self.late_starts = 0
        self.under_way = 0
        self.sent = 0

    def run(self, seconds: float, warm_s: float) -> dict[str, object]:
        rng = random.Random(7)
        self._connect(min(1000, int(self.rate / 2) + 4))
        started = time.perf_counter()
        self.count_from = started + warm_s
        due, end = started, started + warm_s + seconds
        while True:
            now = time.perf_counter()
            while due <= now and due < end:
                self._send(rng.choices(self.paths, self.shares)[0], due, now)
                due += rng.expovariate(self.rate)
                now = time.perf_counter()
            self._hang_up(now)
            if due >= end and not self.under_way:
                break
            until = min(due if due < end else now + 0.05, self.deadlines[0][0] if self.deadlines else due)
            for key, events in self.selector.select(max(0.0, min(0.05, until - now))):
                self._ready(key.data, events)
        return self._told(seconds)

    def _connect(self, count: int) -> None:
        for _ in range(count):
            connection = Connection(self.address)
            self.selector.register(connection.socket, selectors.EVENT_WRITE, connection)
            self.selector.select()
            connection.open = True
            self.selector.modify(connection.socket, selectors.EVENT_READ, connection)
            self.idle.append(connection)

    def _send(self, path: str, due: float, now: float) -> None:
        if self._counts(due):
            self.tallies[path].offered += 1
            self.late_starts += now - due > 1e-3
            self.sent += 1
        connection = self.idle.pop() if self.idle else Connection(self.address)
        connection.begin(path, self.requests[path], due)
        self.under_way += 1
        heapq.heappush(self.deadlines, (due + self.deadline_s, id(connection), connection.turn, connection))
        if connection.open:
            connection.socket.send(connection.request)
        else:
            self.selector.register(
                connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, connection
            )

    def _ready(self, connection: Connection, events: int) -> None:
        try:
            if not connection.open and events & selectors.EVENT_WRITE:
                connection.open = True
                self.selector.modify(connection.socket, selectors.EVENT_READ, connection)
                connection.socket.send(connection.request)
                return
            if not connection.take():
                return
        except OSError:
            if connection.due and self._counts(connection.due):
                self.tallies[connection.path].failed += 1
            self._close(connection)
            return
        self._answered(connection)
        connection.due = 0.0
        self.under_way -= 1
        self.idle.append(connection)

    def _answered(self, connection: Connection) -> None:
        if not self._counts(connection.due):
            return
        tally = self.tallies[connection.path]
        latency_s = time.perf_counter() - connection.due
        if connection.status == 200:
            tally.latencies.append(latency_s)
            tally.good += latency_s <= self.deadline_s
            tally.late += latency_s > self.deadline_s
        elif connection.status == 503:
            tally.refused += 1
        else:
            tally.failed += 1

    def _hang_up(self, now: float) -> None:
        """Clients wait no longer than the deadline."""
        while self.deadlines and self.deadlines[0][0] <= now:
            _, _, turn, connection = heapq.heappop(self.deadlines)
            if connection.due and connection.turn == turn:
                if self._counts(connection.due):
                    self.tallies[connection.path].late += 1
                    self.tallies[connection.path].latencies.append(now - connection.due)
                self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection.due:
            self.under_way -= 1
            connection.due = 0.0
        elif connection in self.idle:
            self.idle.remove(connection)
        self.selector.unregister(connection.socket)
        connection.socket.close()

    def _counts(self, due: float) -> bool:
        return due >= self.count_from

    def _told(self, seconds: float) -> dict[str, object]:
        every = Tally()
        for tally in self.tallies.values():
            every.offered += tally.offered
            every.good += tally.good
            every.refused += tally.refused
            every.failed += tally.failed
            every.late += tally.late
            every.latencies += tally.latencies
        told: dict[str, object] = {path: tally.told(seconds) for path, tally in self.tallies.items()}
        return {**told, "all": every.told(seconds), "late_starts": self.late_starts / max(1, self.sent)}


if __name__ == "__main__":
    host, port, rate, seconds, warm_s, deadline_s = sys.argv[1:7]
    pairs = [each.rsplit("=", 1) for each in sys.argv[7:]]
    gc.disable()
    loop = OpenLoop(
        (host, int(port)), float(rate), float(deadline_s), [(path, float(share)) for path, share in pairs]
    )
    print(json.dumps(loop.run(float(seconds), float(warm_s))))
