"""The fake provider as an object: started, asked and stopped in process."""

import asyncio
import socket
from functools import partial
from types import TracebackType

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.faults.engine.calls import Calls, Turns
from holdfast.rooms.faults.engine.connection import Connection, Sleep
from holdfast.rooms.faults.engine.desk import Desk
from holdfast.rooms.faults.rules.names import parse_fault

_BACKLOG = 4_096


class FaultServer:
    """An OpenAI-compatible provider whose model names select faults.

    `async with FaultServer() as server:` listens on a free port; `server.url` is the base URL for clients,
    with `/v1` at its end, and `server.calls` the log of what arrived. `delay_ms` comes before every answer;
    `fault` is for models whose name selects none (they are a 404 without it). `sleep` is how pauses pass:
    a test may let them pass at once.

    Raises Misconfigured when the address is taken, UnknownFault for a `fault` that is none.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        delay_ms: float = 0.0,
        fault: str = "",
        clock: Clock | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._host = host
        self._port = port
        self._delay_s = delay_ms / 1000
        self._sleep = sleep
        self._clock = clock or SystemClock()
        self.calls = Calls(self._clock.monotonic)
        turns = Turns(seed, self._clock.monotonic, self._clock.wall)
        self._desk = Desk(self._clock, self.calls, turns, parse_fault(fault) if fault else None)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens; known once it has started."""
        return self._port

    @property
    def address(self) -> str:
        """`http://host:port`, for `/_faults` and `/_calls`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def url(self) -> str:
        """The base URL that clients take."""
        return f"{self.address}/v1"

    async def start(self) -> None:
        """Listen; when this returns, connections are taken."""
        loop = asyncio.get_running_loop()
        new = partial(Connection, self._desk, self._connections, self._delay_s, self._sleep)
        try:
            self._server = await loop.create_server(new, self._host, self._port, backlog=_BACKLOG)
        except (OSError, OverflowError) as error:
            raise Misconfigured(
                f"the fake provider cannot listen on {self._host} port {self._port}: {error}",
                hint="stop what listens there, or choose another port; 0 is a free one",
            ) from None
        bound: socket.socket = self._server.sockets[0]
        self._port = bound.getsockname()[1]

    async def stop(self) -> None:
        """Close the door and every connection, whatever is under way; idempotent."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        tasks = [task for connection in list(self._connections) if (task := connection.drop()) is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    async def __aenter__(self) -> "FaultServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
