"""What this room refuses, and what to do about each."""

import math
from typing import Any

from holdfast.kernel.errors import BadInput, Misconfigured, Problem
from holdfast.rooms.limits.rules.charge import Limit, Verdict

_TYPES = "https://iana.org/assignments/http-problem-types#"


class TooManyRequests(Problem):
    """The quota is used up."""

    code = "quota-exceeded"
    status = 429
    retryable = True


class ReducedCapacity(TooManyRequests):
    """The quota is used up; it is smaller than usual because the service is busy."""

    code = "temporary-reduced-capacity"


class UnknownAction(BadInput):
    """No policy limits this action."""

    code = "limits-unknown-action"


class BadMoment(BadInput):
    """The time cannot be read."""

    code = "limits-bad-time"


class NobodyToCount(BadInput):
    """There is nobody to count."""

    code = "limits-nobody"


def refusal(limit: Limit, verdict: Verdict, *, at_once: int, reduced: bool) -> TooManyRequests:
    """The 429 that names policy, quota and window and says when to come back.

    `at_once`: the largest cost that ever passes; `reduced`: whether the load has lowered the limit.

    Its `type` and `violated-policies` are those of draft-ietf-httpapi-ratelimit-headers-11, section 5.
    """
    kind = ReducedCapacity if reduced else TooManyRequests
    often = f"{limit.quota} per {limit.window_s:g} s" + (f" and {limit.burst} at once" if limit.burst else "")
    members: dict[str, Any] = {
        "type": _TYPES + kind.code,
        "violated-policies": [limit.name],
        "policy": limit.name,
        "quota": limit.quota,
        "burst": limit.burst,
        "window_s": limit.window_s,
    }
    if math.isinf(verdict.retry_after_s):
        return kind(
            f"{limit.name} allows {often}; this asks for more than it ever allows at once",
            hint=f"ask for at most {at_once} units in one go",
            retryable=False,
            **members,
        )
    wait_s = math.ceil(verdict.retry_after_s)
    return kind(
        f"{limit.name} allows {often}",
        hint=f"come back in {max(1, wait_s)} s",
        retry_after_s=verdict.retry_after_s,
        **members,
    )


def unknown_action(action: str, known: list[str]) -> UnknownAction:
    """The UnknownAction that lists the known ones."""
    return UnknownAction(f"no policy limits {action!r}", hint=f"actions are: {', '.join(sorted(known))}")


def bad_setting(where: str, said: str) -> Misconfigured:
    """A Misconfigured that names the setting."""
    return Misconfigured(f"{where}: {said}", hint="mend the setting it names")
