"""Sends a second call beside a slow first one and takes the better answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from holdfast.kernel.guard.course import Course
from holdfast.kernel.guard.hedge import HedgeRules, Latencies, hedge_delay_s, may_hedge
from holdfast.kernel.guard.window import Window

if TYPE_CHECKING:
    from holdfast.kernel.guard.guard import Guard

Fn = Callable[..., Awaitable[Any]]
_SPAN_S = 30.0


class Hedging:
    """The hedges of one guard. Both calls go through its gates; the loser is cancelled, which is neutral."""

    __slots__ = ("_guard", "_leaving", "_rules", "_window", "latencies")

    def __init__(self, guard: "Guard", rules: HedgeRules) -> None:
        self._guard = guard
        self._rules = rules
        self._window = Window(_SPAN_S)
        self._leaving: set[asyncio.Task[Any]] = set()
        self.latencies = Latencies()

    async def attempt(self, fn: Fn, args: tuple[Any, ...], kwargs: dict[str, Any], course: Course) -> Any:
        """One attempt, by one call or two; raises what the first ended with when none succeeds."""
        now = self._guard.clock.monotonic
        started = now()
        if started >= self._window.turns_at:
            self._window.turn(started)
        self._window.calls += 1
        first = asyncio.create_task(self._guard.attempt(fn, args, kwargs, course))
        second: asyncio.Task[Any] | None = None
        try:
            delay_s = hedge_delay_s(self._rules, self.latencies)
            if delay_s is not None:
                await asyncio.wait((first,), timeout=delay_s)
                if not first.done() and self._take(now()):
                    course.hedged += 1
                    second = asyncio.create_task(self._guard.attempt(fn, args, kwargs, course, hedge=True))
            winner = await _first_success(first, second)
            if not winner.cancelled() and winner.exception() is None:
                # Of a first call that was overtaken this is what is known: it took at least so long.
                self.latencies.add(now() - started)
                self._guard.tally.hedges_won += winner is second
            return winner.result()
        finally:
            for task in (first, second):
                if task is not None:
                    self._let_go(task)

    def _take(self, now: float) -> bool:
        """Whether a second call may be sent now: nobody is pushed aside for it, and budgets allow it."""
        guard = self._guard
        calls, hedges = self._window.totals(now)
        allowed = (
            not guard.breaker.state
            and guard.bulkhead.free > 0
            and may_hedge(self._rules, calls, hedges)
            and guard.budget.take(now)
        )
        if allowed:
            self._window.marked += 1
            guard.tally.hedges += 1
        return allowed

    def _let_go(self, task: "asyncio.Task[Any]") -> None:
        """End it without waiting for it: a loser that ignores its cancellation must not hold the winner."""
        if task.done():
            _heard(task)
            return
        task.cancel()
        self._leaving.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: "asyncio.Task[Any]") -> None:
        self._leaving.discard(task)
        _heard(task)


async def _first_success(
    first: "asyncio.Task[Any]", second: "asyncio.Task[Any] | None"
) -> "asyncio.Task[Any]":
    pending = {first} if second is None else {first, second}
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and task.exception() is None:
                return task
    return first


def _heard(task: "asyncio.Task[Any]") -> None:
    """Take the failure of a loser, or asyncio would report it as never retrieved."""
    if not task.cancelled():
        task.exception()
