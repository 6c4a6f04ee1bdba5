"""Bounds how many calls to one dependency are under way, and how many may wait for their turn."""

import asyncio
from collections import deque
from contextlib import suppress

import msgspec

from holdfast.kernel.guard.problems import bulkhead_full

UNBOUNDED = 1 << 60


class BulkheadRules(msgspec.Struct, frozen=True, kw_only=True):
    """How many at once, how many behind them."""

    concurrent: int
    queue: int = 0
    """Callers that may wait, first come, first served; the next is refused at once."""

    def __post_init__(self) -> None:
        if self.concurrent < 1 or self.queue < 0:
            raise ValueError("concurrent is at least 1 and queue is not negative")


class Bulkhead:
    """The permits of one dependency. `free` is above zero only while nobody waits.

    A permit that comes back goes to the first who waits and is never free in between, so nobody overtakes.
    """

    __slots__ = ("_queue", "free", "line", "name", "size")

    def __init__(self, name: str, rules: BulkheadRules | None) -> None:
        self.name = name
        self.size = rules.concurrent if rules else UNBOUNDED
        self._queue = rules.queue if rules else 0
        self.line: deque[asyncio.Future[None]] = deque()
        self.free = self.size

    @property
    def busy(self) -> int:
        """Permits that are taken."""
        return self.size - self.free

    @property
    def waiting(self) -> int:
        return len(self.line)

    async def take(self) -> None:
        """One permit, now or in turn; raises BulkheadFull. Cancellation takes nothing and loses nothing."""
        if self.free > 0:
            self.free -= 1
            return
        if len(self.line) >= self._queue:
            raise bulkhead_full(self.name, len(self.line))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.line.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give()  # it was ours already: on to the next
            else:
                with suppress(ValueError):  # a permit that came back has stepped over it already
                    self.line.remove(turn)
            raise

    def give(self) -> None:
        """A permit comes back."""
        while self.line:
            turn = self.line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1
