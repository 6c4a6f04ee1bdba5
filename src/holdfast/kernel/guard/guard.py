"""One pipeline around every call that leaves the process.

Deadline, bulkhead, breaker, retry, budget, hedge and fallback in one object instead of seven wrappers. A
call that meets a closed breaker and a free permit takes the fast path in `call`, which is written out by
hand: each frame saved there is saved on every call of every request. Everything else is `_persist`.
"""

import asyncio
import inspect
import random
from asyncio import current_task, get_running_loop
from collections.abc import Awaitable, Callable
from functools import wraps
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.context import Ctx, current_ctx
from holdfast.kernel.guard.attempts import Attempts
from holdfast.kernel.guard.backoff import Retry, wait_s
from holdfast.kernel.guard.breaker import Breaker, BreakerRules
from holdfast.kernel.guard.budget import Budget
from holdfast.kernel.guard.bulkhead import Bulkhead, BulkheadRules
from holdfast.kernel.guard.course import Course
from holdfast.kernel.guard.expiry import INF, Expiry, Limit, expiry_of
from holdfast.kernel.guard.hedge import HedgeRules
from holdfast.kernel.guard.hedging import Hedging
from holdfast.kernel.guard.outcome import (
    ANSWERED,
    mark_retried,
    matcher,
    retried_below,
    retry_after_of,
    verdict,
)
from holdfast.kernel.guard.passing import Passing, Sharing
from holdfast.kernel.guard.problems import RetryLater
from holdfast.kernel.guard.tally import Tally
from holdfast.kernel.guard.testing import MODE
from holdfast.kernel.guard.timeouts import Timeouts

P = ParamSpec("P")
R = TypeVar("R")


class _Nothing:
    """No fallback; None would be a fine one."""


NOTHING: Final = _Nothing()


class Guard:
    """What stands between this process and one dependency. Of one event loop; not for threads.

    `timeout_s` bounds the whole call with its waits and retries, and so does the request's own deadline;
    `timeouts.total_s` bounds one attempt. `retry`, `breaker`, `bulkhead`, `hedge` are off unless given.
    `fallback` is a value, or a callable that gets the error and gives one; it answers for what failed or
    was refused, not for what the dependency answered with a no. `verdict` says what an error means.
    """

    def __init__(
        self,
        name: str,
        *,
        timeout_s: float | None = None,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        breaker: BreakerRules | None = None,
        bulkhead: BulkheadRules | None = None,
        hedge: HedgeRules | None = None,
        fallback: Any = NOTHING,
        budget: Budget | None = None,
        verdict: Callable[[BaseException], int] = verdict,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        expiry: Expiry | None = None,
    ) -> None:
        if timeout_s is not None and timeout_s <= 0:
            raise ValueError(f"timeout_s is {timeout_s}: a limit is positive, None sets none")
        self.name = name
        self.timeout_s = INF if timeout_s is None else timeout_s
        self.timeouts = timeouts or Timeouts()
        self.breaker = Breaker(breaker)
        self.bulkhead = Bulkhead(name, bulkhead)
        self.budget = budget or Budget()
        self.hedge = hedge
        self.hedging = Hedging(self, hedge) if hedge else None
        self.fallback = fallback
        self.verdict = verdict
        self.clock: Clock = clock or SystemClock()
        self.expiry = expiry or expiry_of(self.clock)
        self.tally = Tally()
        self.sharing: Sharing | None = None
        """Asked before a probe, where several processes have one breaker."""
        self.observe: Callable[[float], None] | None = None
        """Gets the seconds of each attempt that reached the dependency."""
        self.attempt_s = INF if self.timeouts.total_s is None else self.timeouts.total_s
        self._now = self.clock.monotonic
        self._sleep = sleep
        self._chance = chance
        self.set_retry(retry)
        self._entered: dict[asyncio.Task[Any], list[tuple[Passing, Course]]] = {}

    def set_retry(self, retry: Retry | None) -> None:
        """Retry by these rules from now on; None retries nothing."""
        self.retry = retry
        self._matches = matcher(retry.on) if retry else None

    # -- the ways in -----------------------------------------------------------------------------

    async def call(self, fn: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """`await fn(*args, **kwargs)` with everything this guard does.

        Raises what `fn` raises, or CircuitOpen, BulkheadFull, DeadlineExceeded, TimedOut, RetryLater.
        """
        breaker = self.breaker
        bulkhead = self.bulkhead
        if breaker.state or bulkhead.free <= 0 or self.hedging is not None:
            return await self._persist(fn, args, kwargs, Course(self._until()))
        now = self._now()
        until = now + self.timeout_s
        ctx = current_ctx()
        if ctx is not None and ctx.deadline is not None:
            until = self._within_request(ctx, now, until)
            if until <= now:
                return await self._persist(fn, args, kwargs, Course(until))
        window = self.budget.window
        if now >= window.turns_at:
            window.turn(now)
        window.calls += 1
        ticket = breaker.generation
        ends = now + self.attempt_s
        if until < ends:
            ends = until
        limit: Limit | None = None
        if ends != INF:
            loop = get_running_loop()
            task = current_task(loop)
            assert task is not None
            expiry = self.expiry
            watched = expiry.watched
            limit = watched[task] = Limit(task, ends, task.cancelling(), watched.get(task))
            if ends < expiry.armed_for or loop is not expiry.loop:
                expiry.arm(loop, ends)
        bulkhead.free -= 1
        try:
            result = await fn(*args, **kwargs)
        except BaseException as caught:
            error = Passing(self, ticket, now, limit).end(caught, until)
            if not isinstance(error, Exception):
                raise
            course = Course(until, 1, error)
            del error  # or frame, error and traceback hold each other
        else:
            if limit is not None:
                if limit.expired or limit.outer is not None or watched.get(limit.task) is not limit:
                    expiry.leave(limit)
                else:
                    del watched[limit.task]
            if bulkhead.line:
                bulkhead.give()
            else:
                bulkhead.free += 1
            if breaker.generation == ticket:
                breaker.in_a_row = 0
                counted = breaker.window
                if now >= counted.turns_at:
                    counted.turn(now)
                counted.calls += 1
            self.tally.ok += 1
            if self.observe is not None:
                self.observe(self._now() - now)
            return result
        return await self._persist(fn, args, kwargs, course)

    def __call__(self, fn: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        """`@guard` above an async function."""
        if not inspect.iscoroutinefunction(fn):
            raise TypeError(
                f"{getattr(fn, '__qualname__', fn)!r} is no async function: use `async with guard:` around it"
            )

        @wraps(fn)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            result: R = await self.call(fn, *args, **kwargs)
            return result

        return guarded

    def attempts(self) -> Attempts:
        """`async for attempt in guard.attempts():` and within it `with attempt:` - retries the block.

        Everything but hedge and fallback.
        """
        return Attempts(self, Course(self._until()))

    async def __aenter__(self) -> "Guard":
        """`async with guard:` - everything but retry, hedge and fallback, for the block."""
        course = Course(self._until())
        self.budget.count(self._now())
        try:
            passing = await Passing.enter(self, course)
        except Exception as error:
            course.error = error
            course.note(self.name)
            raise
        task = current_task()
        assert task is not None
        self._entered.setdefault(task, []).append((passing, course))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, caught: BaseException | None, trace: TracebackType | None
    ) -> None:
        passing, course = self._leave()
        error = passing.end(caught, course.until)
        course.error = error if isinstance(error, Exception) else None
        course.note(self.name)
        if error is not None and error is not caught:
            raise error from caught

    def _leave(self) -> tuple[Passing, Course]:
        """What the running task entered last, or what a task that has ended left behind (a generator)."""
        task = current_task()
        if task not in self._entered:
            task = next((other for other in self._entered if other.done()), None)
        if task is None:
            raise RuntimeError(f"the guard of {self.name} is left in another task than it was entered in")
        stack = self._entered[task]
        left = stack.pop()
        if not stack:
            del self._entered[task]
        return left

    def remaining_s(self) -> float | None:
        """Seconds that the running call has left, by this guard's limits and the request's deadline."""
        ctx = current_ctx()
        request_s = None if ctx is None else ctx.remaining_s()
        own_s = self.expiry.remaining_s()
        if request_s is None or own_s is None:
            return own_s if request_s is None else request_s
        return min(request_s, own_s)

    # -- retries ---------------------------------------------------------------------------------

    async def _persist(
        self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any], course: Course
    ) -> Any:
        """Go on from where `course` stands until an attempt succeeds or nothing more may be tried."""
        if not course.attempts:
            self.budget.count(self._now())
        make = self.attempt if self.hedging is None else self.hedging.attempt
        try:
            while True:
                if course.error is not None:
                    await self.pause(course, self.plan(course))
                try:
                    result = await make(fn, args, kwargs, course)
                except Exception as error:  # noqa: BLE001 - `plan` raises it again, or it is worth another try
                    if error.__cause__ is None and error is not course.error:
                        error.__cause__ = course.error
                    course.error = error
                else:
                    course.error = None
                    return result
        except Exception as error:
            course.error = error
            if self.fallback is NOTHING or self.verdict(error) == ANSWERED:
                raise
            return await self._degraded(error, course)
        finally:
            course.note(self.name)
            course.error = None  # its traceback holds this frame, and the frame holds the course

    async def attempt(
        self,
        fn: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        course: Course,
        *,
        hedge: bool = False,
    ) -> Any:
        """One attempt through every gate; raises refusals, and time-outs in place of the cancellation."""
        passing = await Passing.enter(self, course, hedge=hedge)
        try:
            result = await fn(*args, **kwargs)
        except BaseException as caught:
            error = passing.end(caught, course.until)
            if error is caught or error is None:
                raise
            raise error from caught
        passing.end(None, course.until)
        return result

    def plan(self, course: Course) -> float:
        """The wait before the next attempt, which the budget then has paid for; raises when there is none."""
        error, retry = course.error, self.retry
        assert error is not None
        if retry is None or self._matches is None or not self._matches(error) or retried_below(error, self):
            raise error
        if course.attempts >= min(retry.attempts, MODE.attempts or retry.attempts):
            raise mark_retried(error, self)
        asked_s = retry_after_of(error)
        next_s = wait_s(retry, course.attempts, self._chance(), asked_s) if MODE.waits else 0.0
        now = self._now()
        beyond = now + next_s >= course.until
        if asked_s is not None and (beyond or asked_s > retry.longest_hint_s):
            raise RetryLater(
                f"{self.name} asks to wait {asked_s:g} s, which is longer than this call may take",
                hint="try again after Retry-After",
                retry_after_s=asked_s,
                dependency=self.name,
            ) from error
        if beyond:
            error.add_note(f"not tried again: the next wait of {next_s:.3g} s ends after the deadline")
        elif self.breaker.next_s(now) > next_s:
            error.add_note("not tried again: the circuit is open")
        elif not self.budget.take(now):
            error.add_note("not tried again: the retry budget is spent")
        else:
            return next_s
        raise mark_retried(error, self)

    async def pause(self, course: Course, seconds: float) -> None:
        """Wait before the next attempt; nothing is held meanwhile."""
        self.tally.retries += 1
        course.waited_s += seconds
        if seconds > 0:
            await self._sleep(seconds)
        else:
            await asyncio.sleep(0)

    async def _degraded(self, error: Exception, course: Course) -> Any:
        """The fallback's answer, marked on the record."""
        value = self.fallback
        if callable(value):
            value = value(error)
            if inspect.isawaitable(value):
                value = await value
        course.degraded = True
        self.tally.degraded += 1
        return value

    def _until(self) -> float:
        """When a call that begins now must be over: by our own limit or the request's."""
        now = self._now()
        until = now + self.timeout_s
        ctx = current_ctx()
        return until if ctx is None else self._within_request(ctx, now, until)

    def _within_request(self, ctx: Ctx, now: float, until: float) -> float:
        """`until`, or the end of the request on our clock where that is earlier."""
        if ctx.deadline is None:
            return until
        if ctx.sources.clock.monotonic is not self._now:  # never the same for bound methods, which is fine
            return min(until, now + max(0.0, ctx.deadline - ctx.sources.clock.monotonic()))
        return min(until, ctx.deadline)
