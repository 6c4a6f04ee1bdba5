"""The RateLimit fields (draft-ietf-httpapi-ratelimit-headers-11), as bytes ready to send.

Both are lists of items named by policy. Nothing about who was counted ever stands in them (no `pk`).
"""

import math
from collections.abc import Sequence

from holdfast.rooms.limits.rules.charge import Limit, Verdict

POLICY = b"ratelimit-policy"
STATE = b"ratelimit"


def policy_item(limit: Limit, unit: str = "") -> bytes:
    """One policy: quota, window in whole seconds (rounded up, at least 1), unit where it is not requests.

    >>> policy_item(Limit("api_call", 100, 60.0, 20))
    b'"api_call";q=100;w=60'
    """
    text = f'"{limit.name}";q={limit.quota};w={max(1, math.ceil(limit.window_s))}'
    if unit:
        text += f';qu="{unit}"'
    return text.encode("ascii")


def state_form(name: str) -> bytes:
    """A form that `% (remaining, seconds)` makes the state of the policy; numbers are rounded down."""
    return f'"{name}";r=%d;t=%d'.encode("ascii")


def slots_per_second(limit: Limit) -> float:
    """How finely a GCRA debt is parted so that whole units and whole seconds both change between slots only.

    A unit is window / quota seconds; that and one second have gcd(window, quota) / quota in common. 0 where
    the window is no whole number of seconds.

    >>> slots_per_second(Limit("api_call", 100, 60.0, 20)), slots_per_second(Limit("x", 22, 300.0))
    (5.0, 11.0)
    """
    window_s = int(limit.window_s)
    if window_s != limit.window_s:
        return 0.0
    return limit.quota / math.gcd(window_s, limit.quota)


def fields(policies: Sequence[bytes], name: str, verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """Both fields: every policy that was looked at, and the state of the one that decided."""
    state = state_form(name) % (max(0, verdict.remaining), math.ceil(verdict.reset_s))
    return [(POLICY, b", ".join(policies)), (STATE, state)]
