"""How an effective limit came about, step by step, as data and as lines for people."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

import msgspec

from holdfast.rooms.limits.rules.charge import Limit, Verdict, key_of, share
from holdfast.rooms.limits.rules.factors import (
    STEPS,
    Band,
    hour_factor,
    load_factor,
    load_step,
    local_hour,
    tier_of,
)
from holdfast.rooms.limits.rules.policy import Policy, scaled
from holdfast.rooms.limits.rules.problems import BadMoment

_PRIORITIES = ("critical", "high", "normal", "low")


class Case(msgspec.Struct, frozen=True):
    """What is asked: which limit, for whom, when, under which load."""

    policy: Policy
    name: str
    """The limit's name; the action's own unless it is counted by several things."""
    priority: int
    tier: str
    wall_s: float
    load: float
    identity: str
    nodes: int = 1


class Count(msgspec.Struct, frozen=True):
    """How things stand for the identity now."""

    allowed: bool
    remaining: int
    reset_s: float
    retry_after_s: float | None
    source: str


class Explanation(msgspec.Struct, frozen=True):
    """One limit explained. `steps` are sentences in the order of the calculation."""

    policy: str
    identity: str
    tier: str
    at: str
    zone: str
    hour: int
    load: float
    tier_factor: float
    hour_factor: float
    load_factor: float
    quota: int
    burst: int
    window_s: float
    algorithm: str
    key: str
    steps: list[str]
    count: Count | None = None
    """As of now; null where it was not asked for."""


def moment(text: str, zone: tzinfo) -> float:
    """Epoch seconds of an ISO 8601 time; one without an offset is the wall clock in `zone`."""
    try:
        found = datetime.fromisoformat(text)
        return (found.replace(tzinfo=zone) if found.tzinfo is None else found).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadMoment(f"{text!r} is no time", hint="write it like 2026-11-21T10:00") from None


def explain(case: Case, *, tiers: Mapping[str, float], bands: Sequence[Band], zone: tzinfo) -> Explanation:
    """Every step from the table's row to the limit that is charged."""
    policy = case.policy
    tier = tier_of(tiers, case.tier)
    hour = local_hour(case.wall_s, zone)
    by_hour = hour_factor(bands, hour)
    by_load = load_factor(case.priority, load_step(case.load))
    factor = tiers[tier] * by_hour * by_load
    whole = scaled(policy, factor, case.name)
    limit = share(whole, case.nodes)
    at = datetime.fromtimestamp(case.wall_s, zone)
    steps = [
        f"table: {policy.action} is {_often(policy.quota, policy.window_s, policy.burst)}",
        f"tier: {_tier_step(case.tier, tier)} x {tiers[tier]:g}",
        f"hour: {at:%Y-%m-%d %H:%M} in {zone} is {_band_step(bands, hour)} x {by_hour:g}",
        f"load: {_load_step(case)} x {by_load:g}",
        f"rounding: {policy.quota} x {factor:g} = {policy.quota * factor:g}, down to {whole.quota}"
        f"; burst {policy.burst} x {factor:g} = {policy.burst * factor:g}, down to {whole.burst}",
    ]
    if case.nodes > 1:
        steps.append(
            f"share: {case.nodes} processes count apart, each "
            f"{_often(limit.quota, limit.window_s, limit.burst)}"
        )
    steps.append(f"algorithm: {_algorithm_step(limit)}")
    steps.append(f"key: {case.identity}, counted as {key_of(limit, case.identity)}")
    return Explanation(
        policy=case.name,
        identity=case.identity,
        tier=tier,
        at=at.isoformat(timespec="minutes"),
        zone=str(zone),
        hour=hour,
        load=case.load,
        tier_factor=tiers[tier],
        hour_factor=by_hour,
        load_factor=by_load,
        quota=whole.quota,
        burst=whole.burst,
        window_s=whole.window_s,
        algorithm=whole.algorithm,
        key=key_of(limit, case.identity),
        steps=steps,
    )


def counted(found: Explanation, verdict: Verdict) -> Explanation:
    """The explanation with how things stand now."""
    wait_s = None if verdict.allowed else round(verdict.retry_after_s, 3)
    count = Count(verdict.allowed, verdict.remaining, round(verdict.reset_s, 3), wait_s, verdict.source)
    return msgspec.structs.replace(found, count=count)


def told(found: Explanation) -> list[str]:
    """The explanation as lines for a terminal."""
    head = f"{found.policy}: {_often(found.quota, found.window_s, found.burst)} for {found.identity}"
    lines = [head, *(f"  {step}" for step in found.steps)]
    count = found.count
    if count is not None:
        state = f"{count.remaining} left, whole again in {count.reset_s:g} s"
        if count.retry_after_s is not None:
            state += f", refused for {count.retry_after_s:g} s"
        lines.append(f"  now: {state} (source: {count.source})")
    return lines


def _often(quota: int, window_s: float, burst: int) -> str:
    return f"{quota} per {window_s:g} s" + (f" + {burst} burst" if burst else "")


def _tier_step(given: str, tier: str) -> str:
    if given.upper() == tier:
        return tier
    return (
        f"{tier}, because none is given," if not given else f"{tier}, because {given!r} is not in the table,"
    )


def _band_step(bands: Sequence[Band], hour: int) -> str:
    band = next((each for each in bands if each.covers(hour)), None)
    return "in no band" if band is None else f"in the band {band.since}-{band.until} h"


def _load_step(case: Case) -> str:
    step = load_step(case.load) / STEPS
    return f"{case.load:g}, taken as {step:g}, for priority {case.priority} ({_PRIORITIES[case.priority]})"


def _algorithm_step(limit: Limit) -> str:
    if limit.algorithm == "gcra":
        each = limit.window_s / limit.quota
        return f"gcra, {limit.capacity} at once, one more every {each:g} s"
    exact = "exact" if limit.algorithm == "sliding_window" else "two counts"
    return f"{limit.algorithm} ({exact}), {limit.capacity} within any {limit.window_s:g} s"
