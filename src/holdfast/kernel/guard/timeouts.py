"""Time limits by phase, for clients: connect, first byte, idle between two chunks, total of one attempt."""

from asyncio import CancelledError
from types import TracebackType

import msgspec

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.guard.expiry import EXPIRY, INF, Expiry, Limit, expiry_of
from holdfast.kernel.guard.problems import timed_out


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds for each phase of one attempt; None sets no limit of its own, the deadline still holds."""

    connect_s: float | None = None
    first_byte_s: float | None = None
    """From the request's last byte to the answer's first."""
    idle_s: float | None = None
    """Between two chunks of the answer."""
    total_s: float | None = None
    """The whole attempt; the guard sees to it."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}: a limit is positive, None sets none")


class phase:
    """`with phase("connect", timeouts.connect_s):` - TimedOut, which names the phase, when it takes longer.

    A synchronous `with` around awaits. `again()` starts the time anew, after each chunk of a stream. The
    surrounding guard's limits hold as well, and whoever is over first says so.
    """

    __slots__ = ("_expiry", "_limit", "_now", "_of", "name", "seconds")

    def __init__(
        self,
        name: str,
        seconds: float | None,
        *,
        of: str = "the dependency",
        clock: Clock | None = None,
        expiry: Expiry | None = None,
    ) -> None:
        self.name = name
        self.seconds = seconds
        self._of = of
        self._now = (clock or SystemClock()).monotonic
        self._expiry = expiry or (EXPIRY if clock is None else expiry_of(clock))
        self._limit: Limit | None = None

    def __enter__(self) -> "phase":
        if self.seconds is not None:
            self._limit = self._expiry.enter(self._now() + self.seconds)
        return self

    def again(self) -> None:
        """The time begins anew."""
        if self._limit is not None and self.seconds is not None:
            self._limit.until = self._now() + self.seconds

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        limit, self._limit = self._limit, None
        if limit is None:
            return
        if self._expiry.leave(limit) and isinstance(error, CancelledError):
            raise timed_out(self._of, self.name, self.seconds or INF) from error
