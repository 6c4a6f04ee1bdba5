"""What a room serves over HTTP: typed routes, the call they get and the answer they give.

A handler sees no ASGI and no framework: `async def handler(call: Call) -> Answer | Struct`. The
edge finds the route, decodes query and body by their declared types, encodes what comes back and
renders the OpenAPI document from the same declarations.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec

from holdfast.kernel.errors import Problem
from holdfast.kernel.event import Event


class Call:
    """One request to one of our routes."""

    __slots__ = ("body", "chunks", "event", "headers", "params", "query", "raw")

    def __init__(
        self,
        event: Event,
        *,
        params: Mapping[str, str] | None = None,
        query: Any = None,
        body: Any = None,
        headers: Mapping[bytes, bytes] | None = None,
        raw: bytes = b"",
        chunks: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.event = event
        self.params: Mapping[str, str] = params or {}
        """Path parameters, percent-decoded."""
        self.query = query
        """The query string as the route's `query` Struct."""
        self.body = body
        """The body as the route's `body` type."""
        self.headers: Mapping[bytes, bytes] = headers or {}
        """Lower-case names; of a repeated header the last."""
        self.raw = raw
        self.chunks = chunks
        """The body as it comes, where the route `reads`; raises Malformed when the client leaves early."""

    @property
    def user_id(self) -> str:
        """Who the edge found the caller to be; empty when nobody."""
        return self.event.user_id

    def header(self, name: str) -> str:
        return self.headers.get(name.encode(), b"").decode("latin-1")


class Answer(msgspec.Struct, frozen=True):
    """A response in full control of its status, media type and headers."""

    content: Any = b""
    """bytes go out as they are; anything else is encoded as JSON."""
    status: int = 200
    media_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncIterator[bytes] | None = None
    """When given, the body is what it yields, each chunk flushed by itself. Closed however it ends."""
    farewell: bytes = b""
    """The last chunk of a stream that the server's stop cuts off. With it a stream goes on until it is cut;
    without it it ends at its next chunk."""


Handler = Callable[[Call], Awaitable[Any]]


class Route(msgspec.Struct, frozen=True):
    """One address: `path` may hold `{name}` parts, each matching one segment (`{name:path}`: the rest)."""

    method: str
    path: str
    handler: Handler
    summary: str
    query: type[msgspec.Struct] | None = None
    body: Any = None
    answer: Any = None
    status: int = 200
    listed: bool = True
    """Whether it stands in the OpenAPI document."""
    public: bool = True
    """False asks for the admin token outside development."""
    heeds: bool = False
    """Whether its work is cancelled when the client leaves. A stream always is."""
    reads: Mapping[str, Any] | None = None
    """Media types, each with its type or JSON schema, of a body that the handler reads from `Call.chunks`.

    It is of any size: the handler sets the limit. Such a route does not heed a client that leaves."""
    problem: Callable[[Problem, str], bytes] | None = None
    """Writes a problem, with the request's id, as JSON of this address's own shape; None: problem+json."""
