"""One connection of the lane: a request goes out in one write, its answer is parsed as it comes in."""

import asyncio
import select
from typing import Any, Protocol, cast

import httptools

from holdfast.rooms.llm.providers.transport import Answer, Headers, Limits
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

NEVER = float("inf")
JOINED_BYTES = 64 * 1024
"""Up to here a body is copied behind its head, so that both leave in one write."""
UPLOAD_BYTES_S = 256 * 1024
"""The slowest upload that is waited for: a longer body gets more time to its first byte."""
BUFFERED_BYTES = 256 * 1024
"""What a stream may hold unread before its peer is told to stop."""
DRAINED_BYTES = 64 * 1024
"""What may follow after a stream was finished, for the sake of keeping the connection."""


class Owner(Protocol):
    """The pool a wire belongs to."""

    def release(self, wire: "Wire") -> None: ...

    def lost(self, wire: "Wire") -> None: ...


class Wire(asyncio.Protocol):
    """One connection, one exchange at a time; `owner` is told when an exchange or the connection ends."""

    __slots__ = (
        "_buffered",
        "_draining",
        "_error",
        "_excess",
        "_field_bytes",
        "_future",
        "_head_bytes",
        "_keep",
        "_limits",
        "_loop",
        "_parser",
        "_parts",
        "_paused",
        "_poll",
        "_reader",
        "_transport",
        "_until_eof",
        "_whole",
        "busy",
        "closed",
        "complete",
        "due",
        "headed",
        "headers",
        "idle_until",
        "owner",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self.owner: Owner | None = None
        self.closed = False
        self.busy = False
        self.idle_until = NEVER
        self._loop = loop
        self._limits = limits
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._poll: Any = None
        self._future: asyncio.Future[Any] | None = None
        self._reset(whole=True)

    def _reset(self, whole: bool) -> None:
        self._whole = whole
        self.status = 0
        self.headers: Headers = {}
        self.headed = self.complete = False
        self.due = NEVER
        self._draining = self._excess = self._keep = self._paused = self._until_eof = False
        self._head_bytes = self._field_bytes = self._buffered = 0
        self._parts: list[bytes] = []
        self._error: ProviderFailed | None = None
        self._reader: asyncio.Future[None] | None = None

    # What the pool calls.

    def ask(self, head: bytes, body: bytes, first_byte_s: float, whole: bool) -> asyncio.Future[Any]:
        """Send a request. The future gives the whole Answer, or None when the head of a stream is there."""
        transport = cast(asyncio.Transport, self._transport)
        self._reset(whole)
        self.busy = True
        future = self._future = self._loop.create_future()
        size = len(body)
        self.due = self._loop.time() + first_byte_s
        if size <= JOINED_BYTES:
            transport.write(b"%b%d\r\n\r\n%b" % (head, size, body))
        else:
            self.due += size / UPLOAD_BYTES_S
            transport.writelines((b"%b%d\r\n\r\n" % (head, size), body))
        return future

    def fresh(self) -> bool:
        """Whether nothing has happened on the unused connection: a close or bytes that nobody asked for.

        Asked before each use, so that no request is written to a connection whose end has arrived already.
        """
        return not self.closed and (self._poll is None or not self._poll.poll(0))

    def overdue(self) -> None:
        """The limit of the first byte, or of draining, is over."""
        if self._draining:
            self.abort()
        else:
            self._fail(Kind.SILENT, "no answer in time", phase="first byte")

    def abandon(self, future: asyncio.Future[Any]) -> None:
        """Who waited for this future has left: close, unless the connection serves somebody else already."""
        if self._future is future:
            self.abort()

    def abort(self) -> None:
        """Close now; idempotent. Whoever waits is told."""
        if self._transport is not None and not self.closed:
            self._transport.abort()
        if self.busy and not self.complete and self._error is None:
            self._give(ProviderFailed(Kind.CONNECTION, "the connection was closed here"))

    # What a reader of a stream calls.

    async def read(self) -> bytes:
        """What has come since; `b""` after the last byte. Cancelled, the connection is closed."""
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            self._reader = self._loop.create_future()
            try:
                await self._reader
            except asyncio.CancelledError:
                self.abort()
                raise
            finally:
                self._reader = None
        parts, self._parts, self._buffered = self._parts, [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def drain(self, until: float) -> None:
        """Throw away what is still to come of this answer, at most until then; nobody waits for it."""
        if self.complete or self.closed or self._error is not None:
            self._done()
            return
        self._draining, self.due = True, until
        self._parts, self._buffered = [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def leave(self) -> None:
        """The reader has had enough: keep the connection when the answer is whole, else close it."""
        self._done()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        number = transport.get_extra_info("socket")
        if number is not None and hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(number.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if not self.busy or self.complete:
            # Bytes that nobody asked for: what follows could be taken for the next answer.
            self._keep = False
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Kind.GARBLED, f"not HTTP/1.1: {type(error).__name__}", code="protocol")
        else:
            self._fed(len(data))

    def _fed(self, size: int) -> None:
        """The parser has called back; what does that make of the exchange?"""
        largest = self._limits.max_head_bytes
        if self._excess or self._field_bytes > largest or self._head_bytes > largest:
            what = "more followed than was announced" if self._excess else "its head is too large"
            self._fail(Kind.GARBLED, what, code="protocol")
        elif self.complete:
            self._end()
        elif not self.headed:
            # Also what is not a field yet: one endless line.
            self._head_bytes += size
        elif self._whole and self._buffered > self._limits.max_body_bytes:
            self._fail(Kind.GARBLED, "the answer is too large", code="too_large")
        elif self._reader is not None and self._parts and not self._reader.done():
            self._reader.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self.owner is not None:
            self.owner.lost(self)
        if not self.busy or self.complete or self._error is not None:
            return
        if self._draining:
            self.busy = False
        elif self.headed and self._until_eof and error is None:
            self.complete = True
            self._end()
        elif self.headed:
            self._give(ProviderFailed(Kind.CUT, "the connection ended inside the answer"))
        else:
            # Sending it again here could have it answered, and paid, twice: the caller decides.
            self._give(ProviderFailed(Kind.CONNECTION, "the connection ended before an answer"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.complete:
            self._excess = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.headed:
            return  # a trailer
        self._field_bytes += len(name) + len(value)
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        self.status = status
        self.headed = True
        self.due = NEVER
        self._until_eof = (
            b"content-length" not in self.headers
            and b"transfer-encoding" not in self.headers
            and status not in (204, 304)
        )
        if not self._whole and self._future is not None and not self._future.done():
            self._future.set_result(None)

    def on_body(self, body: bytes) -> None:
        self._buffered += len(body)
        if self._draining:
            if self._buffered > DRAINED_BYTES:
                self.abort()
            return
        self._parts.append(body)
        if not self._whole and self._buffered > BUFFERED_BYTES and not self._paused:
            self._paused = True
            cast(asyncio.Transport, self._transport).pause_reading()

    def on_message_complete(self) -> None:
        if not self.headed:
            self.headers = {}  # of an interim answer, 1xx
            return
        self.complete = True
        self._keep = not self._until_eof and self._parser.should_keep_alive()

    # How an exchange ends.

    @property
    def reusable(self) -> bool:
        """Whether another request may follow: the answer is whole and so is the request."""
        return (
            self.complete
            and self._keep
            and not self.closed
            and not cast(asyncio.Transport, self._transport).get_write_buffer_size()
        )

    def keep_s(self) -> float:
        """How long the peer says it keeps an unused connection; `NEVER` when it does not say."""
        said = self.headers.get(b"keep-alive")
        if said is None:
            return NEVER
        _, found, value = said.partition(b"timeout=")
        digits = value.split(b",")[0].strip()
        return float(digits) if found and digits.isdigit() and len(digits) < 10 else NEVER

    def _end(self) -> None:
        """The answer is whole."""
        if self._whole:
            parts = self._parts
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            answer = Answer(self.status, self.headers, body)
            if self._future is not None and not self._future.done():
                self._future.set_result(answer)
            self._done()
        elif self._draining:
            self._done()
        elif self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _done(self) -> None:
        self.busy = False
        self._future = None
        self._parts = []
        if self._paused and not self.closed:
            self._paused = False
            cast(asyncio.Transport, self._transport).resume_reading()
        if self.owner is not None and not self.closed:
            self.owner.release(self)

    def _fail(self, kind: Kind, message: str, **told: str) -> None:
        self._give(ProviderFailed(kind, message, **told))  # type: ignore[arg-type] # code and phase are texts
        self.complete = self._keep = False
        self.abort()

    def _give(self, error: ProviderFailed) -> None:
        """Tell whoever waits, now or at the next read."""
        self._error = error
        self.due = NEVER
        if self._future is not None and not self._future.done():
            self._future.set_exception(error)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
