"""How long to wait before the next attempt: exponential with full jitter, never below what was asked."""

import msgspec

from holdfast.kernel.guard.outcome import On


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Which errors are worth another attempt, how many, and the waits between them.

    `on` has no default, because repeating everything repeats mistakes and payments as well.
    """

    on: On
    attempts: int = 3
    """In total, the first included."""
    first_s: float = 1.0
    factor: float = 2.0
    longest_s: float = 60.0
    """Upper bound of the wait that we choose."""
    longest_hint_s: float = 120.0
    """A Retry-After up to this is obeyed; beyond it the call fails now and passes the hint on."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}: at least 1, the first included")
        if self.first_s < 0 or self.longest_s < 0 or self.longest_hint_s < 0 or self.factor < 1:
            raise ValueError("waits must not be negative, and factor at least 1")


def ceiling_s(retry: Retry, failed: int) -> float:
    """The longest that the wait after `failed` attempts may be.

    >>> [ceiling_s(Retry(on=OSError), n) for n in (1, 2, 3, 7, 5000)]
    [1.0, 2.0, 4.0, 60.0, 60.0]
    """
    try:
        return min(retry.longest_s, retry.first_s * retry.factor ** (failed - 1))
    except OverflowError:  # 2.0 ** 1024
        return retry.longest_s


def wait_s(retry: Retry, failed: int, chance: float, retry_after_s: float | None = None) -> float:
    """The wait after `failed` attempts; `chance` in [0, 1) spreads it over the whole range (full jitter).

    What the dependency asked for is the floor, and the jitter comes on top of it, so that those who were
    told the same moment do not return in it. (AWS Builders' Library, Timeouts, retries and backoff.)
    """
    return (retry_after_s or 0.0) + chance * ceiling_s(retry, failed)
