"""What a guard has done since the start, as plain numbers; whoever publishes them takes differences."""


class Tally:
    """Counts of one dependency in this process."""

    __slots__ = (
        "circuit_open",
        "degraded",
        "dropped",
        "failed",
        "full",
        "hedges",
        "hedges_won",
        "last_error",
        "last_error_at",
        "ok",
        "rejected",
        "retries",
        "timed_out",
    )

    def __init__(self) -> None:
        self.ok = 0
        """Attempts that succeeded."""
        self.failed = 0
        """Attempts that failed by the dependency's fault, time-outs included."""
        self.timed_out = 0
        self.rejected = 0
        """Attempts that it answered with a no (4xx)."""
        self.dropped = 0
        """Attempts that say nothing: cancelled, 429."""
        self.circuit_open = 0
        """Calls refused by the breaker."""
        self.full = 0
        """Calls refused by the bulkhead."""
        self.retries = 0
        self.hedges = 0
        self.hedges_won = 0
        self.degraded = 0
        """Calls that the fallback answered."""
        self.last_error = ""
        self.last_error_at = 0.0
        """On the guard's monotonic clock."""
