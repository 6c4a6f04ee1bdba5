"""The attempts of one call: one after another, with waits where they must be, until one answers."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.kernel.guard import Budget, Retry
from holdfast.kernel.guard.breaker import CLOSED, COOLING, HALF_OPEN, OPEN
from holdfast.kernel.guard.testing import MODE
from holdfast.rooms.llm.engine.attempts import Attempt, Limits
from holdfast.rooms.llm.engine.paths import Chain, Path
from holdfast.rooms.llm.engine.telling import problem_of
from holdfast.rooms.llm.rules.failures import HeldBack, Kind, ProviderFailed
from holdfast.rooms.llm.rules.routing import (
    NOTHING,
    Standing,
    Step,
    first_step,
    in_order,
    next_step,
    soonest_hint,
)

_MARGIN_S = 0.002
"""Some loops count timers in whole milliseconds and wake a moment early: a breaker would still say no."""
_PROBING_S = 1.0
"""How soon to look again while another call probes: its lease is long, and it ends long before that."""

T = TypeVar("T")
Try = Callable[[Path, Limits, Attempt], Awaitable[T]]


class _Race:
    """Two attempts at one call: once one has answered, the other has lost."""

    __slots__ = ("is_won",)

    def __init__(self) -> None:
        self.is_won = False


class Tries:
    """The attempts of one call. `told` hears of each that has failed, as soon as it has."""

    def __init__(
        self,
        chain: Chain,
        retry: Retry,
        budget: Budget,
        *,
        clock: Clock,
        chance: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        told: Callable[[Attempt], None],
    ) -> None:
        self._paths = chain.paths
        chances = [chance() for _ in chain.candidates]
        self._standings = [Standing(each) for each in in_order(chain.candidates, chances)]
        self._retry = retry
        self._budget = budget
        self._clock = clock
        self._chance = chance
        self._sleep = sleep
        self._told = told
        self.made = 0
        self.waited_s = 0.0

    async def run(self, attempt: Try[T], limits: Limits, hedge_s: float = 0.0) -> tuple[T, Attempt]:
        """The first answer, and the attempt that gave it. Raises a Problem when there is none to be had.

        With `hedge_s` a second path is asked when the first has not answered by then; whoever is first wins.
        """
        self._budget.count(self._clock.monotonic())
        step = first_step(self._look(), limits.left_s())
        if step is NOTHING:
            raise self._nobody()
        while True:
            if step.wait_s > 0:
                await self._pause(step.wait_s)
            try:
                if hedge_s:
                    return await self._hedged(self._paths[step.index], attempt, limits, hedge_s)
                return await self._once(self._paths[step.index], attempt, limits)
            except ProviderFailed as failed:
                step = self._after(failed, limits)
                if step is NOTHING:
                    raise self._given_up(failed) from failed

    async def _once(
        self, path: Path, attempt: Try[T], limits: Limits, race: "_Race | None" = None
    ) -> tuple[T, Attempt]:
        self.made += 1
        made = Attempt(path, self.made, self._clock.monotonic())
        try:
            found = await attempt(path, limits, made)
        except BaseException as caught:
            if isinstance(caught, HeldBack):
                self.made -= 1
                raise
            made.seconds = self._clock.monotonic() - made.began
            made.failed = caught
            made.lost = race is not None and race.is_won
            standing = self._standing(path)
            standing.tried += 1
            if isinstance(caught, ProviderFailed):
                standing.last = caught
            self._told(made)
            raise
        made.seconds = self._clock.monotonic() - made.began
        return found, made

    async def _hedged(
        self, first: Path, attempt: Try[T], limits: Limits, hedge_s: float
    ) -> tuple[T, Attempt]:
        """Ask `first`, and another path when that is slow; the loser is cancelled and told of."""
        race = _Race()
        running = {asyncio.ensure_future(self._once(first, attempt, limits, race))}
        try:
            done, running = await asyncio.wait(running, timeout=hedge_s)
            second = self._other_than(first) if not done else None
            if second is not None and self._budget.take(self._clock.monotonic()):
                running.add(asyncio.ensure_future(self._once(second, attempt, limits, race)))
            while True:
                good = [task for task in done if task.exception() is None]
                if good or not running:
                    race.is_won = True
                    for task in good[1:]:  # it has lost in the same turn of the loop, and is charged for
                        _, late = task.result()
                        late.lost, late.failed = True, asyncio.CancelledError()
                        self._told(late)
                    return (good or list(done))[0].result()
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.gather(*running, return_exceptions=True)

    def _after(self, failed: ProviderFailed, limits: Limits) -> Step:
        step = next_step(self._look(), failed, self._retry, self._chance(), limits.left_s())
        if step.retry and not self._budget.take(self._clock.monotonic()):
            return NOTHING
        return step

    def _look(self) -> list[Standing]:
        """Every candidate, with how long its breaker holds it back from now.

        While another is well and untried, one that failed is left to the probes in the background: a caller's
        request is no probe.
        """
        held, spared = [], False
        for standing in self._standings:
            path = self._paths[standing.candidate.index]
            standing.held_s = 0.0
            if path.guard.breaker.state != CLOSED:
                held.append((standing, path))
            elif not standing.tried:
                spared = True
        if held:
            now = self._clock.monotonic()
            for standing, path in held:
                standing.held_s = _held_s(path, now, spared)
        return self._standings

    def _standing(self, path: Path) -> Standing:
        at = self._paths.index(path)
        return next(each for each in self._standings if each.candidate.index == at)

    def _other_than(self, first: Path) -> Path | None:
        for standing in self._look():
            path = self._paths[standing.candidate.index]
            if path is not first and not standing.tried and standing.held_s <= 0:
                return path
        return None

    async def _pause(self, seconds: float) -> None:
        if MODE.waits:
            self.waited_s += seconds
            await self._sleep(seconds)

    def _given_up(self, failed: ProviderFailed) -> Problem:
        """What the caller is told: how the last attempt failed that was made."""
        tried = [each for each in self._standings if each.tried]
        if isinstance(failed, HeldBack):
            failed = next((each.last for each in reversed(tried) if each.last is not None), failed)
        names = [self._paths[each.candidate.index].name for each in tried]
        hint_s = soonest_hint(self._look()) if failed.policy.elsewhere else None
        return problem_of(failed, hint_s, names)

    def _nobody(self) -> Problem:
        """All are held back for longer than the call may take: by rate limits, or after failures."""
        states = {self._paths[each.candidate.index].guard.breaker.state for each in self._standings}
        kind = Kind.RATE_LIMITED if states == {COOLING} else Kind.OVERLOADED
        held = ProviderFailed(
            kind, "every deployment of this model is held back for longer than the call may take"
        )
        return problem_of(held, soonest_hint(self._look()))


def _held_s(path: Path, now: float, spared: bool) -> float:
    """How long the breaker of a path that is not well holds it back; `spared`: another one can be asked."""
    breaker = path.guard.breaker
    if spared and path.is_probed and breaker.state in (OPEN, HALF_OPEN):
        return inf
    held_s = breaker.next_s(now)
    if held_s <= 0:
        return held_s
    return (min(held_s, _PROBING_S) if breaker.state == HALF_OPEN else held_s) + _MARGIN_S
