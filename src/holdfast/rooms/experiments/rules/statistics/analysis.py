"""A whole analysis from what is kept; its cost does not depend on the number of units.

sums by metric, arm, cell -> estimates -> judged as their role asks -> comparisons, segments
units by arm              -> sample ratio                            |
sums by stratum, by days  -> strata, novelty                         +-> verdict -> words
looks before              -> progress, boundaries                    |
"""

from collections.abc import Sequence

import msgspec

from holdfast.rooms.experiments.rules.statistics import always_valid, judging, looks, novelty, strata
from holdfast.rooms.experiments.rules.statistics.comparing import Judged, comparison
from holdfast.rooms.experiments.rules.statistics.distributions import normal_at, two_sided
from holdfast.rooms.experiments.rules.statistics.estimates import OWN_CELLS, cells, estimates
from holdfast.rooms.experiments.rules.statistics.judging import Item
from holdfast.rooms.experiments.rules.statistics.results import (
    NOVELTY,
    STRATUM,
    WHOLE,
    Analysis,
    Boundary,
    Comparison,
    Look,
    Measured,
    Novelty,
    Question,
    Stratified,
)
from holdfast.rooms.experiments.rules.statistics.srm import sample_ratio
from holdfast.rooms.experiments.rules.statistics.sums import moments
from holdfast.rooms.experiments.rules.statistics.verdicts import verdict
from holdfast.rooms.experiments.rules.statistics.words import words

ROLES = ("primary", "guardrail", "secondary")


def analyse(question: Question) -> Analysis:
    """All that may be said now, and the verdict."""
    progress = looks.progress(question)
    items = _items(question)
    wholes = [item for item in items if item.cell == WHOLE]
    segments = [item for item in items if item.cell != WHOLE and item.cell[0] not in OWN_CELLS]
    by_role = {role: [item for item in wholes if item.measured.role == role] for role in ROLES}
    if progress.information is not None and not (progress.counts or progress.before):
        by_role["primary"] = []  # an arm has nobody yet: nothing may be spent, so nothing be shown
    alpha, tuned_at = question.plan.alpha, _tuned_at(question)
    judged, lines = _primaries(by_role["primary"], question, progress, tuned_at)
    fixed = progress.final and progress.information is not None and not _stopped_early(progress)
    reaches = _Reaches(alpha, tuned_at, fixed)
    comparisons = (
        *_shown(by_role["primary"], judged, tuned_at),
        *_shown(by_role["guardrail"], judging.guardrails(by_role["guardrail"], alpha, tuned_at), tuned_at),
        *_shown(
            by_role["secondary"],
            judging.family(by_role["secondary"], alpha, tuned_at, fixed=fixed),
            tuned_at,
        ),
    )
    found = Analysis(
        at_s=question.at_s,
        units=question.units,
        unit=question.unit,
        mixed=question.mixed,
        information=progress.information,
        final=progress.final,
        sample_ratio=sample_ratio(
            question.units, {arm.name: float(arm.share) for arm in question.arms}, final=progress.final
        ),
        comparisons=comparisons,
        segments=_shown(segments, judging.family(segments, alpha, tuned_at, fixed=fixed), tuned_at),
        looks=(),
        novelty=_novelty(question, reaches),
        strata=_strata(wholes, items, reaches),
        look=None,
        early=progress.early,
    )
    decided = verdict(found, question.plan, _expected(question))
    found = msgspec.structs.replace(found, verdict=decided)
    look = Look(
        question.at_s, progress.information or 0.0, judging.current(by_role["primary"]), decided.decision
    )
    return msgspec.structs.replace(
        found,
        verdict=msgspec.structs.replace(decided, words=words(found)),
        look=look if progress.counts else None,
        looks=_looks(progress, look, lines),
    )


def _items(question: Question) -> list[Item]:
    control = question.arms[0].name
    return [
        Item(measured, cell, arm, estimate)
        for measured in question.measured
        for cell, arms in cells(measured).items()
        if cell[0] != NOVELTY
        for arm, estimate in estimates(measured.metric, arms, control, question.plan.alpha)
    ]


def _tuned_at(question: Question) -> float:
    """Units of two arms, where always-valid intervals are to be narrowest."""
    planned = question.plan.units_per_arm
    return always_valid.TUNED_AT if planned is None else 2.0 * planned


def _expected(question: Question) -> tuple[tuple[str, str], ...]:
    """(metric, arm) of every comparison that must be there before anything is shipped."""
    return tuple(
        (measured.metric.name, arm.name)
        for measured in question.measured
        if measured.role != "secondary"
        for arm in question.arms[1:]
        if arm.share > 0
    )


def _primaries(
    items: Sequence[Item], question: Question, progress: looks.Progress, tuned_at: float
) -> tuple[list[Judged], list[float]]:
    alpha = question.plan.alpha
    if progress.information is None:
        return judging.unplanned(items, alpha, tuned_at, final=progress.final), []
    if not items:
        return [], []
    return judging.sequentially(items, progress, alpha)


def _stopped_early(progress: looks.Progress) -> bool:
    """Whether the figures themselves ended it, so that a fixed look would flatter them."""
    return progress.early or any(
        look.decision in ("ship", "harm") for look in progress.before if look.information < 1
    )


def _shown(items: Sequence[Item], judged: Sequence[Judged], tuned_at: float) -> tuple[Comparison, ...]:
    return tuple(
        comparison(item.measured, item.cell, item.arm, item.estimate, how, tuned_at)
        for item, how in zip(items, judged, strict=True)
    )


def _looks(progress: looks.Progress, look: Look, lines: Sequence[float]) -> tuple[Boundary, ...]:
    every = (*progress.before, look) if progress.counts else progress.before
    drawn: list[float | None] = list(lines) or [None] * len(every)
    return tuple(
        Boundary(one.at_s, one.information, one.z, line) for one, line in zip(every, drawn, strict=True)
    )


class _Reaches:
    """How far intervals reach that are drawn at every look: fixed ones are for the last look alone."""

    def __init__(self, alpha: float, tuned_at: float, fixed: bool) -> None:
        self._alpha, self._tuned_at, self._fixed = alpha, tuned_at, fixed

    def of(self, units: float) -> float:
        """In standard errors."""
        if self._fixed:
            return -normal_at(self._alpha / 2)
        return always_valid.reach(units, self._alpha, self._tuned_at)

    def p(self, z: float, units: float) -> float:
        """The p-value that goes with it."""
        if self._fixed:
            return two_sided(z)
        return always_valid.p_value(z, units, self._alpha, self._tuned_at)


def _novelty(question: Question, reaches: _Reaches) -> tuple[Novelty, ...]:
    control = question.arms[0].name
    found = []
    for measured in question.measured:
        kept = {one.arm: moments(one.sums) for one in measured.kept if one.attribute == NOVELTY}
        before = kept.get(control)
        for arm, after in kept.items():
            if arm == control or before is None or after is None:
                continue
            units = before.n + after.n
            one = novelty.change(before, after, reaches.of(units))
            if one is not None:
                found.append(_worn(measured, arm, one, reaches.p(one.z, units)))
    return tuple(found)


def _worn(measured: Measured, arm: str, one: novelty.Change, p: float) -> Novelty:
    apart = one.low > 0 or one.high < 0
    wears_off = apart and abs(one.later) < abs(one.first)
    return Novelty(
        measured.metric.name, arm, one.first, one.later, one.change, one.low, one.high, p, wears_off
    )


def _strata(wholes: Sequence[Item], items: Sequence[Item], reaches: _Reaches) -> tuple[Stratified, ...]:
    parts: dict[str, list[Item]] = {}
    for item in items:
        if item.cell[0] == STRATUM and item.measured.metric.kind != "quantile":
            parts.setdefault(item.key, []).append(item)
    found = []
    for item in wholes:
        several = parts.get(item.key, [])
        weighed = strata.post_stratified([part.estimate.arms for part in several], item.estimate.units)
        if weighed is None:
            continue
        width = reaches.of(item.estimate.units) * weighed.standard_error
        low, high = weighed.difference - width, weighed.difference + width
        found.append(
            Stratified(
                item.measured.metric.name,
                item.arm,
                weighed.difference,
                low,
                high,
                weighed.standard_error,
                weighed.strata,
                not low <= weighed.plain <= high,
            )
        )
    return tuple(found)
