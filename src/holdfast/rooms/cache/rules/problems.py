"""What the cache refuses, and what to do about each."""

from holdfast.kernel.errors import BadInput, Misconfigured, Problem, Unavailable
from holdfast.rooms.cache.rules.arms import APART


class BadKey(BadInput):
    """A cache key must be text, without the sign behind which variants stand."""

    code = "cache-bad-key"


class UnknownKind(Misconfigured):
    """There is no such kind of cache entry."""

    code = "cache-unknown-kind"


class BadValue(Problem):
    """The value cannot be kept in the cache."""

    code = "cache-bad-value"


class BadCall(Problem):
    """The cache was called in a way that cannot work."""

    code = "cache-bad-call"


class Recursion(Problem):
    """A load waits for itself."""

    code = "cache-recursion"


class LoadTimeout(Unavailable):
    """The value was not loaded in time."""

    code = "cache-load-timeout"
    status = 504


class LoadCancelled(Unavailable):
    """The load was cancelled before it ended."""

    code = "cache-load-cancelled"


def check_key(key: object) -> None:
    """Raise BadKey unless `key` is a str: empty, spaces, NUL, 10 kB, Korean, but without U+001F.

    Behind that sign stand the variants of an entry. A key that holds what a client sent would else name the
    entry of another arm, and fill it.
    """
    check_prefix(key)
    if APART in key:  # type: ignore[operator] # it is a str
        raise BadKey("the key holds U+001F, behind which variants stand", hint="leave control characters out")


def check_prefix(prefix: object) -> None:
    """Raise BadKey unless it is a str."""
    if not isinstance(prefix, str):
        raise BadKey(
            f"{prefix!r:.100} is a {type(prefix).__name__}, not a str",
            hint="write the key out, e.g. f'farm:{farm_id}'",
        )
