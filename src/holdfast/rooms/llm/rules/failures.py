"""What can go wrong at a provider, and what each kind allows: a retry, another deployment, neither.

kind            same again   elsewhere   breaker    to our caller
connection      yes          yes         failed     502
silent          no           yes         failed     504   (accepted, and no header, token or chunk in time)
busy            after a wait yes         -          503   (every connection that we allow ourselves is in use)
rate_limited    after a wait yes         cools      429
quota           no           yes         cools      429
overloaded      yes          yes         failed     503
server          yes          yes         failed     502
garbled         yes          yes         failed     502   (a 200 that is none: HTML, empty, an error inside)
cut             yes          yes         failed     502   (ended before it was whole)
auth            no           yes         -          502   (another key may be good; ours is no caller's fault)
not_found       no           yes         -          404
context_length  no           other model -          400
content_filter  no           no          -          400   (never routed around)
too_large       no           yes         -          413
bad_request     no           no          -          400
"""

from enum import Enum
from typing import Any

import msgspec

from holdfast.kernel.guard.outcome import ANSWERED, FAILED, NEUTRAL


class Policy(msgspec.Struct, frozen=True):
    """What one kind of failure allows. `verdict` is what it says of the provider, for its breaker."""

    again: bool
    """Whether the same deployment may be tried again, after a wait."""
    elsewhere: bool
    """Whether another deployment may be asked."""
    verdict: int
    status: int
    """The HTTP status that our caller sees when nothing else helped."""
    type: str
    """The error type in OpenAI's shape."""


class Kind(Enum):
    """One kind of failure; its value is its name in metrics and headers."""

    CONNECTION = "connection"
    SILENT = "silent"
    BUSY = "busy"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    SERVER = "server"
    GARBLED = "garbled"
    CUT = "cut"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    TOO_LARGE = "too_large"
    BAD_REQUEST = "bad_request"


POLICIES: dict[Kind, Policy] = {
    Kind.CONNECTION: Policy(True, True, FAILED, 502, "api_connection_error"),
    Kind.SILENT: Policy(False, True, FAILED, 504, "timeout_error"),
    Kind.BUSY: Policy(True, True, NEUTRAL, 503, "overloaded_error"),
    Kind.RATE_LIMITED: Policy(True, True, NEUTRAL, 429, "rate_limit_error"),
    Kind.QUOTA: Policy(False, True, NEUTRAL, 429, "insufficient_quota"),
    Kind.OVERLOADED: Policy(True, True, FAILED, 503, "overloaded_error"),
    Kind.SERVER: Policy(True, True, FAILED, 502, "api_error"),
    Kind.GARBLED: Policy(True, True, FAILED, 502, "api_error"),
    Kind.CUT: Policy(True, True, FAILED, 502, "api_error"),
    Kind.AUTH: Policy(False, True, ANSWERED, 502, "upstream_authentication_error"),
    Kind.NOT_FOUND: Policy(False, True, ANSWERED, 404, "not_found_error"),
    Kind.CONTEXT_LENGTH: Policy(False, True, ANSWERED, 400, "invalid_request_error"),
    Kind.CONTENT_FILTER: Policy(False, False, ANSWERED, 400, "invalid_request_error"),
    Kind.TOO_LARGE: Policy(False, True, ANSWERED, 413, "invalid_request_error"),
    Kind.BAD_REQUEST: Policy(False, False, ANSWERED, 400, "invalid_request_error"),
}


class ProviderFailed(Exception):
    """One attempt at one provider failed. `str()` is what may be shown: no key, no prompt.

    `retry_after_s`: what the provider asks to wait. `status`: its HTTP status, 0 without one. `code`: its own
    word for it. `phase`: for SILENT, which limit was over: connect, first byte, first token, idle, total.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        retry_after_s: float | None = None,
        phase: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.upstream_status = status
        self.code = code
        self.retry_after_s = retry_after_s
        self.phase = phase
        self.partial: dict[str, Any] | None = None
        """What had come of an answer that was held back until it was whole: it is charged for."""

    @property
    def policy(self) -> Policy:
        return POLICIES[self.kind]


class HeldBack(ProviderFailed):
    """It was not asked: its breaker lets nobody in just now. That is no attempt."""

    def __init__(self, message: str, retry_after_s: float | None) -> None:
        super().__init__(Kind.OVERLOADED, message, retry_after_s=retry_after_s)


def verdict(error: BaseException) -> int:
    """What an error of an attempt says about the deployment; whatever is unknown counts against it."""
    if isinstance(error, ProviderFailed):
        return error.policy.verdict
    return FAILED if isinstance(error, Exception) else NEUTRAL
