"""The nouns of a decision: what a request is charged, and what came of it."""

import hashlib

import msgspec

LONGEST_IDENTITY = 300
"""Characters of an identity that are kept as they are; what is longer is counted by its digest."""

GCRA = "gcra"
SLIDING_WINDOW = "sliding_window"
SLIDING_COUNTER = "sliding_counter"


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
    algorithm: str = GCRA

    @property
    def capacity(self) -> int:
        """The most that is admitted at once (gcra), or within one window (the other two)."""
        return self.quota + self.burst


class Charge(msgspec.Struct, frozen=True):
    """One limit that one request is held against. Two charges of a request never share limit and identity."""

    limit: Limit
    identity: str
    """Who is counted: `user:...`, `key:...`, `tenant:...`, `ip:...`, `route:...`."""
    cost: int = 1
    """Units. Below zero in a refund only: a debit of what was used beyond the charge, without asking."""


class Verdict(msgspec.Struct, gc=False):
    """The decision over all charges of one request: all are paid, or none."""

    allowed: bool
    remaining: int
    """Of the charge that leaves least."""
    reset_s: float
    """Seconds until that charge has its whole quota again."""
    retry_after_s: float = 0.0
    """When refused: seconds until the same request would pass, were nobody else to come.

    Infinite when it never would: it costs more than the limit admits at once.
    """
    index: int = 0
    """Which charge decided: the one with least left, or the one that refused."""
    source: str = "local"
    """`local`, `shared`, `lease`, `remembered` (a refusal) or `share` (the shared store is away)."""


def namespace(name: str, algorithm: str) -> str:
    """What the keys of one policy begin with. The algorithm is part of it: states differ in form.

    Quota and window are not: they change with the hour and the load, the count goes on. A state is
    kept in time or in calls, never in the unit of one particular quota.
    """
    return f"{name}|" if algorithm == GCRA else f"{name}~{algorithm}|"


def key_of(limit: Limit, identity: str) -> str:
    """The one place where `identity` is counted for `limit`, within process memory."""
    return namespace(limit.name, limit.algorithm) + identity


def bounded(identity: str) -> str:
    """`identity`, or its digest when it is long: a caller's name never costs more than a fixed size.

    >>> bounded("user:7")
    'user:7'
    """
    if len(identity) <= LONGEST_IDENTITY:
        return identity
    kind, parted, _ = identity[:32].partition(":")
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{kind}{parted}sha256:{digest}" if parted else f"sha256:{digest}"


def share(limit: Limit, nodes: int) -> Limit:
    """What one of `nodes` processes may admit, so that all together keep to `limit`.

    gcra: the rate is divided exactly (by a longer window), the capacity is rounded down. The other two
    keep their window and divide what fits into it. Never below one call: with more nodes than capacity
    each still admits one at once, and gcra's rate stays exact.

    >>> share(Limit("a", 10, 300.0, 3), 4)
    Limit(name='a', quota=2, window_s=240.0, burst=1, algorithm='gcra')
    """
    if nodes <= 1:
        return limit
    capacity = max(1, limit.capacity // nodes)
    quota = min(capacity, max(1, limit.quota // nodes))
    window_s = limit.window_s
    if limit.algorithm == GCRA:
        window_s = limit.window_s * quota * nodes / limit.quota
    return Limit(limit.name, quota, window_s, capacity - quota, limit.algorithm)
