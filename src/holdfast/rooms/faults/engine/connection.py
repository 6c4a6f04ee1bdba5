"""One connection: bytes into requests, responses and faults into bytes."""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable

from holdfast.rooms.faults.engine.calls import Call
from holdfast.rooms.faults.engine.desk import Desk, Served
from holdfast.rooms.faults.rules.requests import MOST_BODY, MOST_HEAD, BadRequest, Dechunker, Head
from holdfast.rooms.faults.rules.scripts.steps import End, Pause, Script

logger = logging.getLogger("holdfast.faults")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends a reset."""

Sleep = Callable[[float], Awaitable[object]]


class Connection(asyncio.Protocol):
    """Takes one request after the other; what comes while one is answered waits."""

    def __init__(self, desk: Desk, open_ones: "set[Connection]", delay_s: float, sleep: Sleep) -> None:
        self._desk = desk
        self._open_ones = open_ones
        self._delay_s = delay_s
        self._sleep = sleep
        self._monotonic = desk.monotonic
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._head: Head | None = None
        self._chunks: Dechunker | None = None
        self._call: Call | None = None
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # uvloop's transports have a base of their own
        self._open_ones.add(self)

    def data_received(self, data: bytes) -> None:
        if not self._buffer and self._head is None and self._call is None:
            end = data.find(b"\r\n\r\n")
            if end > 0 and self._take_whole(data, end):
                return
        self._buffer += data
        if self._call is None:
            self._advance()
        elif len(self._buffer) > MOST_BODY:
            self._transport.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._open_ones.discard(self)
        if self._call is not None:
            self._call.left_early = True
            self._end()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def drop(self) -> "asyncio.Task[None] | None":
        """The server stops: close at once; the task that is to be waited for."""
        self._end()
        self._transport.abort()
        if self._task is not None:
            self._task.cancel()
        return self._task

    # -- requests

    def _take_whole(self, data: bytes, end: int) -> bool:
        """The usual case: one request, complete, in one piece. False: it is not."""
        try:
            head = self._desk.head(data[:end])
        except BadRequest as problem:
            self._refuse(problem)
            return True
        if head.chunked or head.expects or len(data) != end + 4 + head.length:
            return False
        self._begin(head, data[end + 4 :])
        return True

    def _advance(self) -> None:
        """Begin whatever request is complete in the buffer, until one is under way or bytes are missing."""
        try:
            while self._call is None and not self._closing and self._read():
                pass
        except BadRequest as problem:
            self._refuse(problem)

    def _read(self) -> bool:
        """Take one request from the buffer; False when it is not all there."""
        if self._head is None and not self._read_head():
            return False
        assert self._head is not None
        head = self._head
        if self._chunks is not None:
            if not self._chunks.feed(self._buffer):
                return False
            body = bytes(self._chunks.body)
        else:
            if len(self._buffer) < head.length:
                return False
            body = bytes(self._buffer[: head.length])
            del self._buffer[: head.length]
        self._head = self._chunks = None
        self._begin(head, body)
        return True

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > MOST_HEAD:
            if len(self._buffer) > MOST_HEAD:
                raise BadRequest("the head does not end")
            return False
        self._head = self._desk.head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        if self._head.chunked:
            self._chunks = Dechunker()
        if self._head.expects:
            self._transport.write(_CONTINUE)
        return True

    def _refuse(self, problem: BadRequest) -> None:
        self._closing = True
        self._transport.write(self._desk.refuse(problem))
        self._transport.close()

    # -- responses

    def _begin(self, head: Head, body: bytes) -> None:
        own = self._desk.serve_own(head) if head.path.startswith("/_") else None
        if own is not None:
            self._transport.write(own)
            if head.close:
                self._close()
            return
        served = self._desk.serve(head, body)
        self._call = served.call
        if served.script is not None:
            self._task = self._loop.create_task(self._play(served.call, served.script))
        elif self._delay_s:
            self._timer = self._loop.call_later(self._delay_s, self._answer_late, served)
        else:
            self._answer(served)

    def _answer(self, served: Served) -> None:
        self._send(served.call, served.response)
        self._finish(served.call)

    def _answer_late(self, served: Served) -> None:
        self._timer = None
        self._answer(served)
        self._advance()

    async def _play(self, call: Call, script: Script) -> None:
        """Take the steps of a script, one after the other."""
        # With no buffer allowed, `_drained` says exactly whether everything is out.
        self._transport.set_write_buffer_limits(0)
        try:
            if self._delay_s:
                await self._sleep(self._delay_s)
            for step in script:
                if isinstance(step, bytes):
                    self._send(call, step)
                    if self._drained is not None:
                        await self._drained
                elif isinstance(step, Pause):
                    await self._sleep(step.seconds)
                else:
                    await self._stop(step)
                    return
        except Exception:
            logger.exception("the script of the fault %s failed", call.fault)
            self._end()
            self._transport.abort()
            return
        self._task = None
        self._finish(call)
        self._advance()

    async def _stop(self, end: End) -> None:
        if end is End.SILENCE:
            await self._loop.create_future()
        self._end()
        if end is End.CLOSE:
            self._close()
            return
        bare = self._transport.get_extra_info("socket")
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._closing = True
        self._transport.abort()

    def _send(self, call: Call, data: bytes) -> None:
        if not call.sent_bytes:
            call.status = int(data[9:12])
        call.sent_bytes += len(data)
        self._transport.write(data)

    def _finish(self, call: Call) -> None:
        self._end()
        if call.head.close:
            self._close()

    def _end(self) -> None:
        if self._call is not None:
            self._call.ended_at = self._monotonic()
            self._call = None

    def _close(self) -> None:
        self._closing = True
        self._transport.close()
