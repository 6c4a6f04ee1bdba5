"""What an error says about the dependency that it came from, and about trying again."""

from collections.abc import Callable
from typing import Any, TypeVar

from holdfast.kernel.guard.problems import DeadlineExceeded, Refused

FAILED = 0
"""The dependency is at fault: 5xx, 408, time-outs, connections, everything unknown."""
ANSWERED = 1
"""The dependency works and said no: other 4xx. Neutral while closed; a probe that got it closes."""
NEUTRAL = 2
"""Says nothing: cancellation, 429 (a rate limit is no illness), a refusal by a guard."""

On = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Which errors: types, or a predicate."""

_RETRIED = "_holdfast_retried_by"
_DEEPEST_CAUSE = 8
_OURS = (Refused, DeadlineExceeded)

E = TypeVar("E", bound=BaseException)


def status_of(error: BaseException) -> int | None:
    """The HTTP status an error carries, as `status`, `status_code` or on its `response`; None without one."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
                return value
    return None


def verdict(error: BaseException) -> int:
    """FAILED, ANSWERED or NEUTRAL."""
    if not isinstance(error, Exception) or isinstance(error, Refused):
        return NEUTRAL
    status = status_of(error)
    if status is None or status >= 500 or status == 408:
        return FAILED
    if status == 429:
        return NEUTRAL
    return ANSWERED if status >= 400 else FAILED


def matcher(on: On) -> Callable[[Exception], bool]:
    """`on` as a predicate that never takes what a guard itself refused or ended."""
    if isinstance(on, type) or (isinstance(on, tuple) and on and all(isinstance(kind, type) for kind in on)):
        return lambda error: isinstance(error, on) and not isinstance(error, _OURS)
    if callable(on):
        return lambda error: not isinstance(error, _OURS) and bool(on(error))
    raise TypeError(f"on= takes exception types or a predicate, not {on!r}")


def retry_after_of(error: BaseException) -> float | None:
    """The seconds that the error asks to wait (`retry_after_s`); None when it asks nothing."""
    value: Any = getattr(error, "retry_after_s", None)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return None
    return float(value)


def mark_retried(error: E, by: object) -> E:
    """Tell the layers above that this error was retried already: one layer retries, the innermost."""
    try:
        setattr(error, _RETRIED, id(by))
    except AttributeError:
        # An exception with slots and no dict: the layers above may retry it once more.
        return error
    return error


def retried_below(error: BaseException, by: object) -> bool:
    """Whether another guard has given up on this error, or on what caused it."""
    cause: BaseException | None = error
    for _ in range(_DEEPEST_CAUSE):
        if cause is None:
            return False
        if getattr(cause, _RETRIED, id(by)) != id(by):
            return True
        cause = cause.__cause__
    return False
