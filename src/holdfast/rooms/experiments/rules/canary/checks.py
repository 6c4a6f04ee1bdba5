"""What a release must be to be started: one that could not be judged is refused, never just inconclusive."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import pairwise

from holdfast.rooms.experiments.rules.canary.verdicts import deadline_s
from holdfast.rooms.experiments.rules.flags import BUCKETS
from holdfast.rooms.experiments.rules.problems import BadDefinition
from holdfast.rooms.experiments.rules.readable import check_readable
from holdfast.rooms.experiments.rules.releases import CONTROL, TREATMENT, Gate, Release

MOST_STAGES, MOST_GATES = 50, 20
LONGEST_S, MOST_SAMPLES = 10 * 365 * 86_400.0, 10**10
LEAST_CHANCE = 1e-12
"""Beyond these a release could never go on, and what is reckoned with them leaves the range of a number."""


def check_release(release: Release) -> None:
    """Raise BadDefinition for what contradicts itself."""
    check_readable(release)
    _check_bounds(release)
    _check_stages(release)
    _check_values(release)
    if not release.gates:
        raise BadDefinition(
            f"{release.name} has no gate", hint='nothing would stop it: give it one, e.g. {"name": "errors"}'
        )
    if len(release.gates) > MOST_GATES:
        raise BadDefinition(f"{release.name} has more than {MOST_GATES} gates", hint="each dulls the others")
    names = [gate.name for gate in release.gates]
    if len(set(names)) != len(names):
        raise BadDefinition(f"two gates of {release.name} have one name", hint="name each gate once")
    for gate in release.gates:
        _check_gate(gate)
        if gate.of == "event" and release.unit != "user":
            raise BadDefinition(
                f"the gate {gate.name} is of events, and {release.name} parts {release.unit}s",
                hint='events say whose they are, not of which device or tenant: set unit = "user"',
            )
        if gate.of == "event" and release.when:
            raise BadDefinition(
                f"the gate {gate.name} is of events, and {release.name} takes only some users in by `when`",
                hint="events do not say what `when` asks for, none would count: leave out the gate or `when`",
            )
    if all(gate.observe_only for gate in release.gates):
        raise BadDefinition(
            f"every gate of {release.name} only observes", hint="let one decide: observe_only = false"
        )


def check_actions(release: Release, tracked: Iterable[str]) -> None:
    """Raise BadDefinition for a gate on an action that nobody has ever tracked."""
    known = list(tracked)
    for gate in release.gates:
        if gate.of == "event" and gate.action not in known:
            near = get_close_matches(gate.action, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "track it once before, or mend the name"
            raise BadDefinition(
                f"the gate {gate.name} is on the action {gate.action!r}, which nobody has ever tracked",
                hint=hint,
            )


def _check_bounds(release: Release) -> None:
    times_s = [release.warm_up_s, release.stale_s]
    for stage in release.stages:
        times_s += [stage.dwell_s, stage.deadline_s or 0.0]
    if max(times_s) > LONGEST_S:
        raise BadDefinition(f"{release.name} has a time of more than ten years", hint="times are in seconds")
    if any((stage.samples or 0) > MOST_SAMPLES for stage in release.stages):
        raise BadDefinition(
            f"a stage of {release.name} asks for more than {MOST_SAMPLES:,} samples", hint="ask for fewer"
        )
    if release.alpha < LEAST_CHANCE:
        raise BadDefinition(
            f"{release.name} has an alpha of {release.alpha:g}, which no evidence reaches",
            hint=f"at least {LEAST_CHANCE:g}; 0.01 is usual",
        )


def _check_stages(release: Release) -> None:
    shares = [stage.share for stage in release.stages]
    if not shares:
        raise BadDefinition(f"{release.name} has no stage", hint="e.g. 5, 25, 50, 100 %")
    if len(shares) > MOST_STAGES:
        raise BadDefinition(f"{release.name} has more than {MOST_STAGES} stages", hint="take larger steps")
    if shares[0] < 1 or any(later <= earlier for earlier, later in pairwise(shares)):
        raise BadDefinition(
            f"the stages of {release.name} do not rise: {', '.join(map(str, shares))}",
            hint=f"shares are buckets of {BUCKETS}, each more than the one before: 500, 2500, 5000, 10000",
        )
    for stage in release.stages:
        if stage.deadline_s is not None and stage.deadline_s <= stage.dwell_s:
            raise BadDefinition(
                f"a stage of {release.name} ends before its dwell time is over",
                hint="deadline_s must be more than dwell_s",
            )
        if release.warm_up_s >= deadline_s(stage):
            raise BadDefinition(
                f"a stage of {release.name} ends before its warm-up is over",
                hint=f"nothing would be counted in its {deadline_s(stage):g} s: make warm_up_s less",
            )


def _check_values(release: Release) -> None:
    if set(release.values) != {CONTROL, TREATMENT}:
        raise BadDefinition(
            f"{release.name} has the variants {', '.join(sorted(release.values)) or 'none'}",
            hint=f"a release has two: {CONTROL} and {TREATMENT}",
        )


def _check_gate(gate: Gate) -> None:
    if gate.of == "latency" and gate.target_s is None:
        raise BadDefinition(
            f"the gate {gate.name} is of latency and has no target", hint="give target_s, e.g. 0.8"
        )
    if gate.of == "event" and not gate.action:
        raise BadDefinition(f"the gate {gate.name} is of events and names no action", hint="give action")
    if gate.of != "event" and (gate.action or gate.bad_from is not None or gate.bad_below is not None):
        raise BadDefinition(
            f"the gate {gate.name} is of {gate.of} and has settings of an event",
            hint='set of = "event", or leave action, bad_from and bad_below out',
        )
    if gate.bad_from is not None and gate.bad_below is not None:
        raise BadDefinition(f"the gate {gate.name} has two limits of value", hint="bad_from or bad_below")
    if 1.0 - gate.limit < LEAST_CHANCE:
        raise BadDefinition(
            f"the gate {gate.name} has a limit of all there is, which nothing is above",
            hint="a limit is a share of what is bad: 0.01 is 1 %",
        )
    if gate.warn > gate.limit:
        raise BadDefinition(
            f"the gate {gate.name} warns at {gate.warn:g}, beyond its limit {gate.limit:g}",
            hint="warn must be at most limit",
        )
