"""What one guarded call went through, and how that stands on the request's record."""

from typing import Any

from holdfast.kernel.context import current_ctx
from holdfast.kernel.guard.expiry import INF

PREFIX = "guard."
_SUMMED = frozenset({"calls", "attempts", "waited_s", "queued_s"})


class Course:
    """One call: its deadline, and what has happened to it so far."""

    __slots__ = ("attempts", "breaker", "degraded", "error", "hedged", "queued_s", "until", "waited_s")

    def __init__(self, until: float = INF, attempts: int = 0, error: Exception | None = None) -> None:
        self.until = until
        """When the whole call must be over, on the guard's clock."""
        self.attempts = attempts
        """How many were made, hedges not counted."""
        self.error = error
        """What the last attempt ended with."""
        self.waited_s = 0.0
        """Before retries."""
        self.queued_s = 0.0
        """For a permit."""
        self.hedged = 0
        self.degraded = False
        self.breaker = ""
        """The breaker's state, where it was not closed."""

    def facts(self) -> dict[str, Any]:
        """What is worth telling; nothing for a call that went through at once."""
        found: dict[str, Any] = {"calls": 1, "attempts": self.attempts}
        if self.waited_s:
            found["waited_s"] = round(self.waited_s, 6)
        if self.queued_s:
            found["queued_s"] = round(self.queued_s, 6)
        if self.hedged:
            found["hedged"] = True
        if self.breaker:
            found["breaker"] = self.breaker
        if self.degraded:
            found["degraded"] = True
        if self.error is not None:
            found["error"] = type(self.error).__name__
        return found

    def note(self, name: str) -> None:
        """Write it on the current request's record, under one key for the dependency.

        Calls that went through at the first try leave nothing; several calls of one request add up.
        """
        if self.attempts == 1 and not (self.error or self.hedged or self.breaker or self.queued_s):
            return
        ctx = current_ctx()
        if ctx is None:
            return
        key = PREFIX + name
        before = (ctx.event.facts or {}).get(key)
        ctx.event.note(**{key: merged(before, self.facts()) if before else self.facts()})


def merged(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The facts of two calls of one request: numbers add up, of the rest the later one stands."""
    found = {**before, **now}
    for name in _SUMMED & before.keys() & now.keys():
        found[name] = round(before[name] + now[name], 6)
    return found
