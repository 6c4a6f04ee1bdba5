"""Reads Retry-After as servers write it: seconds, milliseconds or an HTTP date."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|s)?", re.ASCII | re.IGNORECASE)


def parse_retry_after(value: str | bytes, wall_s: float) -> float | None:
    """Seconds to wait, never negative; None when it cannot be read.

    `5`, `1.5`, `5s`, `250ms` or an HTTP date (RFC 9110 10.2.3), which is compared with `wall_s`, the epoch
    seconds of the answer; a date that has passed means now.

    >>> parse_retry_after("250ms", 0.0)
    0.25
    """
    text = (value.decode("latin-1") if isinstance(value, bytes) else value).strip()
    number = _NUMBER.fullmatch(text)
    if number is not None:
        return float(number[1]) * (0.001 if (number[2] or "").lower() == "ms" else 1.0)
    if "," not in text or len(text) > 64:  # every form of HTTP date but asctime's, which nobody sends
        return None
    try:
        moment = parsedate_to_datetime(text)
        stamp = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, stamp - wall_s)


def retry_after_from(headers: Mapping[str, str], wall_s: float) -> float | None:
    """The wait that response headers ask for: `retry-after-ms` before `retry-after`, names in any case."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        if name.lower() in ("retry-after-ms", "retry-after"):
            found[name.lower()] = value
    exact = found.get("retry-after-ms")
    if exact is not None:
        number = _NUMBER.fullmatch(exact.strip())
        if number is not None and number[2] is None:
            return float(number[1]) / 1000
    plain = found.get("retry-after")
    return None if plain is None else parse_retry_after(plain, wall_s)
