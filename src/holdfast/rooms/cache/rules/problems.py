"""What the cache refuses, and what to do about each."""

from holdfast.kernel.errors import BadInput, Misconfigured, Problem, Unavailable


class BadKey(BadInput):
    """A cache key must be text."""

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
    """Raise BadKey unless `key` is a str; any str will do: empty, spaces, NUL, 10 kB, Korean."""
    if not isinstance(key, str):
        raise BadKey(
            f"{key!r:.100} is a {type(key).__name__}, not a str",
            hint="write the key out, e.g. f'farm:{farm_id}'",
        )
