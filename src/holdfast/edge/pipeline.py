"""The one ASGI callable that every request passes, outermost.

In this order: ids and trace context, identity, admission, variant assignment, our own routes or the
app below, then timing to the last byte, metrics and the record. Nothing here waits for anything but
the app, the client and (when there is one) admission.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from holdfast.edge.compress import Headers
from holdfast.edge.identity import CREDENTIALS, Identities
from holdfast.edge.passage import Passage, Receive, Send
from holdfast.edge.proxies import Networks, client_ip
from holdfast.edge.record import Recorder, route_of
from holdfast.edge.respond import Responder
from holdfast.edge.router import Router
from holdfast.edge.settings import Config
from holdfast.edge.streams import Streams
from holdfast.edge.tracecontext import head_sampled, parse_traceparent, parse_tracestate, valid_request_id
from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import cut_bytes
from holdfast.kernel.context import Sources, enter, leave
from holdfast.kernel.errors import Internal, Problem
from holdfast.kernel.event import Event
from holdfast.kernel.guard.deadline import HEADER, parse_timeout_ms
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import has_failed
from holdfast.ports.services import Admission, Assignment, EventLog, Meter, Scope

if TYPE_CHECKING:
    from holdfast.edge.compress import Compression

logger = logging.getLogger("holdfast.edge")

App = Callable[[Scope, Receive, Send], Awaitable[None]]
Ask = Callable[[Scope, Passage], "Problem | Awaitable[Problem | None] | None"]

_TIMEOUT = HEADER.lower().encode()
_NAMES = frozenset({b"traceparent", b"tracestate", b"x-request-id", b"x-correlation-id", _TIMEOUT})
_WANTED = _NAMES | CREDENTIALS
CLIENT_CLOSED = 499
"""The status written when the client left before any answer (nginx's convention; never sent)."""


class Edge:
    """The layer. `app` is what it stands in front of; `wake` starts the rooms when no lifespan did."""

    def __init__(
        self,
        app: App,
        *,
        config: Config,
        router: Router,
        responder: Responder,
        log: EventLog,
        meter: Meter,
        clock: Clock,
        ids: IdSource,
        wake: Callable[[], Awaitable[None]],
        identities: Identities | None = None,
        compression: "Compression | None" = None,
        admission: Admission | None = None,
        assignment: Assignment | None = None,
    ) -> None:
        self.app = app
        self.config = config
        self.route_to(router)
        self.responder = responder
        self.monotonic = clock.monotonic
        self._wall = clock.wall
        self._sample_all = config.sample_rate >= 1
        self.sources = Sources(clock, ids)
        self._bits = ids.bits
        self._iso = self.sources.stamps.iso
        self.identities = identities
        self.compression = compression
        self.admission = admission
        self.assignment = assignment
        self.recorder = Recorder(log, meter, slow_request_s=config.slow_request_s)
        self.record = self.recorder.request
        self.streams = Streams(meter)
        # Of which content types an ordinary short answer needs nothing but `Vary`, and how many digits
        # its length then has at most: what most answers are, decided without a call.
        self.vary_alone = compression.types if compression is not None else {}
        self.short = len(str(compression.config.minimum_bytes)) - 1 if compression is not None else 0
        self._record_path = config.record_path
        self._timeout_s = config.timeout_s or None
        self._record_client_ip = config.record_client_ip
        self._trusted = identities.trusted if identities is not None else Networks()
        # Whom a caller without credentials meets: everybody, admission alone, or nobody.
        self._ask_stranger: Ask | None = self._ask
        if not (identities is not None and identities.required):
            self._ask_stranger = admission.admit if admission is not None else None
        self.in_flight = 0
        self.awake = False
        self._wake = wake
        meter.watch(
            "holdfast_http_requests_in_flight", "Requests being served now.", lambda: float(self.in_flight)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.awake:
            await self._wake()
        passage = self._open(scope, receive, send)
        token = enter(passage)
        self.in_flight += 1
        try:
            ask = self._ask if "holdfast.credentials" in scope else self._ask_stranger
            if ask is not None:
                refusal = ask(scope, passage)
                if refusal is not None:
                    if not isinstance(refusal, Problem):
                        refusal = await refusal
                    if refusal is not None:
                        await self._answer(passage, refusal)
                        return
            if self.assignment is not None and self.assignment.assigns:
                self.assignment.assign(scope, passage)
            if (path := scope["path"]) in self.exact or path.startswith(self.prefixes):
                await self._app_or_ours(passage)
            else:
                await self.app(scope, passage.receive, passage.send)
            if not passage.finished:
                await self._unfinished(passage)
        except asyncio.CancelledError as error:
            if passage.cut or not has_failed(error):
                await self._cancelled(passage)
            else:  # nobody asked for it: the client still waits
                await self._failed(passage, error)
        except BaseException as error:
            if not has_failed(error):
                raise
            await self._failed(passage, error)
        finally:
            self.in_flight -= 1
            leave(token)
            if not passage.recorded:
                self._close(passage)
            if passage.admitted is not None and self.admission is not None:
                self.admission.release(passage)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket is a stream: ids and the record, its messages pass untouched."""
        if not self.awake:
            await self._wake()
        passage = self._open(scope, receive, send)
        token = enter(passage)
        try:
            await self._serve_websocket(passage)
        except BaseException as error:
            if has_failed(error):
                self._note(passage, error)
                passage.event.ended = passage.event.ended or "error"
            elif isinstance(error, asyncio.CancelledError):
                passage.event.ended = passage.event.ended or "cancelled"
            raise
        finally:
            leave(token)
            self._close(passage)
            if passage.admitted is not None and self.admission is not None:
                self.admission.release(passage)

    def route_to(self, router: Router) -> None:
        """Answer `router`'s addresses ourselves from now on."""
        self.router = router
        self.exact = router.exact
        self.prefixes = router.prefixes

    def _open(self, scope: Scope, receive: Receive, send: Send) -> Passage:
        """The request's record and its Ctx; what the caller named is read only where it named something."""
        now = self.monotonic()
        found: dict[bytes, list[bytes]] | None = None
        for name, value in scope["headers"]:
            if name in _WANTED:
                if found is None:
                    found = {}
                found.setdefault(name, []).append(value)
        bits = self._bits
        trace_id = "%032x" % (bits(128) or 1)
        client = scope.get("client")
        address = client[0] or "" if client is not None else ""
        if self._trusted:
            address = client_ip(scope, self._trusted)
        event = Event(
            timestamp=self._iso(self._wall()),
            trace_id=trace_id,
            span_id="%016x" % (bits(64) or 1),
            request_id=trace_id,
            method=scope.get("method", "WEBSOCKET"),
            path=scope["path"] if self._record_path else "",
            client_ip=address if self._record_client_ip else "",
            sampled=self._sample_all or head_sampled(trace_id, self.config.sample_rate, None),
        )
        timeout_s = self._timeout_s
        if found is not None:
            self._read(event, found)
            if _TIMEOUT in found:
                given_s = parse_timeout_ms(found[_TIMEOUT][-1])
                if given_s is not None and (timeout_s is None or given_s < timeout_s):
                    timeout_s = given_s
            if not CREDENTIALS.isdisjoint(found):
                scope["holdfast.credentials"] = found
        return Passage(
            event,
            self.sources,
            edge=self,
            scope=scope,
            server_receive=receive,
            server_send=send,
            started_at=now,
            client_ip=address,
            deadline=None if timeout_s is None else now + timeout_s,
        )

    def _read(self, event: Event, found: dict[bytes, list[bytes]]) -> None:
        """Take over what the caller named: its trace, its request id, its correlation id."""
        given = found.get(b"traceparent")
        if given is not None:
            parent = parse_traceparent(given)
            if parent is not None:
                event.trace_id = event.request_id = parent.trace_id
                event.parent_id = parent.parent_id
                event.sampled = head_sampled(parent.trace_id, self.config.sample_rate, parent.sampled)
                event.tracestate = parse_tracestate(found.get(b"tracestate", ()))
        if self.config.trust_request_id and b"x-request-id" in found:
            event.request_id = valid_request_id(found[b"x-request-id"][-1]) or event.trace_id
        if b"x-correlation-id" in found:
            event.correlation_id = valid_request_id(found[b"x-correlation-id"][-1]) or ""

    async def _app_or_ours(self, passage: Passage) -> None:
        """One of our own addresses, or one of the app's that begins like them."""
        scope = passage.scope
        found = self.router.find(scope["path"], scope.get("raw_path"))
        if found is None:
            await self.app(scope, passage.receive, passage.send)
        else:
            await self.responder.serve(found, passage, scope, passage.receive, passage.send)

    def _ask(self, scope: Scope, passage: Passage) -> "Problem | Awaitable[Problem | None] | None":
        """Identity, then admission; a Problem, or what becomes one, is the answer.

        Not a coroutine: the ordinary request is let in without one.
        """
        identities = self.identities
        if identities is not None and (identities.required or "holdfast.credentials" in scope):
            passage.tenant = identities.identify(scope, passage.event).tenant
        if self.admission is None:
            return None
        return self.admission.admit(scope, passage)

    # -- what the passage tells us ------------------------------------------------------------

    def streams_now(self, passage: Passage) -> None:
        """The response is a stream from its headers on, even before its first byte."""
        self.streams.begin(passage, self._route(passage))

    def flows(self, passage: Passage) -> None:
        """The first chunk of a body whose length nobody announced."""
        if not passage.event.stream:
            self.streams.begin(passage, self._route(passage))
        self.streams.first_byte(passage, self._route(passage))

    def sent(self, passage: Passage) -> None:
        """The last of several chunks is out. An error waits for its exception, a stream for its end."""
        event = passage.event
        event.duration_ns = int((self.monotonic() - passage.started_at) * 1e9)
        if event.status < 500 and not event.stream:
            self.record(passage)

    def _close(self, passage: Passage) -> None:
        """Write down what has ended in any other than the ordinary way."""
        event = passage.event
        if not event.duration_ns:
            event.duration_ns = int((self.monotonic() - passage.started_at) * 1e9)
        if event.stream:
            passage.recorded = True
            self.streams.end(passage, self._route(passage))
            self.recorder.stream(passage)
        else:
            self.record(passage)

    def _route(self, passage: Passage) -> str:
        event = passage.event
        if not event.route:
            event.route = route_of(passage.scope, event.status)
        return event.route

    # -- endings that are not ordinary --------------------------------------------------------

    async def _unfinished(self, passage: Passage) -> None:
        """The app returned without a whole response."""
        event = passage.event
        if passage.cut:
            await passage.send({"type": "http.response.body", "body": b""})
        elif event.ended:
            event.status = event.status or CLIENT_CLOSED
        elif not passage.discard_held():
            event.ended = "incomplete"
        else:
            await self._answer(passage, Internal("the application gave no response"))

    async def _cancelled(self, passage: Passage) -> None:
        """Our own cut of a stream ends it cleanly; the server's cancellation passes on."""
        event = passage.event
        event.ended = event.ended or "cancelled"
        if not passage.cut:
            event.status = event.status or CLIENT_CLOSED
            raise asyncio.CancelledError
        if not passage.finished:
            await passage.send({"type": "http.response.body", "body": b""})

    async def _failed(self, passage: Passage, error: BaseException) -> None:
        """A Problem is an answer; any other exception is recorded, answered if possible, else raised."""
        event = passage.event
        if event.ended and isinstance(error, OSError):
            event.status = event.status or CLIENT_CLOSED
            return
        if not isinstance(error, Problem) or error.status >= 500:
            self._note(passage, error)
        if passage.scope["type"] == "http" and passage.discard_held():
            if not isinstance(error, Problem):
                logger.error("unhandled exception in %s %s", event.method, event.path, exc_info=error)
            await self._answer(passage, error if isinstance(error, Problem) else Internal())
            return
        if not passage.finished:
            event.ended = event.ended or "error"
        raise error

    def _note(self, passage: Passage, error: BaseException) -> None:
        event = passage.event
        event.error_type = type(error).__name__
        event.error_message = cut_bytes(str(error), 4096)
        event.error_stack = cut_bytes("".join(traceback.format_exception(error)), 16384)
        self.recorder.error(self._route(passage), event.error_type)

    async def _answer(self, passage: Passage, problem: Problem) -> None:
        event = passage.event
        body, headers = self._written(problem, passage)
        headers.append((b"content-length", b"%d" % len(body)))
        event.note(problem=problem.code)
        await passage.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        content = b"" if event.method == "HEAD" else body
        await passage.send({"type": "http.response.body", "body": content})

    def _written(self, problem: Problem, passage: Passage) -> tuple[bytes, Headers]:
        """The problem as the address that was asked writes its own, or as problem+json."""
        scope, asked = passage.scope, passage.event.request_id
        found = self.router.find(scope["path"], scope.get("raw_path"))
        route = found[0].get(scope.get("method", "")) if found is not None else None
        if route is None or route.problem is None:
            return problem.body(asked), problem.headers()
        headers = [field for field in problem.headers() if field[0] != b"content-type"]
        return route.problem(problem, asked), [(b"content-type", b"application/json"), *headers]

    async def _serve_websocket(self, passage: Passage) -> None:
        event = passage.event
        try:
            refusal = self._ask(passage.scope, passage)
            if refusal is not None and not isinstance(refusal, Problem):
                refusal = await refusal
        except Problem as found:
            refusal = found
        if refusal is not None:
            await self._deny(passage, refusal)
            return
        if self.assignment is not None and self.assignment.assigns:
            self.assignment.assign(passage.scope, passage)
        event.status = 101
        event.route = route_of(passage.scope, 0)
        self.streams.begin(passage, event.route)
        await self.app(passage.scope, passage.receive_websocket, passage.pass_through)
        passage.finished = True

    async def _deny(self, passage: Passage, refusal: Problem) -> None:
        """Refuse a handshake: with the problem where the server can say it, else by closing (a 403)."""
        event = passage.event
        event.ended = "refused"
        event.note(problem=refusal.code)
        if "websocket.http.response" not in (passage.scope.get("extensions") or {}):
            event.status = 403
            await passage.pass_through({"type": "websocket.close", "code": 3000})
            return
        event.status = refusal.status
        start = {"type": "websocket.http.response.start", "status": refusal.status}
        await passage.pass_through({**start, "headers": refusal.headers()})
        await passage.pass_through(
            {"type": "websocket.http.response.body", "body": refusal.body(event.request_id)}
        )
