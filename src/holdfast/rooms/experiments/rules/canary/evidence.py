"""What is kept of one gate, and how a turn's counts move it on.

    counts of both arms since the last turn ── advance ──▶ Evidence ── verdicts.judge ──▶ Verdict
                                                             ▲  │
                                       next_stage, resumed ──┘  └──▶ JSON, in the release's row

Every part is an e-process or a sum of e-processes that begin at different times, kept as natural logarithms.
What is added at a turn depends on how much was counted and how long it took, never on how it went.
"""

import math

import msgspec

from holdfast.rooms.experiments.rules.canary import absolute, detector, relative
from holdfast.rooms.experiments.rules.canary.budget import Terms, log_epoch_share
from holdfast.rooms.experiments.rules.canary.counts import NO_COUNTS, Counts, Delta


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one gate of a release, in one of its stages."""

    epoch: int = 0
    """How often evidence began anew: with each stage, and after each recovery."""
    treatment: Counts = NO_COUNTS
    control: Counts = NO_COUNTS
    """Totals of this epoch."""
    last_control: Counts = NO_COUNTS
    """Control's totals before this epoch: what is left of a baseline once everybody has the treatment."""
    pending_treatment: Counts = NO_COUNTS
    pending_control: Counts = NO_COUNTS
    """Counted, but too few to compare yet."""
    pending_mass: float = 0.0
    """Share of the late detector's budget that waits for the next comparison."""
    age_s: float = 0.0
    """Seconds observed since the release began."""
    epoch_age_s: float = 0.0
    relative: tuple[float, ...] = relative.START
    """Log e-value of each ratio, canary against concurrent baseline, this epoch."""
    late: tuple[float, ...] = detector.START
    """Log Shiryaev-Roberts sum of each ratio, over the whole release."""
    treatment_over: tuple[float, ...] = absolute.START
    control_over: tuple[float, ...] = absolute.START
    """Log evidence of each multiple of the limit that an arm is above the limit now."""


def advance(evidence: Evidence, delta: Delta, terms: Terms) -> Evidence:
    """The evidence after what was counted since it was last moved on."""
    treatment, control = delta.treatment, delta.control
    cap = terms.absolute_at + absolute.CAP_ABOVE - log_epoch_share(evidence.epoch)
    mass = detector.mass(evidence.age_s, evidence.age_s + delta.seconds, terms.horizon_s)
    epoch_end_s = evidence.epoch_age_s + delta.seconds
    fresh = absolute.fresh(evidence.epoch_age_s, epoch_end_s, terms.horizon_s)
    waiting_t = evidence.pending_treatment + treatment
    waiting_c = evidence.pending_control + control
    pending_mass = evidence.pending_mass + mass
    compared, late = evidence.relative, evidence.late
    if relative.enough(waiting_t, waiting_c):
        if waiting_t.bad or waiting_c.bad:
            step = relative.step(waiting_t, waiting_c)
            compared = tuple(map(sum, zip(compared, step, strict=True)))
            late = detector.moved(late, step, pending_mass)
            pending_mass = 0.0
        waiting_t = waiting_c = NO_COUNTS
    return Evidence(
        epoch=evidence.epoch,
        treatment=evidence.treatment + treatment,
        control=evidence.control + control,
        last_control=evidence.last_control,
        pending_treatment=waiting_t,
        pending_control=waiting_c,
        pending_mass=pending_mass,
        age_s=evidence.age_s + delta.seconds,
        epoch_age_s=epoch_end_s,
        relative=compared,
        late=late,
        treatment_over=absolute.moved(evidence.treatment_over, treatment, fresh, terms.limit, cap),
        control_over=absolute.moved(evidence.control_over, control, fresh, terms.limit, cap),
    )


def next_stage(evidence: Evidence) -> Evidence:
    """Evidence for the stage that begins now: counts and e-processes anew, the late detector carries on."""
    return Evidence(
        epoch=evidence.epoch + 1,
        last_control=evidence.control if evidence.control.n else evidence.last_control,
        pending_mass=evidence.pending_mass,
        age_s=evidence.age_s,
        late=evidence.late,
    )


def resumed(evidence: Evidence) -> Evidence:
    """Evidence after a hold or a pause: all begins anew.

    What was seen in the outage, by the late detector too, says nothing of either arm.
    """
    return msgspec.structs.replace(next_stage(evidence), late=detector.START)


def log_relative(evidence: Evidence) -> float:
    """Log e-value that the treatment is worse than its baseline: this epoch's and the late one's, weighed."""
    return log_sum(
        relative.log_mixture(evidence.relative)
        + log_epoch_share(evidence.epoch)
        + math.log(detector.STAGE_SHARE),
        relative.log_mixture(evidence.late) + math.log(1.0 - detector.STAGE_SHARE),
    )


def log_treatment_over(evidence: Evidence) -> float:
    """Log evidence that the treatment's rate is above the limit now."""
    return absolute.log_mixture(evidence.treatment_over) + log_epoch_share(evidence.epoch)


def log_control_over(evidence: Evidence) -> float:
    """Log evidence that the baseline's rate is above the limit now."""
    return absolute.log_mixture(evidence.control_over) + log_epoch_share(evidence.epoch)


def log_sum(first: float, second: float) -> float:
    """log(exp(first) + exp(second)) without leaving log space."""
    high, low = (first, second) if first > second else (second, first)
    return high + math.log1p(math.exp(low - high))
