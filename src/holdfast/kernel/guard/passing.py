"""One attempt on its way: what it holds (permit, ticket, time limit) and how it gives that back."""

from asyncio import CancelledError
from typing import TYPE_CHECKING, Protocol

from holdfast.kernel.guard.breaker import REFUSED, STATES
from holdfast.kernel.guard.course import Course
from holdfast.kernel.guard.expiry import INF, Limit
from holdfast.kernel.guard.outcome import ANSWERED, NEUTRAL, retry_after_of
from holdfast.kernel.guard.problems import (
    BulkheadFull,
    CircuitOpen,
    DeadlineExceeded,
    TimedOut,
    circuit_open,
    deadline_exceeded,
    timed_out,
)

if TYPE_CHECKING:
    from holdfast.kernel.guard.guard import Guard


class Sharing(Protocol):
    """Who knows whether another process probes the same dependency."""

    async def lease(self, ticket: int, *, early: bool = False) -> float | None:
        """0 when the one lease is ours; else seconds after which to ask again; None when nobody can say.

        `ticket` is the local lease that stands behind the question. Must not raise.
        """
        ...


class Passing:
    """An attempt that was let in. `end` gives everything back, once, and says what to raise."""

    __slots__ = ("_guard", "_limit", "_started", "_ticket", "ended")

    def __init__(self, guard: "Guard", ticket: int, started: float, limit: Limit | None) -> None:
        self._guard = guard
        self._ticket = ticket
        self._started = started
        self._limit = limit
        self.ended = False

    @classmethod
    async def enter(cls, guard: "Guard", course: Course, *, hedge: bool = False) -> "Passing":
        """Through every gate: deadline, breaker, permit, lease. Raises a refusal, and then holds nothing."""
        clock = guard.clock
        now = clock.monotonic()
        if course.until <= now:
            raise deadline_exceeded(guard.name, "no time was left to make the call")
        breaker = guard.breaker
        if breaker.state:
            course.breaker = STATES[breaker.state]
            if breaker.next_s(now) > 0:
                raise _held_back(guard, now)
        await _permit(guard, course, now)
        try:
            now = clock.monotonic()
            ticket = breaker.admit(now)
            if ticket == REFUSED:
                raise _held_back(guard, now)
            if breaker.probes(ticket):
                course.breaker = STATES[breaker.state]
                if guard.sharing is not None:
                    ticket = await _lease_for_all(guard, ticket)
            ends = min(course.until, clock.monotonic() + guard.attempt_s)
            limit = guard.expiry.enter(ends) if ends != INF else None
        except BaseException:
            guard.bulkhead.give()
            raise
        if not hedge:
            course.attempts += 1
        return cls(guard, ticket, now, limit)

    def end(self, caught: BaseException | None, until: float) -> BaseException | None:
        """Give back what is held and count what came of it; the error to raise, which may be ours.

        `until` is the end of the whole call: what was cut off there is DeadlineExceeded, else TimedOut.
        """
        if self.ended:
            return caught
        self.ended = True
        guard = self._guard
        now = guard.clock.monotonic()
        error = caught
        limit = self._limit
        if limit is not None:
            over = guard.expiry.leave(limit)
            if over and isinstance(caught, CancelledError):
                error = _late(guard, limit, until)
                error.__cause__ = caught
        guard.bulkhead.give()
        if guard.observe is not None and (error is None or isinstance(error, Exception)):
            guard.observe(now - self._started)
        self._count(error, now)
        return error

    def _count(self, error: BaseException | None, now: float) -> None:
        guard = self._guard
        breaker, tally = guard.breaker, guard.tally
        if error is None:
            tally.ok += 1
            breaker.succeeded(self._ticket, now)
            return
        said = guard.verdict(error)
        if said == NEUTRAL:
            tally.dropped += 1
            breaker.dropped(self._ticket, now)
        elif said == ANSWERED:
            tally.rejected += 1
            breaker.answered(self._ticket, now)
        else:
            tally.failed += 1
            tally.timed_out += isinstance(error, TimedOut)
            tally.last_error = f"{type(error).__name__}: {error}".rstrip(": ")
            tally.last_error_at = now
            breaker.failed(self._ticket, now)
        asked = retry_after_of(error)
        if asked is not None:
            breaker.cool(asked, now)


async def _permit(guard: "Guard", course: Course, now: float) -> None:
    """One permit of the bulkhead, in turn, within the call's deadline."""
    bulkhead = guard.bulkhead
    if bulkhead.free > 0:
        bulkhead.free -= 1
        return
    limit = guard.expiry.enter(course.until) if course.until != INF else None
    over = False
    try:
        try:
            await bulkhead.take()
        finally:
            course.queued_s += guard.clock.monotonic() - now
            over = limit is not None and guard.expiry.leave(limit)
    except BulkheadFull:
        guard.tally.full += 1
        raise
    except CancelledError as cancelled:
        if over:
            raise deadline_exceeded(guard.name, "the time was over before a permit was free") from cancelled
        raise


async def _lease_for_all(guard: "Guard", ticket: int) -> int:
    """Ask whether the probe is ours among all processes; the ticket to go on with.

    Raises CircuitOpen when another has it. When others have closed it meanwhile, the call is an ordinary one.
    """
    breaker = guard.breaker
    assert guard.sharing is not None
    try:
        held_s = await guard.sharing.lease(ticket)
    except BaseException:
        breaker.dropped(ticket, guard.clock.monotonic())
        raise
    now = guard.clock.monotonic()
    if held_s:
        breaker.withhold(ticket, now, held_s)
    if breaker.probes(ticket):
        return ticket
    if breaker.state:
        raise _held_back(guard, now)
    return breaker.generation


def _held_back(guard: "Guard", now: float) -> CircuitOpen:
    guard.tally.circuit_open += 1
    rules = guard.breaker.rules
    next_s = guard.breaker.next_s(now)
    if rules is not None and guard.breaker.probes(guard.breaker.generation):
        # A probe is under way: it ends long before its lease does.
        next_s = min(next_s, rules.open_s)
    return circuit_open(guard.name, next_s)


def _late(guard: "Guard", limit: Limit, until: float) -> TimedOut | DeadlineExceeded:
    if limit.until >= until:
        return deadline_exceeded(guard.name, "the time for the call was over before it answered")
    return timed_out(guard.name, "the attempt", guard.attempt_s)
