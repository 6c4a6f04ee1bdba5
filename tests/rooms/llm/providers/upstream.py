"""An upstream on a raw socket that answers, or misbehaves, exactly as a test tells it."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    number: int
    """Of this request on its connection, from 0."""


@dataclass
class Peer:
    """One connection, from the upstream's side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the other side has closed it."""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST, as a crashed process or a firewall would."""
        plain: Any = self.writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_gone(self) -> None:
        """Read until the other side closes; for answers that never come."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass
        self.gone.set()


Play = Callable[[Peer, Request], Awaitable[Any]]
"""What happens on a request; a false result closes the connection, a true one waits for the next."""


class Upstream:
    """A server on a free port of 127.0.0.1: `async with Upstream(play) as upstream`."""

    def __init__(self, play: Play, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.play = play
        self.peers: list[Peer] = []
        self.requests: list[Request] = []
        self.host = host
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "Upstream":
        self._server = await asyncio.start_server(self._serve, self.host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer, len(self.peers))
        self.peers.append(peer)
        number = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                request = await self._request(peer, number)
                self.requests.append(request)
                number += 1
                if not await self.play(peer, request):
                    break
        peer.gone.set()
        with contextlib.suppress(OSError):
            writer.close()

    async def _request(self, peer: Peer, number: int) -> Request:
        head = (await peer.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (text.split(": ", 1) for text in fields)}
        body = await peer.reader.readexactly(int(headers.get("content-length", "0")))
        return Request(line, headers, body, peer.number, number)


def plain(body: bytes, status: str = "200 OK", kind: str = "application/json", *more: str) -> bytes:
    """A whole answer with a content-length."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*parts: bytes, kind: str = "text/event-stream", end: bytes = b"0\r\n\r\n") -> bytes:
    """A chunked answer, each part a chunk."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return head + b"".join(chunk(part) for part in parts) + end


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


def always(answer: bytes, keep: bool = True) -> Play:
    """Send the same bytes to every request."""

    async def play(peer: Peer, request: Request) -> bool:
        await peer.send(answer)
        return keep

    return play
