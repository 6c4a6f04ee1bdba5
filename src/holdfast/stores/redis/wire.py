"""One connection: commands of one turn of the loop leave in one write, replies come back in order.

There is no timer per call. Each write notes until when its replies are due; one timer looks at the
oldest. A reply that comes too late is read and dropped, so that nothing is ever out of step.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from hiredis import ProtocolError, PushNotification, Reader, pack_command

from holdfast.kernel.clock import Clock
from holdfast.ports.shared import SharedRefused
from holdfast.stores.redis.config import Limits
from holdfast.stores.redis.replies import FORGOTTEN, Failed, down, fail

GRAIN_S = 0.001
"""Shortest pause between two looks at what is due."""
_MORE = object()
_PING = ("PING",)


class Owner(Protocol):
    """Who opened a wire."""

    def refused(self, wire: "Wire", sink: Any, sent: Any, error: SharedRefused, due: float) -> None:
        """An error reply to `sent`, whose caller still waits."""
        ...

    def lost(self, wire: "Wire", why: str) -> None:
        """The wire has ended; everything that waited on it has failed."""
        ...

    def pushed(self, wire: "Wire", message: list[Any]) -> None:
        """A message that nobody asked for."""
        ...


class Wire(asyncio.Protocol):
    """The commands in flight on one connection. Made by `Dial.open`; ends once, and then for good."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, clock: Clock, owner: Owner) -> None:
        self.limits = limits
        self.ended = ""
        """Why it ended; empty while it lives."""
        self.missed = 0
        """Calls that got no reply in time."""
        self.turned_away = 0
        """Calls that found too many before them."""
        self._owner = owner
        self._loop = loop
        self._monotonic: Callable[[], float] = clock.monotonic
        self._call_soon = loop.call_soon
        self._make_future = loop.create_future
        self._reader = Reader(replyError=SharedRefused, notEnoughData=_MORE)
        self._transport: Any = None
        self._waiting: deque[tuple[Any, Any]] = deque()
        self._most = limits.max_waiting
        self._most_unsent = limits.max_unsent_bytes
        self._out: list[bytes] = []
        self._unsent = 0
        self._full = self._paused = False
        self._flushing = False
        self._answered = 0
        self._writes: deque[tuple[int, float]] = deque()
        """For each write, how many replies are in when it is answered, and when they are due."""
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at: float | None = None
        self._failed_to = 0
        self._misses = 0
        self._missed_at = float("-inf")
        self._taken = 0
        self._written = 0
        self._backlog = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def calls(self) -> int:
        return self._answered + len(self._waiting)

    def settle(self, limits: Limits) -> None:
        """Go by `limits` from now on; nothing may be in flight."""
        self.limits = limits
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- commands out ----------------------------------------------------------------------------

    def send(self, command: tuple[Any, ...]) -> Any:
        """An awaitable of the reply. The hottest path of the driver: one frame."""
        if self._full or len(self._waiting) >= self._most:
            return self._turn_away()
        packed = pack_command(command)
        future = self._make_future()
        self._out.append(packed)
        self._waiting.append((future, command))
        self._unsent += len(packed)
        if self._unsent > self._most_unsent:
            self._full = True
        if not self._flushing:
            self._flushing = True
            self._call_soon(self._flush)
        return future

    def send_to(self, sink: Any, command: tuple[Any, ...], sent: Any = None, asking: bool = False) -> None:
        """The same, with a sink of the caller's; `sent` is what the owner hears of on an error reply."""
        if self._full or len(self._waiting) >= self._most:
            self.turned_away += 1
            fail(sink, down(self._why_full()))
            return
        packed = pack_command(command)
        if asking:
            self._enqueue(pack_command(("ASKING",)), FORGOTTEN, None)
        self._enqueue(packed, sink, sent or command)

    def beat(self, sink: Any, command: tuple[Any, ...] = _PING) -> None:
        """A sign of life, past every bound."""
        if not self.ended:
            self._enqueue(pack_command(command), sink, command)

    def post(self, command: tuple[Any, ...]) -> None:
        """A command whose answer is a push, such as SUBSCRIBE."""
        self._enqueue(pack_command(command), None, None)

    def _enqueue(self, packed: bytes, sink: Any, sent: Any) -> None:
        self._out.append(packed)
        self._unsent += len(packed)
        if self._unsent > self._most_unsent:
            self._full = True
        if sink is not None:
            self._waiting.append((sink, sent))
        if not self._flushing:
            self._flushing = True
            self._call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self.ended:
            return
        out = self._out
        self._full = self._paused
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()
        self._written += self._unsent
        self._unsent = 0
        budget_s = self.limits.budget_s
        self._writes.append((self._answered + len(self._waiting), self._monotonic() + budget_s))
        if self._timer is None:
            self._timer = self._loop.call_later(budget_s, self._look)

    def _turn_away(self) -> Failed:
        self.turned_away += 1
        return Failed(self._why_full())

    def _why_full(self) -> str:
        held = self._unsent + self._transport.get_write_buffer_size() if not self.ended else 0
        return self.ended or f"{len(self._waiting)} commands and {held} unsent bytes wait for it already"

    # -- replies in ------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._misses = 0
        waiting, answered = self._waiting, self._answered
        try:
            self._reader.feed(data)
            gets = self._reader.gets
            while (reply := gets()) is not _MORE:
                kind = type(reply)
                if kind is PushNotification:
                    self._owner.pushed(self, reply)
                    continue
                sink, sent = waiting.popleft()
                answered += 1
                if sink.done():
                    continue
                if kind is not SharedRefused:
                    sink.set_result(reply)
                    continue
                self._answered = answered
                self._owner.refused(self, sink, sent, reply, self._due(answered))
                if self.ended:
                    return
        except IndexError:
            self.drop("it sent a reply that nobody asked for")
        except ProtocolError as error:
            self.drop(f"it does not speak the protocol: {error}")
        self._answered = answered
        writes = self._writes
        while writes and writes[0][0] <= answered:
            writes.popleft()

    def _due(self, answered: int) -> float:
        """When the reply that is number `answered` was due."""
        for end, due in self._writes:
            if end >= answered:
                return due
        return self._monotonic()

    # -- what is due -----------------------------------------------------------------------------

    def _look(self) -> None:
        """Fail what is past due; a wire that misses budgets in a row without a sign of life is dropped."""
        self._timer = None
        writes = self._writes
        if not writes:
            self._looked_at = None
            return
        now = self._monotonic()
        wait_s = writes[0][1] - now
        if wait_s > 0:
            self._looked_at = None
        elif self._looked_at is None:
            # The loop itself may have been late: what has arrived meanwhile is read before anyone fails.
            self._looked_at = now
        else:
            self._fail_due(self._looked_at)
            self._looked_at = None
            wait_s = writes[0][1] - now if writes else 0.0
        if not self.ended and (writes or self._flushing):
            self._timer = self._loop.call_later(max(wait_s, GRAIN_S), self._look)

    def _fail_due(self, now: float) -> None:
        writes, written_at, end = self._writes, 0.0, 0
        while writes and writes[0][1] <= now:
            end, due = writes.popleft()
            written_at = due - self.limits.budget_s
        if not end:
            return
        skip = max(self._failed_to - self._answered, 0)
        self._failed_to = end
        for sink, _ in list(islice(self._waiting, skip, end - self._answered)):
            if not sink.done():
                self.missed += 1
                fail(sink, down(f"no reply within {self.limits.budget_s * 1000:g} ms"))
        if self._is_taking() or written_at < self._missed_at:
            return
        self._misses += 1
        self._missed_at = now
        if self._misses >= self.limits.failures:
            self.drop(f"{self._misses} budgets in a row without a sign of life")
        else:
            self.beat(FORGOTTEN)

    def _is_taking(self) -> bool:
        """Whether the server takes from a backlog of ours: a large value on its way is no silence."""
        before, taken_before = self._backlog, self._taken
        self._backlog = self._transport.get_write_buffer_size()
        self._taken = self._written - self._backlog
        return before > 0 and self._taken > taken_before

    # -- the transport ---------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if self.ended:
            transport.abort()
        transport.set_write_buffer_limits(high=self.limits.max_unsent_bytes)

    def pause_writing(self) -> None:
        self._full = self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._full = bool(self.ended)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the connection was lost: {exc}" if exc else "the server closed the connection")

    def drop(self, why: str) -> None:
        """End at once; what waits fails with SharedDown."""
        if not self.ended and self._transport is not None:
            self._transport.abort()
        self._end(why)

    def _end(self, why: str) -> None:
        if self.ended:
            return
        self.ended, self._full = why, True
        self._stop_timer()
        self._owner.lost(self, why)
        waiting = list(self._waiting)
        self._answered += len(waiting)
        self._waiting.clear()
        self._out.clear()
        self._writes.clear()
        for sink, _ in waiting:
            fail(sink, down(why))
