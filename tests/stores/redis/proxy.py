"""A network between us and a server that a test can stall or cut."""

import asyncio
from typing import Any

from tests.free_ports import free_port


class Proxy:
    """Forwards bytes to `port` of 127.0.0.1. Stalled, it takes connections and bytes, and gives none."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self.accepted = 0
        self._behind = port
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def stall(self) -> None:
        """A partition: packets vanish, connections stand."""
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    async def cut(self) -> None:
        """Reset every connection and refuse new ones, until `start`."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def stop(self) -> None:
        await self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(back)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._forward(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._open.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.transport.abort()
            self._writers.discard(sink)


class Ears:
    """A listener that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def heard(self, payload: bytes) -> None:
        self.told.append(payload)

    def joined(self) -> None:
        self.told.append("joined")

    def cut_off(self) -> None:
        self.told.append("cut off")
