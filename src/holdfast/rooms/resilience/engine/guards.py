"""Every dependency's guard by name: declared in settings, or added by the code that calls it."""

import asyncio
import difflib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured, NotFound
from holdfast.kernel.event import LogLine
from holdfast.kernel.guard import Breaker, Guard
from holdfast.kernel.guard.breaker import CLOSED, HALF_OPEN, OPEN, STATES
from holdfast.kernel.guard.guard import NOTHING
from holdfast.kernel.guard.outcome import On
from holdfast.kernel.room import Finding
from holdfast.ports.guards import Probe
from holdfast.ports.services import EventLog
from holdfast.rooms.resilience.engine.figures import Figures
from holdfast.rooms.resilience.engine.sharing import SharedBreaker, SharedBreakers, States
from holdfast.rooms.resilience.rules.report import Report, finding, together
from holdfast.rooms.resilience.rules.settings import Config, Dependency, guard_options, retry_of

logger = logging.getLogger("holdfast.resilience")


class UnknownDependency(NotFound):
    """No dependency has this name."""

    code = "unknown-dependency"


class Watched:
    """One dependency: its guard, and what stands around it."""

    __slots__ = ("guard", "probe", "settings", "sharing", "since", "until")

    def __init__(self, guard: Guard, settings: Dependency) -> None:
        self.guard = guard
        self.settings = settings
        self.probe: Probe | None = None
        self.sharing: SharedBreaker | None = None
        self.since = guard.breaker.since
        """When it was last closed, or had become so; probes between do not count."""
        self.until = 0.0
        """The open time that was last spoken of."""


class Guards:
    """The registry. A guard is made at the first mention and is the same from then on."""

    probes = True
    """The room's recovery asks them."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        figures: Figures,
        log: EventLog,
        rng: random.Random,
        states: States | None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._clock = clock
        self._figures = figures
        self._log = log
        self._rng = rng
        self._states = states
        self._sleep = sleep
        self._process = f"{rng.getrandbits(64):016x}"
        self._leases = 0
        self.shared = SharedBreakers(states) if states is not None else None
        self.watched: dict[str, Watched] = {}
        for name in config.dependencies:
            self._add(name)

    def guard(
        self,
        name: str,
        *,
        on: On | None = None,
        fallback: Any = NOTHING,
        probe: Probe | None = None,
        verdict: Callable[[BaseException], int] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Guard:
        """The guard of `name`, by `[resilience.dependencies.<name>]` or else by `[resilience.defaults]`.

        `on` says what to retry on (without it nothing is retried), `fallback` what to answer instead,
        `probe` how to find out in the background whether the dependency is back (it may reconnect while
        it is at it), `verdict` what an error says of the dependency. What is given replaces what was.
        `options` are the code's own arguments of Guard, for a dependency that no setting declares.
        """
        watched = self.watched.get(name)
        if watched is None:
            if len(self.watched) >= self._config.most_dependencies:
                raise Misconfigured(
                    f"{name!r} would be dependency number {len(self.watched) + 1}",
                    hint="name what is called, not each call; or raise resilience.most_dependencies",
                )
            watched = self._add(name, options)
        guard = watched.guard
        if on is not None:
            guard.set_retry(retry_of(watched.settings, on))
        if fallback is not NOTHING:
            guard.fallback = fallback
        if verdict is not None:
            guard.verdict = verdict
        if probe is not None:
            watched.probe = probe
        return guard

    def known(self, name: str) -> Watched:
        """What is there under `name`; raises UnknownDependency, which says what is known."""
        found = self.watched.get(name)
        if found is None:
            names = sorted(self.watched)
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UnknownDependency(
                f"there is no dependency {name!r}",
                hint=f"{hint}known: {', '.join(names) or 'none'}",
                known=names,
            )
        return found

    async def reset(self, name: str) -> Report:
        """Close the breaker of `name`, here and, where it is shared, in every process."""
        watched = self.known(name)
        before = STATES[watched.guard.breaker.state]
        if watched.sharing is not None:
            await watched.sharing.reset()
        else:
            watched.guard.breaker.reset(self._clock.monotonic())
        self.say("warning", f"dependency {name} was reset by hand; it was {before}", name)
        return self.report(name)

    def report(self, name: str) -> Report:
        """How it is now, as this process sees it."""
        watched = self.known(name)
        guard, now = watched.guard, self._clock.monotonic()
        breaker, tally = guard.breaker, guard.tally
        shared = "alone"
        if watched.settings.shared:
            shared = "shared" if watched.sharing is not None and not watched.sharing.away else "away"
        return Report(
            state=STATES[breaker.state],
            failures_in_a_row=breaker.in_a_row,
            opened=breaker.opens,
            next_call_in_s=round(breaker.next_s(now), 3),
            since_s=round(now - watched.since, 3),
            attempts=tally.ok + tally.failed + tally.rejected + tally.dropped,
            failed=tally.failed,
            timed_out=tally.timed_out,
            retries=tally.retries,
            hedges=tally.hedges,
            refused=tally.circuit_open + tally.full,
            degraded=tally.degraded,
            busy=guard.bulkhead.busy,
            waiting=guard.bulkhead.waiting,
            budget_left=guard.budget.left(now),
            last_error=tally.last_error,
            last_error_age_s=round(now - tally.last_error_at, 3) if tally.last_error else None,
            shared=shared,
            probed=watched.probe is not None,
        )

    async def finding(self, name: str) -> Finding:
        """The health check of one dependency."""
        return finding(self.report(name))

    async def late(self) -> Finding:
        """The health check of what code has added and no setting declares."""
        return together(
            {name: self.report(name) for name in self.watched if name not in self._config.dependencies}
        )

    def say(self, level: str, message: str, name: str) -> None:
        """One line on the log, with the dependency as a fact."""
        guard = self.watched[name].guard
        facts = {
            "dependency": name,
            "breaker": STATES[guard.breaker.state],
            "last_error": guard.tally.last_error,
        }
        self._log.append(
            LogLine(
                timestamp=self._figures.stamp(self._clock.wall()),
                level=level,
                logger=logger.name,
                message=message,
                facts=facts,
            )
        )

    def _add(self, name: str, options: Mapping[str, Any] | None = None) -> Watched:
        declared = self._config.dependencies.get(name)
        settings = declared or self._config.defaults
        told = (
            guard_options(settings) if declared or options is None else {**guard_options(settings), **options}
        )
        guard = Guard(
            name,
            **told,
            clock=self._clock,
            chance=self._rng.random,
            sleep=self._sleep,
        )
        guard.breaker.since = self._clock.monotonic()
        watched = self.watched[name] = Watched(guard, settings)
        if settings.shared and self._states is not None and self.shared is not None and settings.breaker:
            watched.sharing = SharedBreaker(
                guard,
                self._states,
                clock=self._clock,
                token=self._token,
                budget_s=self._config.share_budget_s,
            )
            guard.sharing = watched.sharing
            self.shared.add(watched.sharing)
        guard.breaker.changed = lambda breaker, before: self._changed(watched, breaker, before)
        self._figures.add(guard)
        return watched

    def _changed(self, watched: Watched, breaker: Breaker, before: int) -> None:
        name = watched.guard.name
        if watched.sharing is not None:
            watched.sharing.changed(before)
        self._figures.changed(name, breaker.state)
        if breaker.state == OPEN and breaker.until not in (watched.until, breaker.since):
            watched.until = breaker.until
            left_s = breaker.until - breaker.since
            error = watched.guard.tally.last_error or "another process saw it fail"
            self.say("warning", f"dependency {name} is held back for {left_s:.3g} s: {error}", name)
        elif breaker.state == CLOSED and before == HALF_OPEN:
            away_s = breaker.since - watched.since
            self.say("info", f"dependency {name} is well again after {away_s:.3g} s", name)
        if CLOSED in (before, breaker.state):
            watched.since = breaker.since

    def _token(self) -> str:
        self._leases += 1
        return f"{self._process}-{self._leases}"
