"""What a guard refuses or ends by itself, each with what the caller may do about it."""

from holdfast.kernel.errors import Problem, Unavailable


class Refused(Unavailable):
    """The call was not made."""

    code = "call-refused"


class CircuitOpen(Refused):
    """The dependency failed lately, so the call was not made."""

    code = "circuit-open"


class BulkheadFull(Refused):
    """Too many calls to the dependency are under way, so the call was not made."""

    code = "bulkhead-full"


class RetryLater(Unavailable):
    """The dependency asked to wait longer than this call may take."""

    code = "retry-later"


class TimedOut(Problem, TimeoutError):
    """The dependency did not answer in time."""

    code = "dependency-timeout"
    status = 504
    retryable = True


class DeadlineExceeded(TimedOut):
    """The time for the whole call is over."""

    code = "deadline-exceeded"


def circuit_open(name: str, retry_after_s: float) -> CircuitOpen:
    """A CircuitOpen that says when the next call may get through."""
    return CircuitOpen(
        f"{name} failed lately: calls are held back",
        hint="try again after Retry-After, or answer without it",
        retry_after_s=max(0.0, retry_after_s),
        dependency=name,
    )


def bulkhead_full(name: str, waiting: int) -> BulkheadFull:
    """A BulkheadFull that says how long the queue is."""
    return BulkheadFull(
        f"{name} is busy and {waiting} calls wait already",
        hint="try again shortly, or raise the bulkhead's limits",
        retry_after_s=1.0,
        dependency=name,
    )


def deadline_exceeded(name: str, detail: str) -> DeadlineExceeded:
    """A DeadlineExceeded that names the dependency and how far the call came."""
    return DeadlineExceeded(f"{name}: {detail}", dependency=name)


def timed_out(name: str, phase: str, limit_s: float) -> TimedOut:
    """A TimedOut that names the phase and its limit."""
    return TimedOut(f"{name}: no end of {phase} within {limit_s:.3g} s", dependency=name, phase=phase)
