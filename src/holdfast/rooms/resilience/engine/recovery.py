"""Finds out in the background whether a dependency that failed is back, so that no restart is needed.

A dependency with a `probe` is asked every few seconds while its breaker is open, before the open time is
over as well: the doubling open time then protects it from callers and no longer decides how late its return
is noticed. The probe goes under the breaker's one lease (over all processes, where the breaker is shared).
"""

import asyncio

from holdfast.kernel.clock import Clock
from holdfast.kernel.guard.breaker import CLOSED, COOLING, REFUSED
from holdfast.kernel.guard.outcome import ANSWERED, NEUTRAL
from holdfast.rooms.resilience.engine.figures import Figures
from holdfast.rooms.resilience.engine.guards import Guards, Watched


class Recovery:
    """The probes of all dependencies."""

    def __init__(self, guards: Guards, figures: Figures, clock: Clock) -> None:
        self._guards = guards
        self._figures = figures
        self._now = clock.monotonic

    async def turn(self) -> None:
        """Probe everything that is open and has a probe, all at once; a failing probe is no failure here."""
        due = [
            watched
            for watched in self._guards.watched.values()
            if watched.probe is not None and watched.guard.breaker.state not in (CLOSED, COOLING)
        ]
        if due:
            await asyncio.gather(*(self._probe(watched) for watched in due))

    async def _probe(self, watched: Watched) -> None:
        guard = watched.guard
        breaker, name = guard.breaker, guard.name
        ticket = breaker.lease(self._now())
        if ticket == REFUSED:
            self._figures.probed(name, "busy")
            return
        try:
            held_s = await guard.sharing.lease(ticket, early=True) if guard.sharing is not None else 0.0
            if held_s or not breaker.probes(ticket):
                self._figures.probed(name, "busy")
                return
            await self._ask(watched, ticket)
        finally:
            # Nothing when the probe has spoken; else (another holds the lease, we are stopped) it is freed.
            breaker.dropped(ticket, self._now())

    async def _ask(self, watched: Watched, ticket: int) -> None:
        guard = watched.guard
        assert watched.probe is not None
        assert guard.breaker.rules is not None
        # The lease outlives the probe, so that there are never two.
        limit_s = min(guard.attempt_s, guard.timeout_s, 0.9 * guard.breaker.rules.lease_s)
        try:
            async with asyncio.timeout(limit_s):
                await watched.probe()
        except Exception as error:  # noqa: BLE001 - whatever a probe raises means that it is not back
            said = guard.verdict(error)
            if said == NEUTRAL:
                return
            if said == ANSWERED:
                # It works and says no to what it was asked: what a call is counted as, a probe is too.
                self._figures.probed(guard.name, "ok")
                guard.breaker.answered(ticket, self._now())
                return
            guard.tally.last_error = f"{type(error).__name__}: {error}".rstrip(": ")
            guard.tally.last_error_at = self._now()
            self._figures.probed(guard.name, "failed")
            guard.breaker.failed(ticket, self._now())
            return
        self._figures.probed(guard.name, "ok")
        guard.breaker.succeeded(ticket, self._now())
