"""A front door with everything in memory, and a client that speaks ASGI to it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from holdfast.edge.compress import Compression
from holdfast.edge.compress import Config as CompressionConfig
from holdfast.edge.pipeline import Edge
from holdfast.edge.respond import Responder
from holdfast.edge.router import Router
from holdfast.edge.settings import Config
from holdfast.kernel.clock import Clock, ManualClock
from holdfast.kernel.event import Record
from holdfast.kernel.ids import IdSource
from holdfast.kernel.route import Route
from holdfast.ports.services import NoEventLog
from holdfast.rooms.telemetry.engine.registry import Registry

App = Callable[[Any, Any, Any], Awaitable[None]]


class Kept(NoEventLog):
    """An event log that keeps its records in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []

    def append(self, record: Record) -> None:
        super().append(record)
        self.records.append(record)


class Door:
    """An Edge in front of `app`, with its log and meter at hand."""

    def __init__(
        self,
        app: App,
        *,
        routes: Sequence[Route] = (),
        config: Config | None = None,
        clock: Clock | None = None,
        open_admin: bool = True,
        **parts: Any,
    ) -> None:
        self.log = Kept()
        self.clock = clock or ManualClock()
        self.meter = Registry(self.clock)
        self.woken = 0
        self.edge = Edge(
            app,
            config=config or Config(),
            router=Router(routes),
            responder=Responder(max_body_bytes=1000, admin_token="swordfish", open_admin=open_admin),
            log=self.log,
            meter=self.meter,
            clock=self.clock,
            ids=IdSource(7),
            wake=self._wake,
            compression=parts.pop("compression", Compression(CompressionConfig())),
            **parts,
        )

    async def _wake(self) -> None:
        self.woken += 1
        self.edge.awake = True

    async def get(self, path: str = "/", **more: Any) -> "Response":
        return await self.call("GET", path, **more)

    async def call(
        self,
        method: str,
        path: str = "/",
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: Sequence[bytes] = (b"",),
        leaves: bool = False,
        scope: dict[str, Any] | None = None,
    ) -> "Response":
        """One request; with `leaves` the client disconnects when its body has been read."""
        asked, _, query = path.partition("?")
        full = {
            "type": "http",
            "method": method,
            "path": asked,
            "raw_path": asked.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "client": ("192.0.2.7", 4711),
            **(scope or {}),
        }
        response = Response(body, leaves=leaves)
        await self.edge(full, response.receive, response.send)
        return response

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """Every series of a metric: its labels, and its value or number of observations."""
        family = self.meter.family(name)
        assert family is not None
        return {labels: _reading(series) for labels, series in family.series.items()}


class Response:
    """What a client got, message by message."""

    def __init__(self, body: Sequence[bytes], *, leaves: bool) -> None:
        self.messages: list[dict[str, Any]] = []
        self._chunks = list(body)
        self._leaves = leaves
        self._done = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._chunks:
            chunk = self._chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(self._chunks)}
        if not self._leaves:
            await self._done.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._done.set()

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode("latin-1") for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])


def answers(
    body: bytes = b"{}", *, status: int = 200, kind: str = "application/json", headers: Sequence[Any] = ()
) -> App:
    """An app that gives this one answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body)), *headers]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    return app


def streams(*chunks: bytes, kind: str = "text/event-stream", before: Callable[[], Any] | None = None) -> App:
    """An app that sends its body in chunks of no announced length."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]}
        )
        for chunk in chunks:
            if before is not None:
                await before()
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def _reading(series: Any) -> float:
    return float(series.count if series.kind == "histogram" else series.value)
