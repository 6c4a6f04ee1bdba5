"""How far an experiment is, which looks count, and what the primary metrics' looks add up to."""

from collections.abc import Mapping, Sequence
from math import inf

import msgspec

from holdfast.rooms.experiments.rules.statistics import sequential
from holdfast.rooms.experiments.rules.statistics.results import Look, Question

STEP = 0.01
"""A look counts when at least this share of the plan has come since the one before: at most 100 do."""
SAME = 1e-9
RESERVE = 0.06
"""Boundaries are exact for normal estimates, and those of skewed totals are only nearly so: this share of
alpha is kept back for the difference. Of 50 looks the power is 93.2 %, not 93.5 %, where one has 94.5 %."""


class Progress(msgspec.Struct, frozen=True):
    """Where this analysis stands among its looks."""

    information: float | None
    """None: no end is planned."""
    counts: bool
    """Whether this is a look of its own."""
    final: bool
    before: tuple[Look, ...] = ()
    """The looks whose error is spent already."""
    early: bool = False
    """Ended by hand: alpha that is not spent yet stays unspent. Else whoever stops on the day on which the
    figures look well would have all of it for that day: one look in five of no effect would find one."""


def information(units: Mapping[str, int], arms: Sequence[str], planned: int | None) -> float | None:
    """The share of the planned units that is there: of the arm that has fewest."""
    if planned is None:
        return None
    return min((units.get(arm, 0) for arm in arms), default=0) / planned


def due(units: Mapping[str, int], arms: Sequence[str], planned: int | None, looks: Sequence[Look]) -> bool:
    """Whether an analysis now would be a look of its own; if not, the one before is shown again.

    Without a planned end every look is free.
    """
    now = information(units, arms, planned)
    if now is None:
        return True
    if now <= 0:
        return False
    before = looks[-1].information if looks else 0.0
    return before < 1 and (not looks or now >= min(1.0, before + STEP))


def progress(question: Question) -> Progress:
    """What of this question's looks counts."""
    arms = [arm.name for arm in question.arms if arm.share > 0]
    now = information(question.units, arms, question.plan.units_per_arm)
    if now is None:
        return Progress(None, True, question.ended)
    before = question.looks
    over = bool(before) and before[-1].information >= 1
    counts = due(question.units, arms, question.plan.units_per_arm, before)
    if question.ended and not over and now > 0:
        before = tuple(look for look in before if look.information < now - SAME)
        counts = True
    early = question.ended and question.early and not over and now < 1
    return Progress(now, counts, question.ended or over or (counts and now >= 1), before, early)


class Crossed(msgspec.Struct, frozen=True):
    """What a primary comparison's looks came to."""

    level: float
    """The share of alpha it was held against (Holm)."""
    boundary: float
    """At this look, in standard errors."""
    at: int | None
    """The look at which it crossed its boundary; None: not yet."""
    z: float = 0.0
    """What was seen there."""


def judge(
    times: Sequence[float], seen: Mapping[str, Sequence[float]], alpha: float, *, last: bool = False
) -> dict[str, Crossed]:
    """Holm over group-sequential tests: each that crosses leaves its share of alpha to the others.

    `seen` holds each comparison's z at each of the looks at `times`. At most alpha is the chance that any
    comparison without an effect ever crosses.
    """
    found: dict[str, Crossed] = {}
    left = dict(seen)
    while left:
        level = alpha / len(left)
        lines = sequential.path(tuple(times), level, last=last).boundaries
        shown = min(lines[-1] if lines else inf, sequential.FARTHEST)
        firsts = {key: _first(values, lines) for key, values in left.items()}
        over = [key for key, at in firsts.items() if at is not None]
        if not over:
            found |= {key: Crossed(level, shown, None) for key in left}
            break
        for key in over:
            at = firsts[key]
            if at is not None:
                found[key] = Crossed(level, shown, at, left.pop(key)[at])
    return found


def _first(values: Sequence[float], lines: Sequence[float]) -> int | None:
    for at, (value, line) in enumerate(zip(values, lines, strict=True)):
        if abs(value) >= line:
            return at
    return None
