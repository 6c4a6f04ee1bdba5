"""The circuit breaker's state machine. Time is passed in; it calls nothing and waits for nothing.

    closed --failures--> open --open time over, one lease--> half-open --success--> closed
                          ^                                      |
                          +---------- failure: doubled ----------+

Each state has a generation number, and each call carries the number under which it was let in. What
comes back with another number is stale and changes nothing: a failure in flight when the breaker opened
does not lengthen the open time, a late success does not close it, a probe that lost its lease is no
longer heard.
"""

from collections.abc import Callable

import msgspec

from holdfast.kernel.guard.window import Window

CLOSED = 0
OPEN = 1
HALF_OPEN = 2
COOLING = 3
STATES = ("closed", "open", "half_open", "cooling")
REFUSED = -1
"""The ticket of a call that may not be made."""
_MOST_DOUBLINGS = 60


class BreakerRules(msgspec.Struct, frozen=True, kw_only=True):
    """When to open and for how long."""

    failures: int = 5
    """Failures in a row that open it; 0 looks only at the ratio."""
    ratio: float = 0.5
    """Share of failures within the window that opens it; 0 looks only at failures in a row."""
    minimum_calls: int = 20
    """Calls within the window below which the ratio says nothing."""
    window_s: float = 30.0
    """Should be longer than the longest call."""
    open_s: float = 5.0
    longest_open_s: float = 300.0
    recovery: str = "doubling"
    """`doubling` from open_s to longest_open_s, or `fixed:<seconds>`."""
    lease_s: float = 30.0
    """A probe that has not come back after this has lost its lease: the next caller may probe."""
    cool_down: bool = False
    """Whether a Retry-After holds back all calls until then, not only the one that was told."""
    longest_cool_s: float = 120.0

    def __post_init__(self) -> None:
        if self.failures < 0 or not 0 <= self.ratio <= 1 or self.minimum_calls < 1:
            raise ValueError("failures is not negative, ratio lies in 0..1, minimum_calls is at least 1")
        if min(self.window_s, self.open_s, self.longest_open_s, self.lease_s) <= 0:
            raise ValueError("window_s, open_s, longest_open_s and lease_s are positive")
        fixed_s(self.recovery)


def fixed_s(recovery: str) -> float | None:
    """The seconds of `fixed:<seconds>`; None for `doubling`; raises ValueError for anything else."""
    if recovery == "doubling":
        return None
    kind, _, text = recovery.partition(":")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if kind != "fixed" or not 0 < seconds < float("inf"):
        raise ValueError(
            f"recovery is {recovery!r}: write 'doubling' or 'fixed:<seconds>', as in 'fixed:300'"
        )
    return seconds


def open_for_s(rules: BreakerRules, opens: int) -> float:
    """How long it stays open after opening `opens` times without having closed.

    >>> [open_for_s(BreakerRules(), n) for n in (1, 2, 6, 7, 10_000)]
    [5.0, 10.0, 160.0, 300.0, 300.0]
    """
    fixed = fixed_s(rules.recovery)
    if fixed is not None:
        return fixed
    return min(rules.longest_open_s, rules.open_s * 2.0 ** min(opens - 1, _MOST_DOUBLINGS))


def opens_at(rules: BreakerRules, in_a_row: int, calls: int, failures: int) -> bool:
    """Whether so many failures open a closed breaker."""
    if rules.failures and in_a_row >= rules.failures:
        return True
    return bool(rules.ratio) and calls >= rules.minimum_calls and failures >= rules.ratio * calls


class Breaker:
    """One breaker of one dependency. Without rules it stays closed for ever."""

    __slots__ = (
        "changed",
        "generation",
        "in_a_row",
        "lease_until",
        "opens",
        "rules",
        "since",
        "state",
        "until",
        "window",
        "withheld_until",
    )

    def __init__(self, rules: BreakerRules | None) -> None:
        self.rules = rules
        self.state = CLOSED
        self.generation = 0
        self.in_a_row = 0
        self.window = Window(rules.window_s if rules else 30.0)
        self.opens = 0
        """How often it has opened since it was last closed."""
        self.until = 0.0
        """Open, cooling: when the next call may be made."""
        self.lease_until = 0.0
        """Half-open: when the probe loses its lease."""
        self.withheld_until = 0.0
        """Until when another process is known to probe."""
        self.since = 0.0
        """When the present state began."""
        self.changed: Callable[[Breaker, int], None] | None = None
        """Told after each change of state, with the state before; must not raise."""

    # -- before the call -------------------------------------------------------------------------

    def admit(self, now: float) -> int:
        """The ticket for one call, or REFUSED. In open and half-open it is the lease of the only probe."""
        state = self.state
        if state == CLOSED:
            return self.generation
        if state == COOLING:
            if now < self.until:
                return REFUSED
            self._enter(CLOSED, now)
            return self.generation
        if self.next_s(now) > 0:
            return REFUSED
        return self.lease(now)

    def lease(self, now: float) -> int:
        """The lease of the probe, even before the open time is over; REFUSED while somebody holds it."""
        if self.state not in (OPEN, HALF_OPEN) or (self.state == HALF_OPEN and now < self.lease_until):
            return REFUSED
        assert self.rules is not None
        self.lease_until = now + self.rules.lease_s
        self._enter(HALF_OPEN, now)
        return self.generation

    def next_s(self, now: float) -> float:
        """Seconds until the next call may be let in; 0 when it may be now."""
        if self.state == CLOSED:
            return 0.0
        until = self.lease_until if self.state == HALF_OPEN else self.until
        return max(0.0, until - now, self.withheld_until - now if self.state != COOLING else 0.0)

    def probes(self, ticket: int) -> bool:
        """Whether this ticket is the lease of the probe that is under way."""
        return self.state == HALF_OPEN and ticket == self.generation

    # -- after it --------------------------------------------------------------------------------

    def succeeded(self, ticket: int, now: float) -> None:
        if ticket != self.generation:
            return
        if self.state == HALF_OPEN:
            self._close(now)
        elif self.state == CLOSED:
            self.in_a_row = 0
            self._count(now, failed=False)

    def answered(self, ticket: int, now: float) -> None:
        """The dependency works and said no: closes when it was the probe, else says nothing."""
        if self.probes(ticket):
            self._close(now)

    def failed(self, ticket: int, now: float) -> None:
        if ticket != self.generation or self.rules is None:
            return
        if self.state == HALF_OPEN:
            if now < self.until:
                # An early probe, in the background: its failure is no news and lengthens nothing.
                self._enter(OPEN, now)
            else:
                self._open(now, self.opens + 1)
        elif self.state == CLOSED:
            self.in_a_row += 1
            self._count(now, failed=True)
            if opens_at(self.rules, self.in_a_row, *self.window.totals(now)):
                self._open(now, 1)

    def dropped(self, ticket: int, now: float) -> None:
        """The call ended without saying anything (cancelled, 429): a probe gives its lease back."""
        if self.probes(ticket):
            self._enter(OPEN, now)

    def cool(self, seconds: float, now: float) -> None:
        """Hold all calls back for so long, because the dependency asked for it; the longer wish holds."""
        if self.rules is None or not self.rules.cool_down or seconds <= 0:
            return
        until = now + min(seconds, self.rules.longest_cool_s)
        if self.state in (OPEN, COOLING):
            self.until = max(self.until, until)
        elif self.state == CLOSED:
            self.until = until
            self._enter(COOLING, now)

    # -- by others -------------------------------------------------------------------------------

    def reset(self, now: float) -> None:
        """Closed, as new: by an operator, or because another process found the dependency well."""
        self._close(now)

    def trip(self, now: float, open_s: float, opens: int) -> None:
        """Open for `open_s` seconds from now: another process saw it fail."""
        self.opens = opens
        self.until = now + open_s
        self._enter(OPEN, now)

    def withhold(self, ticket: int, now: float, seconds: float) -> None:
        """Give a lease back because another process holds the one for all, and ask no sooner than that."""
        self.withheld_until = now + seconds
        self.dropped(ticket, now)

    # -- changes ---------------------------------------------------------------------------------

    def _count(self, now: float, *, failed: bool) -> None:
        window = self.window
        if now >= window.turns_at:
            window.turn(now)
        window.calls += 1
        window.marked += failed

    def _open(self, now: float, opens: int) -> None:
        assert self.rules is not None
        self.trip(now, open_for_s(self.rules, opens), opens)

    def _close(self, now: float) -> None:
        self.in_a_row = self.opens = 0
        self.withheld_until = 0.0
        self.window.clear()
        self._enter(CLOSED, now)

    def _enter(self, state: int, now: float) -> None:
        before, self.state = self.state, state
        self.generation += 1
        self.since = now
        if self.changed is not None:
            self.changed(self, before)
