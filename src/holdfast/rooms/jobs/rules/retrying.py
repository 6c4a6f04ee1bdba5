"""When a failed job is tried again, or that it is not."""

from math import isfinite

import msgspec

from holdfast.rooms.jobs.rules.kinds import Policy

JITTER = 0.2
"""Most share of a pause that is added to it, so that jobs that failed together do not come back together."""
LONGEST_WAIT_S = 86_400.0
"""A Retry-After beyond a day is taken as a day."""
RETRY_AFTER_SPREAD_S = 10.0
"""Most seconds added to a Retry-After, which everybody was told at once."""


class Retry(msgspec.Struct, frozen=True):
    """Again, not before `run_at_ms`."""

    run_at_ms: int


class Dead(msgspec.Struct, frozen=True):
    """Never again by itself: a dead letter. `why` is for people."""

    why: str


def decide(
    policy: Policy,
    *,
    used: int,
    attempts: int,
    now_ms: int,
    draw: float,
    retry_after_s: float | None = None,
    deadline_ms: int | None = None,
) -> Retry | Dead:
    """What becomes of a job whose attempt number `used` of `attempts` has failed.

    The policy's table and the job's attempts both bound it. A Retry-After that the policy heeds wins over the
    table when it is later. `draw` is a random number in [0, 1). Milliseconds since the epoch.
    """
    if not policy.delays_s:
        return Dead("failures of this kind are not tried again")
    if used >= attempts:
        return Dead(f"all {attempts} attempts are used up" if attempts > 1 else "it has one attempt only")
    if used > len(policy.delays_s):
        return Dead(f"failures of this kind are tried again at most {len(policy.delays_s)} times")
    wait_s = pause_s(policy.delays_s, used - 1, draw)
    if policy.heeds_retry_after and retry_after_s is not None and isfinite(retry_after_s):
        asked_s = min(max(0.0, retry_after_s), LONGEST_WAIT_S)
        wait_s = max(wait_s, asked_s + draw * min(JITTER * asked_s, RETRY_AFTER_SPREAD_S))
    run_at_ms = now_ms + round(wait_s * 1000)
    if deadline_ms is not None and run_at_ms > deadline_ms:
        return Dead("the next attempt would begin after its deadline")
    return Retry(run_at_ms)


def pause_s(delays_s: tuple[float, ...], at: int, draw: float) -> float:
    """The pause before retry `at + 1`, with jitter that never reaches the next one's own pause.

    Where the next is no longer, the jitter goes down instead of up.
    """
    delay_s = delays_s[at]
    if at + 1 == len(delays_s):
        return delay_s * (1 + JITTER * draw)
    room_s = delays_s[at + 1] - delay_s
    if room_s <= 0:
        return delay_s * (1 - JITTER * draw)
    return min(delay_s + draw * min(JITTER * delay_s, room_s), delays_s[at + 1])
