"""The time a request has left, and the header that tells the next service."""

from holdfast.kernel.context import current_ctx

HEADER = "X-Request-Timeout-Ms"
LONGEST_S = 86_400.0
"""A caller that offers more than a day has no deadline worth keeping."""


def parse_timeout_ms(value: str | bytes) -> float | None:
    """The header's value, whole milliseconds, as seconds; None when it is not one.

    >>> parse_timeout_ms("1500")
    1.5
    """
    text = (value.decode("latin-1") if isinstance(value, bytes) else value).strip()
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        return None
    return min(int(text) / 1000, LONGEST_S)


def format_timeout_ms(remaining_s: float) -> str:
    """`remaining_s` as the header says it, rounded down: the next service never believes it has more.

    >>> format_timeout_ms(1.2349)
    '1234'
    """
    return str(int(max(0.0, min(remaining_s, LONGEST_S)) * 1000))


def request_remaining_s() -> float | None:
    """Seconds that the request being served has left; None outside one or without a deadline."""
    ctx = current_ctx()
    return None if ctx is None else ctx.remaining_s()
