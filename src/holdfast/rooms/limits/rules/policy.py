"""Policies: which action has which quota, counted by whom, and what of it is left after the factors."""

import math
import re
from collections.abc import Mapping

import msgspec

from holdfast.rooms.limits.rules.charge import GCRA, SLIDING_COUNTER, SLIDING_WINDOW, Limit

CRITICAL, HIGH, NORMAL, LOW = range(4)
"""Priorities: 0 is kept longest, 3 gives way first."""

NAMES = re.compile(r"[a-z][a-z0-9_.-]{0,63}").fullmatch
"""What an action may be called: it is part of keys, header values and metric labels."""
KINDS = frozenset({"user", "key", "tenant", "ip", "route"})
"""What a caller may be counted by; several joined by `+` count each combination."""

_UNITS = {"second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "m": 60, "hour": 3600, "h": 3600} | {
    "day": 86400,
    "d": 86400,
}
_RATE = re.compile(
    r"\s*(\d+)\s*(?:/|per)\s*(\d+(?:\.\d+)?)?\s*([a-z]+?)?s?\s*(?:\+\s*(\d+))?\s*", re.IGNORECASE
).fullmatch
# A quota times its factors is a sum of rounded floats: 10 * 0.7 must be 7, not 6.999.
_ROUNDING = 1e-9


class Policy(msgspec.Struct, frozen=True):
    """How one action is limited, before anything is known of who asks and when."""

    action: str
    quota: int
    window_s: float
    burst: int = 0
    by: tuple[str, ...] = ("user",)
    """Each is a count of its own; whoever has no such name is counted by address."""
    priority: int = NORMAL
    algorithm: str = GCRA
    unit: str = ""
    """What the quota counts, where it is not requests: stands in the header as `qu`."""


POLICIES: Mapping[str, Policy] = {
    policy.action: policy
    for policy in (
        Policy("submission", 10, 300, 3, priority=CRITICAL),
        Policy("feedback_request", 20, 300, 5, priority=HIGH),
        Policy("ai_generation", 5, 600, 2, priority=LOW),
        Policy("recommendation_request", 15, 300, 3, priority=NORMAL),
        # Whoever tries passwords is nobody yet, and may call itself anything: counted by address.
        Policy("login_attempt", 5, 300, 0, by=("ip",), priority=CRITICAL),
        Policy("api_call", 100, 60, 20, priority=HIGH),
    )
}
"""What holds unless settings say otherwise."""

TIERS: Mapping[str, float] = {"FREE": 1.0, "PREMIUM": 2.0, "ADMIN": 10.0}
FREE = "FREE"
"""The tier of whoever has none, or one that is not in the table."""


def scaled(policy: Policy, factor: float, name: str = "") -> Limit:
    """The policy as a limit, its quota and burst times `factor`, both rounded down; a quota is at least 1.

    Rounded down, so that no limit is ever larger than its factors say.

    >>> scaled(POLICIES["ai_generation"], 0.8)
    Limit(name='ai_generation', quota=4, window_s=600.0, burst=1, algorithm='gcra')
    """
    return Limit(
        name or policy.action,
        max(1, math.floor(policy.quota * factor + _ROUNDING)),
        float(policy.window_s),
        max(0, math.floor(policy.burst * factor + _ROUNDING)),
        policy.algorithm,
    )


def parse_rate(text: str) -> tuple[int, float, int | None]:
    """Quota, window in seconds, and burst where one is named. Raises ValueError saying what is expected.

    >>> parse_rate("10/minute"), parse_rate("5 per 10 minutes"), parse_rate("100/60 +20")
    ((10, 60.0, None), (5, 600.0, None), (100, 60.0, 20))
    """
    found = _RATE(text)
    if found is not None:
        quota, times, unit, burst = found.groups()
        seconds = _UNITS.get((unit or "s").lower())
        if seconds is not None and (times or unit):
            window_s = float(times or 1) * seconds
            if int(quota) >= 1 and window_s > 0:
                return int(quota), window_s, None if burst is None else int(burst)
    raise ValueError(f"{text!r} is no limit: write '10/minute', '5 per 10 minutes' or '100/60 + 20' (burst)")


def faults(policy: Policy) -> str:
    """What is wrong with the policy, in words that name it; empty when nothing is."""
    if not NAMES(policy.action):
        return f"action {policy.action!r}: use small letters, digits, `_`, `-` and `.`, at most 64"
    said = ""
    if policy.quota < 1:
        said = f"a quota of {policy.quota} lets nobody in"
    elif not 0 < policy.window_s < math.inf:
        said = f"a window of {policy.window_s} s"
    elif policy.burst < 0:
        said = f"a burst of {policy.burst}"
    elif not policy.by:
        said = "counted by nothing"
    elif unknown := unknown_kind(policy.by):
        said = f"cannot count by {unknown!r}: use {', '.join(sorted(KINDS))}, or several joined by '+'"
    elif not CRITICAL <= policy.priority <= LOW:
        said = f"a priority of {policy.priority}: 0 is kept longest, 3 gives way first"
    elif policy.algorithm not in (GCRA, SLIDING_WINDOW, SLIDING_COUNTER):
        said = f"algorithm {policy.algorithm!r}: use {GCRA}, {SLIDING_WINDOW} or {SLIDING_COUNTER}"
    return f"action {policy.action}: {said}" if said else ""


def unknown_kind(by: tuple[str, ...]) -> str:
    """The first of `by` that names nothing to count by; empty when all do."""
    return next((each for each in by if not each or not KINDS.issuperset(each.split("+"))), "")


def name_of(action: str, by: str, first: bool) -> str:
    """The name of the limit that counts `action` by `by`: the action's own for the first, else with it."""
    return action if first else f"{action}-{by.replace('+', '-')}"
