"""Asks every check in the background, one run at a time each, and keeps its last answer."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured, Problem
from holdfast.kernel.room import Check, Finding
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import Meter, Series
from holdfast.rooms.health.rules import (
    ANSWERS,
    DOWN,
    OK,
    UNKNOWN,
    Last,
    State,
    Watched,
    assess,
    masked_text,
    pause_s,
)

logger = logging.getLogger("holdfast.health")


class HealthEngine:
    """The checks and their last answers; reading them never waits for anything.

    `checks` is asked once, at the start. A probe that outlives its time limit is cancelled and counts
    as down; one that ignores the cancellation is left alone and never doubled: until it comes back
    its check stays down and no second probe is started.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        meter: Meter,
        supervisor: Supervisor,
        checks: Callable[[], Sequence[Check]],
        interval_s: float,
        timeout_s: float,
        jitter: float,
        stale_after: float,
    ) -> None:
        self._clock = clock
        self._supervisor = supervisor
        self._checks = checks
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._jitter = jitter
        self._stale_after = stale_after
        self._up = meter.gauge(
            "holdfast_health_check_up", "1 when the check's last answer was not down, else 0.", ("check",)
        )
        self._durations = meter.histogram(
            "holdfast_health_check_seconds", "How long the checks took to answer, or to time out.", ("check",)
        )
        self._watches: dict[str, _Watch] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._started_at = clock.monotonic()

    @property
    def stopping(self) -> bool:
        return self._stopping or self._supervisor.stopping.is_set()

    @property
    def uptime_s(self) -> float:
        return self._clock.monotonic() - self._started_at

    def set_stopping(self) -> None:
        """Readiness is off from now on; for the moment between the signal and the end of the listeners."""
        self._stopping = True

    def start(self) -> None:
        """Begin to ask; needs a running loop. A second start does nothing."""
        if self._tasks:
            return
        self._stopping = False
        for check in self._checks():
            if check.name in self._watches:
                raise Misconfigured(
                    f"two health checks are named {check.name!r}", hint="give each check a name of its own"
                )
            self._watches[check.name] = self._watch(check)
        self._tasks = [
            self._supervisor.spawn(f"health:{name}", watch.ask_for_ever)
            for name, watch in self._watches.items()
        ]

    async def stop(self) -> None:
        """End the asking; a probe that ignores its cancellation is left behind. May be called twice."""
        self.set_stopping()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watches = {}

    def states(self) -> list[State]:
        """Every check as it stands now, in the order of the rooms."""
        now = self._clock.monotonic()
        return [assess(watch.seen(), now, self._stale_after) for watch in self._watches.values()]

    def _watch(self, check: Check) -> "_Watch":
        return _Watch(
            check,
            clock=self._clock,
            supervisor=self._supervisor,
            interval_s=max(check.interval_s, self._interval_s),
            timeout_s=min(check.timeout_s, self._timeout_s),
            jitter=self._jitter,
            up=self._up.labels(check.name),
            durations=self._durations.labels(check.name),
        )


class _Watch:
    """One check: its probe while it runs, and its last answer."""

    def __init__(
        self,
        check: Check,
        *,
        clock: Clock,
        supervisor: Supervisor,
        interval_s: float,
        timeout_s: float,
        jitter: float,
        up: Series,
        durations: Series,
    ) -> None:
        self._check = check
        self._clock = clock
        self._supervisor = supervisor
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._jitter = jitter
        self._up = up
        self._durations = durations
        self._last: Last | None = None
        self._running: asyncio.Task[Finding] | None = None
        self._began = 0.0

    def seen(self) -> Watched:
        running = self._running is not None and not self._running.done()
        return Watched(
            self._check.name,
            self._interval_s,
            self._check.required,
            self._check.engine,
            last=self._last,
            running_since=self._began if running else None,
        )

    async def ask_for_ever(self) -> None:
        """The first question at once, so that readiness is known early; the next ones spread out."""
        stopping = False
        while not stopping:
            await self._ask()
            chance = random.random()  # noqa: S311 - spreads load, guards nothing
            stopping = await self._supervisor.pause(pause_s(self._interval_s, self._jitter, chance))

    async def _ask(self) -> None:
        if self._running is not None and not self._running.done():
            self._keep(Finding(DOWN, self._late()))
            return
        self._began = self._clock.monotonic()
        self._running = task = asyncio.create_task(
            _answer(self._check), name=f"holdfast:probe:{self._check.name}"
        )
        task.add_done_callback(_heard)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        finally:
            task.cancel()
        self._keep(_finding(task) if done else Finding(DOWN, self._late()))
        self._durations.observe(self._clock.monotonic() - self._began)

    def _late(self) -> str:
        text = f"timed out after {self._timeout_s:g} s"
        running_s = self._clock.monotonic() - self._began
        return (
            text if running_s < 2 * self._timeout_s else f"{text}; that probe has run for {running_s:.1f} s"
        )

    def _keep(self, finding: Finding) -> None:
        before = UNKNOWN if self._last is None else self._last.finding.status
        now = self._clock.monotonic()
        self._last = Last(finding, now, now - self._began)
        self._up.set(0 if finding.status == DOWN else 1)
        if finding.status == before:
            return
        if finding.status != OK:
            logger.warning(
                "check %s is %s: %s", self._check.name, finding.status, masked_text(finding.detail)
            )
        elif before != UNKNOWN:
            logger.info("check %s is ok again", self._check.name)


async def _answer(check: Check) -> Finding:
    return await check.probe()


def _finding(task: "asyncio.Task[Finding]") -> Finding:
    """What a probe that ended found; its failure is a finding as well."""
    if task.cancelled():
        return Finding(DOWN, "the probe was cancelled")
    error = task.exception()
    if isinstance(error, Problem):
        return Finding(DOWN, error.detail or error.title())
    if error is not None:
        return Finding(DOWN, f"{type(error).__name__}: {error}".rstrip(": "))
    found = task.result()
    if found.status not in ANSWERS:
        return Finding(DOWN, f"the probe answered {found.status!r}, which is none of {sorted(ANSWERS)}")
    return found


def _heard(task: "asyncio.Task[Finding]") -> None:
    """Take the late failure of an abandoned probe, or asyncio would report it as never retrieved."""
    if not task.cancelled():
        task.exception()
