"""A first-come-first-served gate with a deadline, in front of a pool.

Pools wake their waiters unfairly and wait for ever by default (asyncpg issue 1247, SQLAlchemy
issue 7679). Behind this gate at most `permits` tasks are inside, the rest stand in line, and who
has stood for longer than the deadline is told when to come back.
"""

import asyncio
from collections import OrderedDict
from types import TracebackType

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Unavailable

_SMOOTHING = 0.1
"""Weight of the newest stay in the running mean: the last ten or so stays decide."""
_LONGEST_RETRY_S = 60.0


class Gate:
    """At most `permits` inside; entry in the order of arrival; nobody waits past the deadline."""

    def __init__(self, permits: int, deadline_s: float, clock: Clock, name: str = "database") -> None:
        if permits < 1:
            raise ValueError("a gate needs at least one permit")
        self.permits = permits
        self.deadline_s = deadline_s
        self.name = name
        self._clock = clock
        self._inside = 0
        self._line: OrderedDict[asyncio.Future[None], float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._stay_s = 0.0
        self._closed = False
        self.refused = 0
        """Waiters turned away at their deadline, in total."""

    @property
    def inside(self) -> int:
        return self._inside

    @property
    def waiting(self) -> int:
        return len(self._line)

    def enter(self) -> "Passage":
        """`async with gate.enter():` - inside until the block ends; raises Unavailable (503)."""
        return Passage(self)

    def retry_after_s(self) -> float:
        """When the line as it stands will have passed: length times mean stay over permits; 1 to 60 s."""
        return min(_LONGEST_RETRY_S, max(1.0, self._stay_s * (len(self._line) + 1) / self.permits))

    def open(self) -> None:
        self._closed = False

    def close(self) -> None:
        """Turn away all who wait and all who come; who is inside may finish."""
        self._closed = True
        while self._line:
            waiter, _ = self._line.popitem(last=False)
            if not waiter.done():
                waiter.set_exception(self._shut())

    def expire(self) -> None:
        """Turn away whoever is past the deadline; the timer calls it, and so may a test."""
        self._timer = None
        now = self._clock.monotonic()
        while self._line:
            waiter, deadline = next(iter(self._line.items()))
            if not waiter.done() and deadline > now:
                # The timer may fire a clock tick early; a pause of 0 would spin until it is due.
                self._timer = asyncio.get_running_loop().call_later(max(deadline - now, 0.001), self.expire)
                return
            self._line.popitem(last=False)
            if not waiter.done():
                self.refused += 1
                waiter.set_exception(self._late())

    async def take(self) -> None:
        """Get a permit, in turn; give it back with `leave`."""
        if self._closed:
            raise self._shut()
        if self._inside < self.permits and not self._line:
            self._inside += 1
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._line[waiter] = self._clock.monotonic() + self.deadline_s
        if self._timer is None:
            self._timer = loop.call_later(self.deadline_s, self.expire)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on()  # granted in the same turn of the loop that cancelled us
            else:
                self._line.pop(waiter, None)
                self._rest()
            raise

    def leave(self, stayed_s: float) -> None:
        """Give the permit back, to the first in line if there is one."""
        self._stay_s += _SMOOTHING * (stayed_s - self._stay_s)
        self._pass_on()

    def _pass_on(self) -> None:
        while self._line:
            waiter, _ = self._line.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)  # the permit changes hands: nobody can slip in between
                break
        else:
            self._inside -= 1
        self._rest()

    def _rest(self) -> None:
        if not self._line and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> Unavailable:
        return Unavailable(
            f"the {self.name} is busy: no place within {self.deadline_s:g} s",
            hint="retry later; if this lasts, raise [database] pool_size or look for slow statements",
            retry_after_s=self.retry_after_s(),
        )

    def _shut(self) -> Unavailable:
        return Unavailable(
            f"the {self.name} is closed", hint="the service is starting or stopping", retry_after_s=1.0
        )


class Passage:
    """One stay inside a gate, timed."""

    __slots__ = ("_entered", "_gate")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._entered = 0.0

    async def __aenter__(self) -> None:
        await self._gate.take()
        self._entered = self._gate._clock.monotonic()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.leave(self._gate._clock.monotonic() - self._entered)
