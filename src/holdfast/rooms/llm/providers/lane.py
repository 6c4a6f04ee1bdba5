"""The lane: our own pool of HTTP/1.1 connections to one origin, made for calls that are slow and many.

An LLM call holds its connection for seconds, so that hundreds are in flight at a few hundred calls a
second. Taking and giving back a connection therefore costs the same however many there are, and one timer
watches them all.
"""

import asyncio
import ssl
from collections import deque

from holdfast.rooms.llm.providers.lane_dial import Dial
from holdfast.rooms.llm.providers.lane_wire import Wire
from holdfast.rooms.llm.providers.transport import Answer, Fields, Headers, Limits, origin, rendered
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

DRAIN_S = 1.0
_HEADS = 512
"""Rendered heads that are remembered: about one a path and key."""


class Reading:
    """An answer of which the head is there; the connection is in use until it is read, finished or closed."""

    __slots__ = ("_loop", "_wire", "headers", "status")

    def __init__(self, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        self._wire: Wire | None = wire
        self._loop = loop
        self.status: int = wire.status
        self.headers: Headers = wire.headers

    async def read(self) -> bytes:
        """What has come since, at least one byte; `b""` at the end."""
        if self._wire is None:
            return b""
        data = await self._wire.read()
        if not data and self._wire is not None:
            self._wire.leave()
            self._wire = None
        return data

    async def aclose(self) -> None:
        """Stop now."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.leave()

    async def finish(self) -> None:
        """Keep the connection if the end comes within a second; nobody waits for it."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.drain(self._loop.time() + DRAIN_S)


class Lane:
    """Posts to one origin over kept connections: the one used last goes first, who waits longest is next.

    Raises ProviderFailed only. A kept connection is looked at before each use, so that one that the peer has
    closed meanwhile costs nothing; once a request was written it is never sent again by itself.
    """

    def __init__(
        self, base_url: str, limits: Limits | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.dialled = 0
        """Connections opened so far."""
        self._where = origin(base_url)
        self._dial = Dial(self._where, self.limits, tls)
        self._idle: list[Wire] = []
        self._busy: set[Wire] = set()
        self._waiting: deque[asyncio.Future[Wire | None]] = deque()
        self._open = 0
        self._heads: dict[tuple[str, Fields], bytes] = {}
        self._tick_s = min(0.1, max(0.005, min(self.limits.first_byte_s, self.limits.idle_s) / 10))
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def post(self, path: str, fields: Fields, body: bytes, first_byte_s: float | None = None) -> Answer:
        """The whole answer. Cancelled, its connection is closed at once."""
        head = self._heads.get((path, fields)) or self._head(path, fields)
        limit_s = self.limits.first_byte_s if first_byte_s is None else first_byte_s
        wire = self._kept() or await self._another()
        self._busy.add(wire)
        answered = wire.ask(head, body, limit_s, whole=True)
        try:
            answer: Answer = await answered
        except BaseException:
            wire.abandon(answered)
            raise
        return answer

    async def stream(
        self, path: str, fields: Fields, body: bytes, first_byte_s: float | None = None
    ) -> Reading:
        """The head of the answer; its body is to be read, finished or closed."""
        head = self._heads.get((path, fields)) or self._head(path, fields)
        limit_s = self.limits.first_byte_s if first_byte_s is None else first_byte_s
        wire = self._kept() or await self._another()
        self._busy.add(wire)
        headed = wire.ask(head, body, limit_s, whole=False)
        try:
            await headed
        except BaseException:
            wire.abandon(headed)
            raise
        return Reading(wire, asyncio.get_running_loop())

    async def close(self) -> None:
        """Close every connection; whoever waits for one is refused."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for wire in (*self._idle, *self._busy):
            wire.abort()
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(_is_closed())
        # Transports close in the loop's next turn.
        await asyncio.sleep(0)

    def __len__(self) -> int:
        """Connections that are open or being opened."""
        return self._open

    # The owner of wires.

    def release(self, wire: Wire) -> None:
        """An exchange has ended: its connection goes to who waits, else aside, else it is closed."""
        self._busy.discard(wire)
        if not wire.reusable or self._closed:
            wire.abort()
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(wire)
                return
        if len(self._idle) >= self.limits.max_idle:
            wire.abort()
            return
        keep_s = min(self.limits.idle_s, wire.keep_s() - 1.0)
        wire.idle_until = asyncio.get_running_loop().time() + keep_s
        self._idle.append(wire)

    def lost(self, wire: Wire) -> None:
        """A connection has ended: its place goes to who waits."""
        self._busy.discard(wire)
        if wire in self._idle:
            self._idle.remove(wire)
        self._give_place()

    # Getting a connection.

    def _kept(self) -> Wire | None:
        idle = self._idle
        while idle:
            wire = idle.pop()
            if wire.fresh():
                return wire
            wire.abort()
        return None

    async def _another(self) -> Wire:
        """A connection when none is kept: a new one, or, at the limit, the next that is given back."""
        if self._closed:
            raise _is_closed()
        self._watch()
        while True:
            if self._open < self.limits.max_connections:
                self._open += 1
                return await self._dialled()
            wire = await self._given()
            if wire is None:
                return await self._dialled()
            if wire.fresh():
                return wire
            wire.abort()

    async def _dialled(self) -> Wire:
        """A new connection for a place that is ours already."""
        try:
            wire = await self._dial.open()
        except BaseException:
            self._give_place()
            raise
        if self._closed or wire.closed:
            wire.abort()
            self._give_place()
            raise (
                _is_closed()
                if self._closed
                else ProviderFailed(
                    Kind.CONNECTION, "the connection ended as soon as it was made", phase="connect"
                )
            )
        self.dialled += 1
        wire.owner = self
        return wire

    async def _given(self) -> Wire | None:
        """Wait in line for a connection, or for the place of one (None)."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Wire | None] = loop.create_future()
        self._waiting.append(waiting)
        timer = loop.call_later(self.limits.wait_s, self._too_long, waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._hand_on(waiting.result())
            raise
        finally:
            timer.cancel()

    def _too_long(self, waiting: "asyncio.Future[Wire | None]") -> None:
        if not waiting.done():
            self._waiting.remove(waiting)
            said = f"all {self.limits.max_connections} connections to {self._where.host} are in use"
            waiting.set_exception(ProviderFailed(Kind.BUSY, said, phase="wait"))

    def _hand_on(self, wire: Wire | None) -> None:
        """What was given to somebody who has left."""
        if wire is None:
            self._give_place()
        else:
            self.release(wire)

    def _give_place(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
        self._open -= 1

    def _head(self, path: str, fields: Fields) -> bytes:
        if len(self._heads) >= _HEADS:
            self._heads.clear()
        try:
            head = self._heads[(path, fields)] = rendered(self._where, path, fields)
        except ValueError as error:
            # Not the text: it may hold a key.
            raise ProviderFailed(Kind.AUTH, f"a header cannot be sent: {type(error).__name__}") from None
        return head

    # Time.

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._look)

    def _look(self) -> None:
        """Give up what is over its limit; one timer for all connections, and none when there are none."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for wire in [wire for wire in self._busy if wire.due <= now]:
            wire.overdue()
        for wire in [wire for wire in self._idle if wire.idle_until <= now]:
            self._idle.remove(wire)
            wire.abort()
        if self._open:
            self._watch()


def _is_closed() -> ProviderFailed:
    return ProviderFailed(Kind.CONNECTION, "the transport is closed", code="closed")
