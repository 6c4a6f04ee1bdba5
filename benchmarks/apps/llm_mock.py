"""The provider behind the gateways: one chat completion for every POST, after a wait that can be changed.

Run as `python -m benchmarks.apps.llm_mock PORT`. `GET /wait/60` makes it wait 60 ms from now on, `GET /count`
tells how many POSTs there were. `holdfast faults` gives each question an answer of its own, which takes four
times the CPU (44 us, not 11): too much where the load generator has the same core.
"""

import asyncio
import sys
from typing import Any

import httptools
import uvloop

ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1760000000,"model":"mock","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"The capital of France is Paris."},"finish_reason":"stop",'
    b'"logprobs":null}],"usage":{"prompt_tokens":32,"completion_tokens":7,"total_tokens":39}}'
)


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


WHOLE = whole(ANSWER)


class Mock:
    """What all connections share."""

    def __init__(self) -> None:
        self.wait_s = 0.0
        self.count = 0

    def told(self, path: bytes) -> bytes:
        """A GET: set the wait, or tell the count."""
        _, what, *rest = path.split(b"/")
        if what == b"wait":
            self.wait_s = int(rest[0]) / 1000
        return whole(b'{"count":%d}' % self.count)


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, mock: Mock, loop: asyncio.AbstractEventLoop) -> None:
        self.mock = mock
        self.loop = loop
        self.parser = httptools.HttpRequestParser(self)
        self.transport: Any = None
        self.path = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.path = url

    def on_message_complete(self) -> None:
        mock = self.mock
        if self.parser.get_method() == b"GET":
            self.transport.write(mock.told(self.path))
            return
        mock.count += 1
        if mock.wait_s:
            self.loop.call_later(mock.wait_s, self.answer)
        else:
            self.transport.write(WHOLE)

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(WHOLE)


async def serve(port: int) -> None:
    loop, mock = asyncio.get_running_loop(), Mock()
    server = await loop.create_server(lambda: Connection(mock, loop), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
