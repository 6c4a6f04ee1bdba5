"""A front door for this room's tests, with nothing of any other room in it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from holdfast.edge.compress import Compression
from holdfast.edge.compress import Config as CompressionConfig
from holdfast.edge.identity import Identities
from holdfast.edge.pipeline import Edge
from holdfast.edge.respond import Responder
from holdfast.edge.router import Router
from holdfast.edge.settings import Config
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.route import Route
from holdfast.ports.services import NoEventLog, NoMeter

App = Callable[[Any, Any, Any], Awaitable[None]]


class Got:
    """What a client got."""

    def __init__(self, messages: Sequence[dict[str, Any]]) -> None:
        self.messages = messages
        self.status = int(messages[0]["status"])
        self.headers = {name.decode(): value.decode("latin-1") for name, value in messages[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])


class Door:
    """An Edge in front of `app`, and a client that speaks ASGI to it."""

    def __init__(
        self,
        app: App,
        *,
        routes: Sequence[Route] = (),
        open_admin: bool = True,
        identities: Identities | None = None,
    ) -> None:
        self.edge = Edge(
            app,
            config=Config(),
            router=Router(routes),
            responder=Responder(max_body_bytes=1000, admin_token="swordfish", open_admin=open_admin),
            log=NoEventLog(),
            meter=NoMeter(),
            clock=ManualClock(),
            ids=IdSource(7),
            wake=self._wake,
            identities=identities,
            compression=Compression(CompressionConfig()),
        )

    async def _wake(self) -> None:
        self.edge.awake = True

    async def get(self, path: str = "/", *, headers: Sequence[tuple[str, str]] = ()) -> Got:
        return await self.call("GET", path, headers=headers)

    async def call(self, method: str, path: str = "/", *, headers: Sequence[tuple[str, str]] = ()) -> Got:
        """One request without a body."""
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "client": ("192.0.2.7", 4711),
        }
        await self.edge(scope, receive, send)
        return Got(messages)


def answers(body: bytes = b"{}", *, status: int = 200) -> App:
    """An app that gives this one answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    return app
