"""The error root: every failure a client may see is a Problem, and it says what to do."""

from typing import Any, ClassVar

from holdfast.kernel.codec import encode_json

PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:holdfast:problem:"


class Problem(Exception):
    """A failure with a stable code, an HTTP status and a hint; the docstring is its title.

    Subclass it beside the rule that raises it. Rendered as RFC 9457 `application/problem+json`.
    """

    code: ClassVar[str] = "internal"
    status: int = 500
    retryable: bool = False

    def __init__(
        self,
        detail: str = "",
        *,
        hint: str = "",
        retry_after_s: float | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail or self.title())
        self.detail = detail
        self.hint = hint
        self.retry_after_s = retry_after_s
        self.members = members

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.__name__).strip().split("\n", 1)[0].rstrip(".")

    def line(self) -> str:
        """The problem in one line for a terminal: what is wrong, and in brackets what to do."""
        said = self.detail or self.title()
        return f"{said} ({self.hint})" if self.hint else said

    def body(self, request_id: str) -> bytes:
        """The problem document. `detail` of an unhandled error never leaks: only the class says it."""
        document: dict[str, Any] = {
            "type": TYPE_PREFIX + self.code,
            "title": self.title(),
            "status": self.status,
            "request_id": request_id,
        }
        if self.detail:
            document["detail"] = self.detail
        if self.hint:
            document["hint"] = self.hint
        document["retryable"] = self.retryable
        document.update(self.members)
        return encode_json(document)

    def headers(self) -> list[tuple[bytes, bytes]]:
        head = [(b"content-type", PROBLEM_JSON.encode()), (b"cache-control", b"no-store")]
        if self.retry_after_s is not None:
            # RFC 9110 10.2.3 has whole seconds only; rounding down would invite a refused retry.
            head.append((b"retry-after", b"%d" % max(1, -int(-self.retry_after_s // 1))))
        return head


class Internal(Problem):
    """The server failed to answer this request."""


class BadInput(Problem):
    """The request is not valid."""

    code = "bad-input"
    status = 422


class Malformed(Problem):
    """The request could not be read."""

    code = "malformed"
    status = 400


class NotFound(Problem):
    """Nothing is here."""

    code = "not-found"
    status = 404


class MethodNotAllowed(Problem):
    """This address does not take that method."""

    code = "method-not-allowed"
    status = 405

    def headers(self) -> list[tuple[bytes, bytes]]:
        # RFC 9110 15.5.6: a 405 must say what is allowed.
        return [*super().headers(), (b"allow", str(self.members.get("allow", "")).encode())]


class Conflict(Problem):
    """Something of this identity exists already, or is still referred to."""

    code = "conflict"
    status = 409


class TooLarge(Problem):
    """The request body is too large."""

    code = "too-large"
    status = 413


class Unauthorized(Problem):
    """The credentials are missing or not valid."""

    code = "unauthorized"
    status = 401

    def headers(self) -> list[tuple[bytes, bytes]]:
        # RFC 9110 11.6.1: a 401 must say how to authenticate.
        return [*super().headers(), (b"www-authenticate", self.challenge())]

    def challenge(self) -> bytes:
        return b'Bearer realm="holdfast"'


class Unavailable(Problem):
    """A part this needs cannot answer now."""

    code = "unavailable"
    status = 503
    retryable = True


class Misconfigured(Problem):
    """A setting is wrong, so the start stops here."""

    code = "misconfigured"


def unavailable(detail: str, retry_after_s: float, hint: str = "") -> Unavailable:
    """An Unavailable that always says when to come back."""
    return Unavailable(detail, hint=hint, retry_after_s=retry_after_s)
