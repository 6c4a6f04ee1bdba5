"""Whether a worker is dead: by its lock, which the kernel frees at death, or by its silence."""

MARGIN_S = 2.0
"""Silence beyond the lease that is forgiven: a beat may be under way."""

DEAD = "dead"
SILENT = "silent"
ALIVE = "alive"


def verdict(*, lock_is_free: bool, silent_s: float, lease_s: float, same_host: bool) -> str:
    """What to think of a worker that was last heard `silent_s` seconds ago, by the watcher's own clock.

    A free lock is death, at once. With a network between, silence beyond the lease is death too. On the same
    host the lock can be told: who holds it and says nothing lives and cannot speak, because its job holds the
    interpreter; it is `silent`, and keeps each job until that job's own time is up.
    """
    if lock_is_free:
        return DEAD
    if silent_s <= lease_s + MARGIN_S:
        return ALIVE
    return SILENT if same_host else DEAD


def is_overdue(started_ms: int, timeout_s: float, now_ms: int, lease_s: float) -> bool:
    """Whether a job of a silent worker has had its time, and the lease on top of it."""
    return now_ms > started_ms + (timeout_s + lease_s + MARGIN_S) * 1000
