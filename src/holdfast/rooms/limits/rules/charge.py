"""The nouns of a decision: what a request is charged, and what came of it."""

import msgspec


class Limit(msgspec.Struct, frozen=True):
    """An effective limit: the policy's after tier, hour and load have had their say.

    `gcra` and `sliding_counter` hold a bounded state; `sliding_window` keeps one stamp a call and is exact.
    """

    name: str
    """The policy's name: the action, or action and what it is counted by."""
    quota: int
    """Calls (or units of cost) per window."""
    window_s: float
    burst: int = 0
    """What may come on top at once."""
    algorithm: str = "gcra"

    @property
    def capacity(self) -> int:
        """The most that is admitted at once."""
        return self.quota + self.burst


class Charge(msgspec.Struct, frozen=True):
    """One limit that one request is held against."""

    limit: Limit
    identity: str
    """Who is counted: `user:...`, `key:...`, `tenant:...`, `ip:...`, `route:...`."""
    cost: int = 1


class Verdict(msgspec.Struct, gc=False):
    """The decision over all charges of one request: all are paid, or none."""

    allowed: bool
    remaining: int
    """Of the charge that leaves least."""
    reset_s: float
    """Seconds until that charge has its whole quota again."""
    retry_after_s: float = 0.0
    """When refused: seconds until the same request would pass, were nobody else to come."""
    index: int = 0
    """Which charge decided: the one with least left, or the one that refused."""
    source: str = "local"
    """`local`, `shared`, `lease`, `remembered` (a refusal) or `share` (the shared store is away)."""
