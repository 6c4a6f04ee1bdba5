"""One request on its way through the edge: what is sent is watched, counted, stamped and compressed.

This file and `Edge.__call__` are the hot path of every request. A Python call costs here two or three
times what a tight loop would show, so the ordinary answer (one start, one body) is handled in one frame
a message, and everything that is not ordinary leaves by a call of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

from holdfast.edge.compress import VARY, Headers, Plan
from holdfast.edge.conditional import (
    HASH_ASIDE_BYTES,
    SILENCE,
    Keep,
    Silence,
    Tagging,
    become_not_modified,
    entity_tag,
    has_it,
    say_how_to_keep,
    wants_tag,
)
from holdfast.edge.heed import LEFT
from holdfast.edge.onewrite import wire_of
from holdfast.kernel.context import Ctx, Fields, lines_of
from holdfast.ports.services import Scope

if TYPE_CHECKING:
    from holdfast.edge.pipeline import Edge

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class _Done:
    """An awaitable with nothing to wait for: the answer to a message that is held back."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_DONE = _Done()


class Passage(Ctx, kw_only=True, eq=False):
    """The request's Ctx and its ASGI ends in one object: what the app calls is `passage.send`.

    `send` is a plain function that returns the server's own awaitable: one coroutine less a message.
    """

    edge: "Edge"
    scope: Scope
    server_receive: Receive
    server_send: Send
    started_at: float
    """Monotonic seconds."""
    started: bool = False
    """Whether the status line has been handed to the server: no other answer is possible then."""
    finished: bool = False
    """Whether the last byte has."""
    recorded: bool = False
    has_length: bool = False
    """Whether the response announced its length: then chunks are no stream."""
    cut: bool = False
    """Whether we ended the stream ourselves, at shutdown."""
    task: asyncio.Task[Any] | None = None
    """The task that sends a stream; none for an ordinary answer."""
    plan: "Plan | Tagging | Silence | None" = None
    """How the body is being compressed, that its tag is waited for, or that nobody gets it."""
    keep: Keep | None = None
    """What the answer says to caches; whoever sets it also sees to `headers` being a list."""
    held: Any = None
    """A start that waits for the body, whose compressed length it has to tell."""

    async def receive(self) -> Any:
        """The server's `receive`; a disconnect is noted and passed on to whoever asked."""
        message = await self.server_receive()
        if message["type"] == "http.disconnect" and not self.finished:
            self.client_left()
        return message

    def client_left(self) -> None:
        """The client has gone before the response was whole."""
        if not self.event.ended:
            self.event.ended = LEFT
        self.leave()

    def send(self, message: Any) -> Awaitable[None]:
        """The server's `send`, with our headers on the start and our eye on every byte."""
        kind = message["type"]
        if kind == "http.response.start":
            return self._start(message)
        if kind != "http.response.body":
            return self.server_send(message) if self.held is None else self._send_unplanned(message)
        if self.plan is not None:
            return self._send_encoded(message)
        event = self.event
        if message.get("more_body") or event.first_byte_ns or event.stream:
            return self._send_chunk(message)
        # The whole body in one message. The server writes it before its `send` first waits, so the
        # request can be measured and written down here, without a coroutine to come back to.
        body = message.get("body")
        if body:
            event.response_bytes = len(body)
        self.finished = True
        edge = self.edge
        event.duration_ns = int((edge.monotonic() - self.started_at) * 1e9)
        if event.status < 500:
            edge.record(self)
        return self.server_send(message)

    def _start(self, message: Any) -> Awaitable[None]:
        self.started = True
        event, edge = self.event, self.edge
        event.status = message["status"]
        given = message.get("headers")
        message["headers"] = headers = list(given) if given else []
        kind, length, validated = b"", None, False
        for name, value in headers:
            if name == b"content-length":
                length = value
            elif name == b"content-type":
                kind = value
            elif name == b"etag" or name == b"last-modified":
                validated = True
        self.has_length = length is not None
        if (
            edge.vary_alone.get(kind)
            and len(headers) == 2
            and length is not None
            and len(length) <= edge.short
        ):
            headers.append(VARY)
        elif kind or validated:
            headers = self._look_closer(message, kind, validated)
        trace = event.trace_id.encode()
        asked = trace if event.request_id is event.trace_id else event.request_id.encode()
        wire = wire_of(self.server_send)
        if wire is not None and self.held is None and self.keep is None:
            fields = self.headers
            if fields is None:
                wire.ours = b"x-request-id: %b\r\nx-trace-id: %b\r\n" % (asked, trace)
            else:
                lines = fields.lines if isinstance(fields, Fields) else lines_of(fields)
                wire.ours = b"x-request-id: %b\r\nx-trace-id: %b\r\n%b" % (asked, trace, lines)
            return self.server_send(message)
        headers.append((b"x-request-id", asked))
        headers.append((b"x-trace-id", trace))
        if self.headers is not None:
            headers.extend(self.headers)
            if self.keep is not None:
                self._say_how_to_keep(message, self.keep)
        return self.server_send(message) if self.held is None else _DONE

    def _look_closer(self, message: Any, kind: bytes, validated: bool) -> Headers:
        """An answer that may be a stream, may be compressed, or may be there already; its headers then."""
        edge = self.edge
        if kind.startswith(b"text/event-stream"):
            edge.streams_now(self)
        if edge.compression is not None:
            self.plan = plan = edge.compression.plan(self.scope, message)
            if plan is not None and plan.is_whole:
                self.held = message
        if validated and message["status"] == 200 and has_it(self.scope, message["headers"]):
            self._not_modified(message)
        found: Headers = message["headers"]  # a plan for a stream has replaced them
        return found

    def _say_how_to_keep(self, message: Any, keep: Keep) -> None:
        """The handler's word to caches; its own ETag is compared now, one of the body when that is here."""
        named = any(name == b"etag" for name, _ in message["headers"])
        say_how_to_keep(keep, message, varies=self._depends_on_a_variant())
        if not named and message["status"] == 200 and has_it(self.scope, message["headers"]):
            self._not_modified(message)
        elif self.has_length and not isinstance(self.plan, Silence) and wants_tag(keep, self.scope, message):
            self.plan, self.held = Tagging(self.plan if isinstance(self.plan, Plan) else None), message

    def _depends_on_a_variant(self) -> bool:
        """Whether the door assigned one, or one was used on the way: a CDN would give it to everybody."""
        facts = self.event.facts
        return bool(self.variants) or (facts is not None and "exposed" in facts)

    def _not_modified(self, message: Any) -> None:
        """Answer 304 in the place of a 200; the start waits for the body that it replaces."""
        become_not_modified(message, self.scope, encoded=self.plan is not None)
        self.event.status = 304
        self.plan, self.held = SILENCE, message

    async def _send_nothing(self) -> None:
        """The start of a 304 and its empty body; whatever else the app sends is not wanted."""
        start, self.held = self.held, None
        if start is None:
            return
        self.plan = None
        await self.server_send(start)
        await self.send({"type": "http.response.body", "body": b""})
        self.plan = SILENCE

    async def _send_tagged(self, tagging: Tagging, message: Any) -> None:
        """The body that its start waits for: tag it when it is whole, then go on as if nothing had been."""
        start, self.plan = self.held, tagging.inner
        if not message.get("more_body", False):
            body = message.get("body", b"")
            aside = len(body) > HASH_ASIDE_BYTES
            tag = await asyncio.to_thread(entity_tag, body) if aside else entity_tag(body)
            start["headers"].append((b"etag", tag))
            if has_it(self.scope, start["headers"]):
                self._not_modified(start)
                await self._send_nothing()
                return
        if self.plan is None:
            self.held = None
            await self.server_send(start)
        await self.send(message)

    def _send_chunk(self, message: Any) -> Awaitable[None]:
        """A part of a body that comes in several messages."""
        event = self.event
        body = message.get("body")
        if body:
            event.response_bytes += len(body)
        if event.first_byte_ns == 0:
            event.first_byte_ns = int((self.edge.monotonic() - self.started_at) * 1e9) or 1
            if not self.has_length or event.stream:
                self.edge.flows(self)
        return self.server_send(message) if message.get("more_body") else self._send_last(message)

    async def _send_last(self, message: Any) -> None:
        await self.server_send(message)
        if not self.finished:
            self.finished = True
            self.edge.sent(self)

    async def _send_encoded(self, message: Any) -> None:
        plan = self.plan
        if not isinstance(plan, Plan):
            await (self._send_tagged(plan, message) if isinstance(plan, Tagging) else self._send_nothing())
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        start, self.held = self.held, None
        self.plan = None  # what follows goes through `send` again, as it is
        if start is not None and not more:
            body = await plan.whole(body, start)
            await self.server_send(start)
            await self.send({"type": "http.response.body", "body": body})
            return
        if start is not None:
            plan.begin_stream(start)
            await self.server_send(start)
        encoded = await plan.encode_aside(body, more)
        if encoded or not more:
            await self.send({"type": "http.response.body", "body": encoded, "more_body": more})
        self.plan = plan if more else None

    async def _send_unplanned(self, message: Any) -> None:
        """A message that is no body (a file to send, trailers): the start goes out as it was, first."""
        if self.plan is SILENCE:
            await self._send_nothing()
            return
        start, self.held, self.plan = self.held, None, None
        await self.server_send(start)
        await self.server_send(message)

    def discard_held(self) -> bool:
        """Drop a start that nobody has seen yet; True when another answer is still possible."""
        if self.held is not None:
            self.held = self.plan = None
            self.started = self.has_length = False
        return not self.started

    async def receive_websocket(self) -> Any:
        """The server's `receive` for a WebSocket: only its end concerns us."""
        message = await self.server_receive()
        if message["type"] == "websocket.disconnect":
            self.event.ended = self.event.ended or LEFT
            self.leave()
        return message

    def pass_through(self, message: Any) -> Awaitable[None]:
        """The server's `send` for a WebSocket: bytes are counted, nothing is changed."""
        if message["type"] == "websocket.send":
            self.event.response_bytes += len(message.get("bytes") or message.get("text") or "")
        return self.server_send(message)
