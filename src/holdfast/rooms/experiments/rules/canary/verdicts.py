"""What is to be done with a release now: one pure decision over all its gates and detectors.

In this order: a plain crash; worse than the baseline; above the limit; nothing counted; out of time; and only
then whether the stage may be left.

- ROLL_BACK needs a baseline to be worse than, or time to have run out. Being over the limit alone is no
  reason: it also takes a baseline that is well, and some evidence (1 in 20) that the treatment is worse.
- HOLD is for trouble that both arms have, or seem to have. No deadline ends it. A baseline that is well, or
  of which too few were counted, is no reason to hold: then it takes more of both, and meanwhile one WARNs.
  Where everybody has the treatment there is no baseline; what is over the limit there is held with
  `needs_baseline`: giving some units control again would tell the two apart.
- RECOVER ends a hold that `judge` began, once no arm is over the limit; go on with `evidence.resumed`.
- INCONCLUSIVE says nothing of the treatment, for nothing was counted. It never promotes; time runs out.
- WARN and EXTEND stay in the stage; PROMOTE goes to the next (`evidence.next_stage`), or ends the last.
"""

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

from holdfast.rooms.experiments.rules.canary import bounds, samples
from holdfast.rooms.experiments.rules.canary.budget import terms_of
from holdfast.rooms.experiments.rules.canary.evidence import (
    Evidence,
    log_control_over,
    log_relative,
    log_treatment_over,
)
from holdfast.rooms.experiments.rules.flags import BUCKETS
from holdfast.rooms.experiments.rules.releases import Gate, Release, Stage

Kind = Literal["HARD_STOP", "ROLL_BACK", "HOLD", "RECOVER", "INCONCLUSIVE", "WARN", "EXTEND", "PROMOTE"]
ROLLS_BACK: frozenset[Kind] = frozenset({"HARD_STOP", "ROLL_BACK"})
Why = Literal[
    "crash",
    "worse_than_baseline",
    "over_limit",
    "deadline",
    "both_over_limit",
    "baseline_not_well",
    "over_limit_undecided",
    "over_limit_no_baseline",
    "still_bad",
    "both_well",
    "nothing_counted",
    "above_warn",
    "dwell",
    "samples",
    "bound_over_limit",
    "passed",
]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What needs no statistics: distinct units over the last minute, of both arms, retries and all."""

    treatment_failing: int = 0
    """Distinct users with at least one failure."""
    treatment_successes: int = 0
    control_failing: int = 0
    control_successes: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, because of which gate, and why."""

    kind: Kind
    why: Why
    gate: str = ""
    """Empty where it is not one gate's doing."""
    numbers: dict[str, float] = {}
    """What the sentence of `why` is filled with."""
    needs: dict[str, float] = {}
    """What would change it: `seconds`, `samples`, `rate_below` ..."""
    needs_baseline: bool = False
    """Everybody has the treatment, so trouble of its own and shared trouble cannot be told apart: giving some
    units control again would."""
    warnings: tuple[str, ...] = ()
    """Gates whose rate is surely above their warn."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """When, and in what state, a release is judged."""

    stage: int
    in_stage_s: float
    """Time that was held or paused left out, or a long outage would be followed by a deadline."""
    quiet_s: float
    """Since the arm that was counted longer ago was last counted, warm-up not included."""
    held: bool = False
    """Whether it is held because of an earlier verdict."""


CRASHED_USERS = 5
EVIDENTLY_BAD = 20_000.0
"""The more it looks as if the baseline were itself over the limit, the more it takes to be worse than it:
as many times the evidence, up to this. Overload makes arms unlike, and rolling back would not help."""
LOOKS_BAD = 5
"""Errors of the baseline from which a rate above the limit is taken for what it looks like. Its evidence
takes minutes to grow; in those an outage rolled back one canary in a thousand."""
SUPPORTED_AT = math.log(20.0)
"""Log e-value that the treatment is worse, without which being over the limit is no reason to roll back."""
WELL_AT = 0.0
"""Log evidence of being over the limit, below which an arm is well."""


def judge(release: Release, moment: Moment, evidences: Mapping[str, Evidence], facts: Facts) -> Verdict:
    """The verdict of this moment. `evidences` by name of gate; a gate without any has counted nothing."""
    stage = release.stages[moment.stage]
    warnings = tuple(
        gate.name
        for gate in release.gates
        if gate.name in evidences and bounds.above(evidences[gate.name].treatment, gate.warn)
    )
    deciding = [gate for gate in release.gates if not gate.observe_only]
    alone = stage.share >= BUCKETS
    verdict = (
        _crash(facts, alone, moment.held)
        or _worse(release, deciding, evidences, moment.held)
        or _over(release, moment, deciding, evidences, alone)
        or _time(release, stage, moment, deciding, evidences)
        or _leaving(release, stage, moment, deciding, evidences, warnings, facts)
    )
    return msgspec.structs.replace(verdict, warnings=warnings) if warnings else verdict


def deadline_s(stage: Stage) -> float:
    """After so long a stage that could not be left is rolled back."""
    return stage.deadline_s if stage.deadline_s is not None else max(4.0 * stage.dwell_s, 3600.0)


def _crashing(facts: Facts) -> bool:
    return facts.treatment_failing >= CRASHED_USERS and not facts.treatment_successes


def _crash_numbers(facts: Facts) -> dict[str, float]:
    return {"users": float(facts.treatment_failing), "control_successes": float(facts.control_successes)}


def _crash(facts: Facts, alone: bool, held: bool) -> Verdict | None:
    if not _crashing(facts):
        return None
    numbers = _crash_numbers(facts)
    if facts.control_successes >= CRASHED_USERS and facts.control_successes > facts.control_failing:
        return Verdict(kind="HARD_STOP", why="crash", numbers=numbers)
    if alone:
        return Verdict(kind="HOLD", why="over_limit_no_baseline", numbers=numbers, needs_baseline=True)
    if facts.control_failing >= CRASHED_USERS:
        return Verdict(kind="HOLD", why="both_over_limit", numbers=numbers)
    return Verdict(kind="HOLD", why="still_bad", numbers=numbers) if held else None


def _worse(
    release: Release, gates: list[Gate], evidences: Mapping[str, Evidence], held: bool
) -> Verdict | None:
    for gate in gates:
        evidence = evidences.get(gate.name)
        if evidence is None:
            continue
        terms = terms_of(release, gate)
        at = terms.relative_at + _doubt(evidence, gate, held)
        found = log_relative(evidence)
        if found >= at:
            return _about(gate, evidence, "ROLL_BACK", "worse_than_baseline", log_evidence=found, at=at)
    return None


def _doubt(evidence: Evidence, gate: Gate, held: bool) -> float:
    """How much more log evidence it takes while the baseline may be over the limit itself."""
    most, control = math.log(EVIDENTLY_BAD), evidence.control
    if held or (control.bad >= LOOKS_BAD and control.bad > gate.limit * control.n):
        return most
    return min(max(0.0, log_control_over(evidence)), most)


def _over(
    release: Release, moment: Moment, gates: list[Gate], evidences: Mapping[str, Evidence], alone: bool
) -> Verdict | None:
    held, well = moment.held, moment.quiet_s <= release.stale_s
    for gate in gates:
        evidence = evidences.get(gate.name)
        if evidence is None:
            well = False
            continue
        terms = terms_of(release, gate)
        treatment, control = log_treatment_over(evidence), log_control_over(evidence)
        numbers = {"log_evidence": treatment, "at": terms.absolute_at, "control_log_evidence": control}
        if held and (treatment > WELL_AT or (not alone and control > WELL_AT)):
            return _about(gate, evidence, "HOLD", "still_bad", **numbers)
        if treatment < terms.absolute_at:
            continue
        if alone:
            found = _about(gate, evidence, "HOLD", "over_limit_no_baseline", **numbers)
            return msgspec.structs.replace(found, needs_baseline=True)
        if control >= terms.shared_at:
            return _about(gate, evidence, "HOLD", "both_over_limit", **numbers)
        if control < WELL_AT and log_relative(evidence) >= SUPPORTED_AT:
            return _about(gate, evidence, "ROLL_BACK", "over_limit", **numbers)
        if control >= WELL_AT:
            return _about(gate, evidence, "HOLD", "baseline_not_well", **numbers)
    if held and well:
        return Verdict(kind="RECOVER", why="both_well")
    return None


def _time(
    release: Release,
    stage: Stage,
    moment: Moment,
    gates: list[Gate],
    evidences: Mapping[str, Evidence],
) -> Verdict | None:
    alone = stage.share >= BUCKETS
    missing = [gate.name for gate in gates if _uncounted(evidences.get(gate.name), alone)]
    if not missing and moment.quiet_s <= release.stale_s:
        return None
    late = moment.in_stage_s > deadline_s(stage)
    kind: Kind = "HOLD" if moment.held else "ROLL_BACK" if late else "INCONCLUSIVE"
    return Verdict(
        kind=kind,
        why="deadline" if kind == "ROLL_BACK" else "nothing_counted",
        gate=missing[0] if missing else "",
        numbers={"quiet_s": moment.quiet_s, "stale_s": release.stale_s, "deadline_s": deadline_s(stage)},
        needs={"seconds": max(0.0, deadline_s(stage) - moment.in_stage_s)},
    )


def _leaving(
    release: Release,
    stage: Stage,
    moment: Moment,
    gates: list[Gate],
    evidences: Mapping[str, Evidence],
    warnings: tuple[str, ...],
    facts: Facts,
) -> Verdict:
    undecided = _undecided(release, gates, evidences, facts)
    staying = undecided or _staying(stage, moment, gates, evidences)
    if staying is None:
        return Verdict(kind="PROMOTE", why="passed")
    if moment.in_stage_s > deadline_s(stage):
        return msgspec.structs.replace(
            staying,
            kind="ROLL_BACK",
            why="deadline",
            numbers={**staying.numbers, "deadline_s": deadline_s(stage)},
        )
    if undecided is None and warnings:
        gate = next(gate for gate in release.gates if gate.name == warnings[0])
        return _about(gate, evidences[gate.name], "WARN", "above_warn", warn=gate.warn)
    return staying


def _undecided(
    release: Release, gates: list[Gate], evidences: Mapping[str, Evidence], facts: Facts
) -> Verdict | None:
    """The treatment is over the limit, and too little was counted to tell whether control is as well."""
    if _crashing(facts):
        return Verdict(kind="WARN", why="over_limit_undecided", numbers=_crash_numbers(facts))
    for gate in gates:
        evidence = evidences[gate.name]
        if log_treatment_over(evidence) >= terms_of(release, gate).absolute_at:
            return _about(gate, evidence, "WARN", "over_limit_undecided", limit=gate.limit)
    return None


def _staying(
    stage: Stage, moment: Moment, gates: list[Gate], evidences: Mapping[str, Evidence]
) -> Verdict | None:
    """Why the stage cannot be left yet."""
    if moment.in_stage_s < stage.dwell_s:
        return Verdict(kind="EXTEND", why="dwell", needs={"seconds": stage.dwell_s - moment.in_stage_s})
    for gate in gates:
        evidence = evidences[gate.name]
        least = least_samples(stage, gate, evidence)
        if evidence.treatment.n < least:
            found = _about(gate, evidence, "EXTEND", "samples", least=float(least))
            return msgspec.structs.replace(found, needs={"samples": float(least - evidence.treatment.n)})
        if not bounds.below(evidence.treatment, gate.limit):
            upper = bounds.interval(evidence.treatment)[1]
            found = _about(gate, evidence, "EXTEND", "bound_over_limit", upper=upper, limit=gate.limit)
            return msgspec.structs.replace(found, needs={"rate_below": gate.limit})
    return None


def least_samples(stage: Stage, gate: Gate, evidence: Evidence) -> int:
    """Units of the treatment without which the stage is not left."""
    if stage.samples is not None:
        return stage.samples
    baseline = evidence.control if evidence.control.n else evidence.last_control
    return samples.least(baseline, stage.share / BUCKETS, gate.limit)


def _uncounted(evidence: Evidence | None, alone: bool) -> bool:
    return evidence is None or evidence.treatment.n == 0 or (not alone and evidence.control.n == 0)


def _about(gate: Gate, evidence: Evidence, kind: Kind, why: Why, **numbers: float) -> Verdict:
    return Verdict(
        kind=kind,
        why=why,
        gate=gate.name,
        numbers={
            "treatment_n": float(evidence.treatment.n),
            "treatment_bad": float(evidence.treatment.bad),
            "control_n": float(evidence.control.n),
            "control_bad": float(evidence.control.bad),
            **numbers,
        },
    )
