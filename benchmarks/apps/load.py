"""A closed-loop HTTP/1.1 load generator on raw sockets: enough to keep one server core busy from one other.

Run as `python -m benchmarks.apps.load HOST PORT PATH CONNECTIONS SECONDS`; prints one JSON line
`{"requests", "seconds", "errors", "p50_ms", "p95_ms", "p99_ms"}`. Latency is from the moment a
request is written to the moment its last byte is read.
"""

import json
import selectors
import socket
import sys
import time

from benchmarks.harness import percentile


class Connection:
    """One keep-alive connection with one request under way."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.request = request
        self.buffer = b""
        self.need = -1
        self.sent_at = 0.0
        self.failed = False

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.socket.send(self.request)

    def take(self) -> bool:
        """Read what is there; True when the response is whole."""
        chunk = self.socket.recv(1 << 20)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self.buffer += chunk
        if self.need < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = self.buffer[:end].lower()
            self.failed = not head.startswith(b"http/1.1 2")
            at = head.index(b"content-length:")
            self.need = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self.buffer) < self.need:
            return False
        self.buffer, self.need = b"", -1
        return True


def run(host: str, port: int, request: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Keep every connection busy for `seconds`."""
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        connection = Connection((host, port), request)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send()
    latencies: list[float] = []
    errors = 0
    started = time.perf_counter()
    deadline = started + seconds
    while (now := time.perf_counter()) < deadline:
        for key, _ in selector.select(0.1):
            connection = key.data
            if connection.take():
                now = time.perf_counter()
                latencies.append(now - connection.sent_at)
                errors += connection.failed
                connection.send()
    elapsed = now - started
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr] # they are the sockets registered above
    return {
        "requests": len(latencies),
        "seconds": elapsed,
        "errors": errors,
        **{f"p{share:g}_ms": percentile(latencies, share / 100) * 1e3 for share in (50, 95, 99)},
    }


def get(host: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def post(host: str, path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


if __name__ == "__main__":
    host, port, path, connections, seconds = sys.argv[1:6]
    print(json.dumps(run(host, int(port), get(host, path), int(connections), float(seconds))))
