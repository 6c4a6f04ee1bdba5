"""What an exception says about a failure: its kind, its words and when to come back.

Asked in this order: what the job itself says (JobFailed, JobCancelled); the user's own mappings, the nearest
class wins; a Problem by its code and status; an answer's HTTP status; the class, nearest first; what it was
raised from. Foreign libraries are told by the names of their classes: importing them here would load them.
"""

import errno
import json
import zlib
from collections.abc import Mapping

import msgspec

from holdfast.kernel.codec import clean_text
from holdfast.kernel.errors import Problem
from holdfast.rooms.jobs.rules import kinds

LONGEST_ERROR = 2_000
"""Characters of an error's text that a row keeps."""


class Failure(msgspec.Struct, frozen=True):
    """One failed attempt, judged."""

    kind: str
    error: str = ""
    retry_after_s: float | None = None


_BY_CODE = {
    "budget-exceeded": kinds.QUOTA,
    "quota-exceeded": kinds.RATE_LIMITED,
    "misconfigured": kinds.UNSUPPORTED,
    "job-payload-too-new": kinds.TEMPORARY,
}
_BY_STATUS = {
    400: kinds.VALIDATION,
    401: kinds.AUTH,
    402: kinds.QUOTA,
    403: kinds.AUTH,
    404: kinds.NOT_FOUND,
    405: kinds.UNSUPPORTED,
    406: kinds.UNSUPPORTED,
    408: kinds.TIMEOUT,
    409: kinds.CONFLICT,
    410: kinds.NOT_FOUND,
    412: kinds.CONFLICT,
    413: kinds.TOO_LARGE,
    415: kinds.UNSUPPORTED,
    422: kinds.VALIDATION,
    423: kinds.CONFLICT,
    424: kinds.DEPENDENCY,
    425: kinds.TEMPORARY,
    429: kinds.RATE_LIMITED,
    500: kinds.TEMPORARY,
    501: kinds.UNSUPPORTED,
    502: kinds.PROVIDER_DOWN,
    503: kinds.PROVIDER_DOWN,
    504: kinds.TIMEOUT,
    507: kinds.STORAGE,
    529: kinds.PROVIDER_DOWN,
}
_BY_ERRNO = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO), kinds.STORAGE),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ESRCH), kinds.NOT_FOUND),
    **dict.fromkeys((errno.EACCES, errno.EPERM), kinds.AUTH),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EBUSY, errno.EINTR), kinds.TEMPORARY),
    **dict.fromkeys((errno.EFBIG, errno.E2BIG, errno.ENAMETOOLONG), kinds.TOO_LARGE),
    **dict.fromkeys((errno.EEXIST, errno.ENOTEMPTY), kinds.CONFLICT),
    errno.ENOMEM: kinds.OUT_OF_MEMORY,
    errno.ETIMEDOUT: kinds.TIMEOUT,
    **dict.fromkeys(
        (
            errno.ECONNREFUSED,
            errno.ECONNRESET,
            errno.ECONNABORTED,
            errno.EPIPE,
            errno.EHOSTUNREACH,
            errno.ENETUNREACH,
            errno.ENETDOWN,
            errno.EADDRNOTAVAIL,
        ),
        kinds.NETWORK,
    ),
}
_BY_CLASS: dict[type[BaseException], str] = {
    TimeoutError: kinds.TIMEOUT,
    ConnectionError: kinds.NETWORK,
    MemoryError: kinds.OUT_OF_MEMORY,
    PermissionError: kinds.AUTH,
    FileNotFoundError: kinds.NOT_FOUND,
    NotADirectoryError: kinds.NOT_FOUND,
    FileExistsError: kinds.CONFLICT,
    msgspec.ValidationError: kinds.VALIDATION,
    msgspec.DecodeError: kinds.CORRUPT_INPUT,
    json.JSONDecodeError: kinds.CORRUPT_INPUT,
    UnicodeError: kinds.CORRUPT_INPUT,
    EOFError: kinds.CORRUPT_INPUT,
    zlib.error: kinds.CORRUPT_INPUT,
    NotImplementedError: kinds.UNSUPPORTED,
    ImportError: kinds.UNSUPPORTED,
}
_BY_NAME = {
    "asyncio.CancelledError": kinds.CANCELLED,
    "concurrent.CancelledError": kinds.CANCELLED,
    "socket.gaierror": kinds.NETWORK,
    "ssl.SSLError": kinds.NETWORK,
    "http.HTTPException": kinds.NETWORK,
    "zipfile.BadZipFile": kinds.CORRUPT_INPUT,
    "tarfile.TarError": kinds.CORRUPT_INPUT,
    "lzma.LZMAError": kinds.CORRUPT_INPUT,
    "pydantic_core.ValidationError": kinds.VALIDATION,
    "httpx.TimeoutException": kinds.TIMEOUT,
    "httpx.TransportError": kinds.NETWORK,
    "httpx.DecodingError": kinds.CORRUPT_INPUT,
    "httpcore.TimeoutException": kinds.TIMEOUT,
    "httpcore.NetworkError": kinds.NETWORK,
    "aiohttp.ServerTimeoutError": kinds.TIMEOUT,
    "aiohttp.ClientConnectionError": kinds.NETWORK,
    "aiohttp.ClientPayloadError": kinds.NETWORK,
    "requests.Timeout": kinds.TIMEOUT,
    "requests.ConnectionError": kinds.NETWORK,
    "requests.ChunkedEncodingError": kinds.NETWORK,
    "urllib3.TimeoutError": kinds.TIMEOUT,
    "urllib3.HTTPError": kinds.NETWORK,
    "openai.APITimeoutError": kinds.TIMEOUT,
    "openai.APIConnectionError": kinds.NETWORK,
    "anthropic.APITimeoutError": kinds.TIMEOUT,
    "anthropic.APIConnectionError": kinds.NETWORK,
    "redis.TimeoutError": kinds.TIMEOUT,
    "redis.ConnectionError": kinds.DEPENDENCY,
    "kombu.OperationalError": kinds.DEPENDENCY,
    "sqlalchemy.IntegrityError": kinds.CONFLICT,
    "sqlalchemy.OperationalError": kinds.DEPENDENCY,
    "sqlite3.IntegrityError": kinds.CONFLICT,
    "sqlite3.OperationalError": kinds.DEPENDENCY,
    "asyncpg.IntegrityConstraintViolationError": kinds.CONFLICT,
    "asyncpg.TransactionRollbackError": kinds.CONFLICT,
    "asyncpg.DiskFullError": kinds.STORAGE,
    "asyncpg.OutOfMemoryError": kinds.OUT_OF_MEMORY,
    "asyncpg.PostgresConnectionError": kinds.DEPENDENCY,
    "asyncpg.OperatorInterventionError": kinds.DEPENDENCY,
    "asyncpg.InterfaceError": kinds.DEPENDENCY,
}
_ANSWERED = frozenset(
    {"httpx", "aiohttp", "requests", "urllib", "openai", "anthropic", "mistralai", "cohere"}
)
"""Libraries whose errors may carry the HTTP status of an answer."""
_SAYS_ITSELF = frozenset({"holdfast.ports.jobs.JobFailed", "holdfast.ports.jobs.JobCancelled"})


def judge(error: BaseException, own: Mapping[type[BaseException], str] | None = None) -> Failure:
    """The failure that `error` is; `own` are the user's mappings from class to kind."""
    kind, retry_after_s = _judge(error, own or {}, depth=0)
    return Failure(kind or kinds.UNKNOWN, said_by(error), retry_after_s)


def said_by(error: BaseException) -> str:
    """The error in words, with its class: short enough for a row, and always encodable."""
    said = error.line() if isinstance(error, Problem) else str(error)
    named = type(error).__name__
    text = f"{named}: {said}" if said and named not in ("JobFailed", "JobCancelled") else said or named
    return text[:LONGEST_ERROR].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def storable(text: str) -> str:
    """`text` as a row can hold it: a text of PostgreSQL has no NUL, and no database a lone surrogate."""
    return clean_text(text).replace("\0", "\ufffd")


def _judge(
    error: BaseException, own: Mapping[type[BaseException], str], depth: int
) -> tuple[str, float | None]:
    wait_s = retry_after_of(error)
    for found in (_said(error), _mapped(error, own), _problem(error), _answered(error), _classed(error)):
        if found:
            return found, wait_s
    if isinstance(error, BaseExceptionGroup):
        judged = {_judge(inner, own, depth + 1) for inner in error.exceptions} if depth < 8 else set()
        return judged.pop() if len(judged) == 1 else ("", None)
    if error.__cause__ is not None and depth < 8:
        return _judge(error.__cause__, own, depth + 1)
    return "", wait_s


def _said(error: BaseException) -> str:
    for part in type(error).__mro__:
        if f"{part.__module__}.{part.__qualname__}" in _SAYS_ITSELF:
            return str(getattr(error, "kind", kinds.CANCELLED))
    return ""


def _mapped(error: BaseException, own: Mapping[type[BaseException], str]) -> str:
    return next((own[part] for part in type(error).__mro__ if part in own), "")


def _problem(error: BaseException) -> str:
    if not isinstance(error, Problem):
        return ""
    found = _BY_CODE.get(error.code)
    if found:
        return found
    if error.status >= 500:
        # A 500 that says of itself that it will not pass is no temporary failure.
        usual = _BY_STATUS.get(error.status, kinds.TEMPORARY)
        return kinds.UNKNOWN if usual == kinds.TEMPORARY and not error.retryable else usual
    return _BY_STATUS.get(error.status, kinds.VALIDATION)


def _answered(error: BaseException) -> str:
    status = status_of(error)
    if not status:
        return ""
    usual = kinds.TEMPORARY if status >= 500 else kinds.VALIDATION if status >= 400 else ""
    return _BY_STATUS.get(status, usual)


def status_of(error: BaseException) -> int:
    """The HTTP status an error of a known client library carries; 0 for none."""
    if not any(part.__module__.split(".", 1)[0] in _ANSWERED for part in type(error).__mro__):
        return 0
    response = getattr(error, "response", None)
    for holder, name in (
        (error, "status_code"),
        (response, "status_code"),
        (error, "status"),
        (error, "code"),
    ):
        status = getattr(holder, name, None)
        if isinstance(status, int) and not isinstance(status, bool) and 100 <= status < 600:
            return status
    return 0


def retry_after_of(error: BaseException) -> float | None:
    """The pause in seconds that an error names, by itself or in the headers of its answer."""
    named = getattr(error, "retry_after_s", None)
    if named is None and status_of(error):
        headers = getattr(getattr(error, "response", None), "headers", None) or getattr(
            error, "headers", None
        )
        if isinstance(headers, Mapping):
            named = next(
                (value for name, value in headers.items() if str(name).lower() == "retry-after"), None
            )
    try:
        return None if named is None else max(0.0, float(named))
    except (TypeError, ValueError):
        return None


def _classed(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno]
    for part in type(error).__mro__:
        found = _BY_CLASS.get(part) or _BY_NAME.get(f"{part.__module__.split('.', 1)[0]}.{part.__name__}")
        if found:
            return found
    return ""
