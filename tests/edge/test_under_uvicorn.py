"""The layer under a plain uvicorn, on a real connection: one write a response, all else as it was."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
import uvloop
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from holdfast.edge.onewrite import GatheringTransport, wire_of
from holdfast.kernel.context import Ctx
from tests.edge.counted import Counted
from tests.edge.door import Door
from tests.waiting import until


class Marking:
    """An admission that lets everybody in, and says so in a header."""

    def admit(self, scope: Any, ctx: Ctx) -> None:
        ctx.headers = [(b"x-places", b"1")]

    def release(self, ctx: Ctx) -> None: ...


class Site:
    """A server in this loop, and one connection to it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self) -> None:
        self.door = Door(self._app, admission=Marking())
        self.wires: list[Counted] = []
        self.go = asyncio.Event()
        self.port = 0

    def request_id(self) -> bytes:
        """The newest request's, as it was recorded."""
        return self.door.log.records[-1].request_id.encode()

    async def connect(self) -> None:
        known = len(self.wires)
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        await until(lambda: len(self.wires) > known)

    def ask(self, *lines: str) -> None:
        self.writer.write("\r\n".join([*lines, "host: x", "", ""]).encode())

    async def head(self) -> bytes:
        return (await self.reader.readuntil(b"\r\n\r\n")).lower()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "안녕"})
            await send({"type": "websocket.close"})
            return
        path = scope["path"]
        kind = b"text/event-stream" if path == "/stream" else b"text/plain"
        body = b"x" * 5000 if path == "/long" else b"body"
        headers = [(b"content-type", kind)]
        if path != "/stream":
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if path == "/stream":
            await self.go.wait()
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"" if path == "/stream" else body})


@contextlib.asynccontextmanager
async def site(protocol: Any) -> AsyncIterator[Site]:
    made = Site()

    class Watched(protocol):  # type: ignore[misc] # chosen by the test
        def connection_made(self, transport: Any) -> None:
            made.wires.append(Counted(transport))
            super().connection_made(made.wires[-1])

    config = uvicorn.Config(made.door.edge, port=0, http=Watched, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    made.port = server.servers[0].sockets[0].getsockname()[1]
    await made.connect()
    try:
        yield made
    finally:
        made.go.set()
        made.writer.close()
        await server.shutdown()


async def answers_leave_in_one_write(on: Site) -> None:
    for _ in range(2):
        on.wires[-1].writes.clear()
        on.ask("GET / HTTP/1.1")
        head = await on.head()
        assert await on.reader.readexactly(4) == b"body"
        assert len([data for data in on.wires[-1].writes if data]) == 1
        assert head.count(b"x-request-id: ") == head.count(b"x-trace-id: ") == 1
        # Our own stand where only we can have put them: before all that went through the server.
        asked = on.request_id()
        assert head.split(b"\r\n")[1:4] == [
            b"x-request-id: %b" % asked,
            b"x-trace-id: %b" % asked,
            b"x-places: 1",
        ]


async def requests_that_come_together_are_answered_in_their_order(on: Site) -> None:
    on.ask("GET / HTTP/1.1", "host: x", "", "GET /long HTTP/1.1", "host: x", "", "GET / HTTP/1.1")
    for length in (4, 5000, 4):
        assert b"content-length: %d\r\n" % length in await on.head()
        await on.reader.readexactly(length)


async def a_head_has_no_body_and_the_next_answer_comes(on: Site) -> None:
    on.ask("HEAD / HTTP/1.1")
    assert b"content-length: 4\r\n" in await on.head()
    await answers_leave_in_one_write(on)


async def a_stream_begins_before_its_first_chunk(on: Site) -> None:
    on.ask("GET /stream HTTP/1.1")
    assert b"transfer-encoding: chunked" in await on.head()
    on.go.set()
    assert await on.reader.readuntil(b"0\r\n\r\n") == b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"


async def what_is_compressed_carries_its_headers_itself(on: Site) -> None:
    on.ask("GET /long HTTP/1.1", "accept-encoding: gzip")
    head = await on.head()
    assert b"content-encoding: gzip" in head
    assert head.count(b"x-request-id: ") == head.count(b"x-places: 1") == 1
    lines = head.split(b"\r\n")
    assert b"x-request-id: %b" % on.request_id() in lines
    assert not lines[1].startswith(b"x-request-id")


async def a_last_answer_is_whole_before_the_connection_ends(on: Site) -> None:
    on.ask("GET /long HTTP/1.1", "connection: close")
    await on.head()
    assert await on.reader.read() == b"x" * 5000


async def a_websocket_takes_the_connection_over(on: Site) -> None:
    await answers_leave_in_one_write(on)
    on.ask(
        "GET /talk HTTP/1.1",
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    assert (await on.head()).startswith(b"http/1.1 101 ")
    frame = await on.reader.readexactly(2 + len("안녕".encode()))
    assert frame[2:].decode() == "안녕"


async def a_client_that_leaves_harms_nobody(on: Site) -> None:
    on.ask("GET /stream HTTP/1.1")
    await on.head()
    on.writer.transport.abort()
    on.go.set()
    await on.connect()
    await answers_leave_in_one_write(on)


SCENES = (
    answers_leave_in_one_write,
    requests_that_come_together_are_answered_in_their_order,
    a_head_has_no_body_and_the_next_answer_comes,
    a_stream_begins_before_its_first_chunk,
    what_is_compressed_carries_its_headers_itself,
    a_last_answer_is_whole_before_the_connection_ends,
    a_websocket_takes_the_connection_over,
    a_client_that_leaves_harms_nobody,
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("protocol", [HttpToolsProtocol, H11Protocol])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_under_uvicorn(
    loop: Callable[[], asyncio.AbstractEventLoop], protocol: Any, scene: Callable[[Site], Awaitable[None]]
) -> None:
    async def play() -> None:
        async with site(protocol) as on:
            await scene(on)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(play())


def test_whatever_is_not_uvicorns_is_left_alone() -> None:
    class Other:
        transport = object()

        async def send(self, message: Any) -> None: ...

    class Changed(Other):
        """As if uvicorn's own object had become another one."""

    Changed.__module__ = "uvicorn.protocols.http.httptools_impl"
    for send in (Other().send, Changed().send, lambda message: None):
        assert wire_of(send) is None
    assert not isinstance(Changed.transport, GatheringTransport)
