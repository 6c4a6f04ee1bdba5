"""Which method judges which comparison, with regard to how many there are.

Primary metrics: group-sequential where an end is planned, always valid where not; Holm over all of them.
Guardrails: always valid, one-sided against their margin. "No worse" must hold of every one, which needs no
correction; harm in any one stops, so the guardrails share alpha. Secondary metrics and segments: always valid
until the last look, then one fixed look; Benjamini-Hochberg over each of these two families.
"""

from collections.abc import Mapping, Sequence

import msgspec

from holdfast.rooms.experiments.rules.statistics import always_valid, corrections, sequential, welch
from holdfast.rooms.experiments.rules.statistics.comparing import (
    Judged,
    direction,
    enough,
    guarded,
    normal_z,
    student_reach,
)
from holdfast.rooms.experiments.rules.statistics.estimates import Cell, Estimate
from holdfast.rooms.experiments.rules.statistics.looks import RESERVE, Crossed, Progress, judge
from holdfast.rooms.experiments.rules.statistics.results import Finding, Measured


class Item(msgspec.Struct, frozen=True):
    """An estimate with what it is of."""

    measured: Measured
    cell: Cell
    arm: str
    estimate: Estimate

    @property
    def key(self) -> str:
        """As looks name it."""
        return f"{self.measured.metric.name}:{self.arm}"


def current(items: Sequence[Item]) -> dict[str, float]:
    """What this look keeps of the primary comparisons; 0 where there is too little to decide."""
    return {
        item.key: normal_z(item.estimate.arms) if enough(item.measured, item.estimate) else 0.0
        for item in items
    }


def sequentially(items: Sequence[Item], progress: Progress, alpha: float) -> tuple[list[Judged], list[float]]:
    """Primary comparisons on the way to a planned end, and the line of each look."""
    now = current(items)
    times = [look.information for look in progress.before]
    seen = {key: [look.z.get(key, 0.0) for look in progress.before] for key in now}
    if progress.counts and progress.information is not None:
        times.append(progress.information)
        for key, z in now.items():
            seen[key].append(z)
    last = progress.final and progress.counts and times[-1] < 1 and not progress.early
    crossed = judge(times, seen, alpha * (1 - RESERVE), last=last)
    found = []
    for item in items:
        line = crossed[item.key]
        reach = student_reach(line.boundary, item.estimate.arms.freedom)
        finding: Finding = "unclear" if line.at is None else direction(item.measured, line.z)
        judged = Judged("group-sequential", reach, 1 - line.level, finding)
        if progress.final and not (progress.early and line.at is None):
            judged = _ended(
                judged, sequential.path(tuple(times), line.level, last=last), seen[item.key], alpha
            )
        found.append(judged)
    return found, _lines(times, crossed, last=last)


def _ended(judged: Judged, walk: sequential.Path, seen: Sequence[float], alpha: float) -> Judged:
    """With its p-value: that of the look where it crossed its boundary, or of this one.

    The adjusted one is at most alpha exactly where the boundary of Holm's share was crossed.
    """
    pairs = zip(seen, walk.boundaries, strict=True)
    at = next((at for at, (z, line) in enumerate(pairs) if abs(z) >= line), len(seen) - 1)
    if at < len(seen) - 1:
        walk = sequential.path(walk.information[: at + 1], walk.alpha)
    p = sequential.p_value(walk, seen[at])
    adjusted = min(1.0, p * alpha / walk.alpha)
    middle = sequential.effect_at(walk, seen[at], 0.5) if at == len(seen) - 1 else None
    return msgspec.structs.replace(judged, p=p, adjusted_p=adjusted, middle=middle)


def unplanned(items: Sequence[Item], alpha: float, tuned_at: float, *, final: bool) -> list[Judged]:
    """Primary comparisons that are looked at for as long as anyone likes."""
    level = alpha / max(1, len(items))
    ps = [_always(item, level, tuned_at) for item in items]
    found = []
    for item, p, adjusted in zip(items, ps, corrections.holm(ps), strict=True):
        finding: Finding = "unclear"
        if adjusted <= alpha and enough(item.measured, item.estimate):
            finding = direction(item.measured, item.estimate.arms.difference)
        reach = always_valid.reach(item.estimate.units, level, tuned_at)
        late = (p, adjusted) if final else (None, None)
        found.append(Judged("always-valid", reach, 1 - level, finding, *late))
    return found


def guardrails(items: Sequence[Item], alpha: float, tuned_at: float) -> list[Judged]:
    """One-sided against the margin, at any look."""
    shared = alpha / max(1, len(items))
    found = []
    for item in items:
        units = item.estimate.units
        ahead = guarded(item.measured, item.estimate).z
        finding: Finding = "unclear"
        if enough(item.measured, item.estimate):
            if ahead >= always_valid.one_sided(units, alpha, tuned_at):
                finding = "no-worse"
            elif -ahead >= always_valid.one_sided(units, shared, tuned_at):
                finding = "worse"
        reach = always_valid.one_sided(units, alpha, tuned_at)
        found.append(Judged("always-valid", reach, 1 - 2 * alpha, finding))
    return found


def family(items: Sequence[Item], alpha: float, tuned_at: float, *, fixed: bool) -> list[Judged]:
    """Secondary metrics, or segments: all of them together."""
    ps = [welch.p_value(item.estimate.arms) if fixed else _always(item, alpha, tuned_at) for item in items]
    found = []
    for item, p, adjusted in zip(items, ps, corrections.benjamini_hochberg(ps), strict=True):
        finding: Finding = "unclear"
        if adjusted <= alpha and enough(item.measured, item.estimate):
            finding = direction(item.measured, item.estimate.arms.difference)
        if fixed:
            reach = welch.reach(item.estimate.arms, alpha)
            found.append(Judged("fixed", reach, 1 - alpha, finding, p, adjusted))
        else:
            reach = always_valid.reach(item.estimate.units, alpha, tuned_at)
            found.append(Judged("always-valid", reach, 1 - alpha, finding))
    return found


def _always(item: Item, alpha: float, tuned_at: float) -> float:
    return always_valid.p_value(item.estimate.arms.z, item.estimate.units, alpha, tuned_at)


def _lines(times: Sequence[float], crossed: Mapping[str, Crossed], *, last: bool) -> list[float]:
    """The line of every look, for the comparison that has the strictest one."""
    if not crossed or not times:
        return []
    level = min(line.level for line in crossed.values())
    return [
        min(line, sequential.FARTHEST) for line in sequential.path(tuple(times), level, last=last).boundaries
    ]
