"""Writes of one turn leave together, in order, and everything else of the transport passes through."""

import asyncio
from typing import Any

import pytest

from holdfast.edge.onewrite import HIGH_WATER_BYTES, GatheringTransport
from tests.edge.counted import Counted


class Pair:
    """A connection over loopback: the server's end gathers, the client's end reads."""

    async def __aenter__(self) -> "Pair":
        made: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        class Server(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                made.set_result(transport)

        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(Server, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.counted = Counted(await made)
        self.transport = GatheringTransport(self.counted, loop)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.transport.abort()
        self.writer.close()
        self.server.close()


async def test_writes_of_one_turn_leave_in_one() -> None:
    async with Pair() as pair:
        pair.transport.write(b"head")
        pair.transport.write(b"body")
        assert pair.counted.writes == []
        assert pair.transport.get_write_buffer_size() == 8
        assert await pair.reader.readexactly(8) == b"headbody"
        assert pair.counted.writes == [b"headbody"]
        pair.transport.write(b"again")
        assert await pair.reader.readexactly(5) == b"again"


async def test_much_is_not_held_back() -> None:
    async with Pair() as pair:
        pair.transport.writelines([b"x" * HIGH_WATER_BYTES, b"y"])
        assert [len(write) for write in pair.counted.writes] == [HIGH_WATER_BYTES + 1]
        assert len(await pair.reader.readexactly(HIGH_WATER_BYTES + 1)) == HIGH_WATER_BYTES + 1


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_what_was_written_before_an_end_still_leaves(end: str) -> None:
    async with Pair() as pair:
        pair.transport.write(b"last words")
        getattr(pair.transport, end)()
        assert await pair.reader.read() == b"last words"


async def test_what_was_written_to_a_peer_that_has_gone_since_is_dropped() -> None:
    async with Pair() as pair:
        pair.transport.write(b"too late")
        pair.counted.inner.abort()  # as a reset would, before the turn ends
        pair.transport.flush()
        assert pair.counted.writes == []
        assert pair.transport.get_write_buffer_size() == 0


async def test_an_abort_drops_what_has_gathered() -> None:
    async with Pair() as pair:
        pair.transport.write(b"never")
        pair.transport.abort()
        await asyncio.sleep(0)
        assert pair.counted.writes == []


async def test_the_rest_is_the_transports_own() -> None:
    async with Pair() as pair:
        assert pair.transport.get_extra_info("peername") == pair.counted.inner.get_extra_info("peername")
        assert not pair.transport.is_closing()
        assert pair.transport.is_reading()
        pair.transport.pause_reading()
        assert not pair.transport.is_reading()
        pair.transport.resume_reading()
        pair.transport.set_write_buffer_limits(high=10)
        assert pair.transport.get_write_buffer_limits()[1] == 10
        assert pair.transport.can_write_eof()
        protocol = asyncio.Protocol()
        pair.transport.set_protocol(protocol)
        assert pair.transport.get_protocol() is protocol


async def test_our_lines_stand_in_the_next_head_once_and_in_no_interim_response() -> None:
    async with Pair() as pair:
        pair.transport.ours = b"x-request-id: 7\r\n"
        pair.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pair.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        pair.transport.write(b"{}")
        pair.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        wanted = (
            b"HTTP/1.1 100 Continue\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nx-request-id: 7\r\ncontent-length: 2\r\n\r\n{}"
            b"HTTP/1.1 204 No Content\r\n\r\n"
        )
        assert await pair.reader.readexactly(len(wanted)) == wanted
