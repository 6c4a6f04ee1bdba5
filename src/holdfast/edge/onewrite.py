"""Answers in one system call: what a response writes in one turn of the loop leaves the process together.

uvicorn writes the head and the body of a response separately, and uvloop sends each at once: two
system calls and two packets for the smallest answer. The transport here gathers them until the turn
ends. It is plain asyncio (Protocol and Transport). `holdfast serve` hands it to uvicorn through its own
`http` option; under a uvicorn that somebody else has started, the layer puts it into a connection at the
connection's first response.
"""

import asyncio
from collections.abc import Callable
from typing import Any

HIGH_WATER_BYTES = 64 * 1024
"""More than this is passed on at once, so that the server's flow control sees it."""
_UVICORN = ("uvicorn.protocols.http.h11_impl", "uvicorn.protocols.http.httptools_impl")


class GatheringTransport(asyncio.Transport):
    """A transport in front of another: writes wait for the end of the loop's turn, all else passes."""

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner = inner
        self._call_soon = loop.call_soon
        self._parts: list[bytes] = []
        self._size = 0
        self.ours = b""
        """Header lines, each ended by CRLF, for the next response's head. They are what we made
        ourselves, so that nobody need look for line breaks in them again, as uvicorn does in every
        name and value that it is given."""

    def write(self, data: Any) -> None:
        parts = self._parts
        if self.ours and data[:9] == b"HTTP/1.1 " and data[9:10] != b"1":  # a 1xx is no response yet
            begin = data.index(b"\r\n") + 2
            data = data[:begin] + self.ours + data[begin:]
            self.ours = b""
        if not parts:
            self._call_soon(self.flush)
        parts.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER_BYTES:
            self.flush()

    def writelines(self, list_of_data: Any) -> None:
        for data in list_of_data:
            self.write(data)

    def flush(self) -> None:
        """Pass on what has gathered, unless the peer has gone since: uvloop raises then."""
        parts = self._parts
        if parts:
            self._parts = []
            self._size = 0
            if not self._inner.is_closing():
                self._inner.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        self.flush()
        self._inner.close()

    def write_eof(self) -> None:
        self.flush()
        self._inner.write_eof()

    def abort(self) -> None:
        self._parts = []
        self._inner.abort()

    def can_write_eof(self) -> bool:
        return self._inner.can_write_eof()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        # Another protocol (a WebSocket) takes over: it gets the transport itself.
        self.flush()
        self._inner.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._inner.get_protocol()

    def is_reading(self) -> bool:
        return self._inner.is_reading()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._inner.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._size + self._inner.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._inner.get_write_buffer_limits()


def wire_of(send: Callable[..., Any]) -> GatheringTransport | None:
    """The gathering transport under an ASGI `send`; None where it is not uvicorn's own.

    uvicorn's is a method of its object for this request, which holds the connection's transport. That is no
    interface of uvicorn's: whatever looks different from what we know is left as it is.
    """
    cycle = getattr(send, "__self__", None)
    if type(cycle).__module__ not in _UVICORN:
        return None
    transport = getattr(cycle, "transport", None)
    return transport if type(transport) is GatheringTransport else _put_in_place(cycle, transport)


def _put_in_place(cycle: Any, transport: Any) -> GatheringTransport | None:
    """Gather from now on what this connection writes, for this request and those that follow."""
    protocol: Any = getattr(getattr(cycle, "on_response", None), "__self__", None)
    is_its_own = transport is not None and getattr(protocol, "transport", None) is transport
    if not is_its_own:
        return None
    gathering = GatheringTransport(transport, asyncio.get_running_loop())
    protocol.transport = cycle.transport = gathering
    return gathering
