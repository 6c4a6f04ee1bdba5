"""What a turn comes to: the row and what was counted in, a move out. Nothing is read or written here.

sums since the period began ─ less what was taken ─▶ evidence moved on ─▶ verdict ─▶ move
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from holdfast.kernel.codec import encode_json
from holdfast.rooms.experiments.engine.canary import moves
from holdfast.rooms.experiments.engine.canary.moves import Move
from holdfast.rooms.experiments.engine.canary.state import State, Taken, read_state, read_verdict
from holdfast.rooms.experiments.rules.canary.budget import terms_of
from holdfast.rooms.experiments.rules.canary.counts import Counts, Delta
from holdfast.rooms.experiments.rules.canary.evidence import (
    Evidence,
    advance,
    log_control_over,
    log_relative,
    log_treatment_over,
)
from holdfast.rooms.experiments.rules.canary.relative import log_mixture
from holdfast.rooms.experiments.rules.canary.verdicts import ROLLS_BACK, Facts, Moment, Verdict, judge
from holdfast.rooms.experiments.rules.flags import BUCKETS
from holdfast.rooms.experiments.rules.releases import TREATMENT, Release
from holdfast.rooms.experiments.store.release_rows import Minute, Point, Standing, Sum

MOST_POINTS = 240
"""Points of one stage's path; when there are more, every other one goes."""
MOST_CROSSINGS = 120
"""Changes of verdict that are kept whatever the stride. Where few come, silence and counts take turns for
days; what follows a decision is kept all the same."""
_DECIDES = ROLLS_BACK | {"HOLD", "RECOVER", "PROMOTE"}


class Evidences(Struct, frozen=True):
    """The evidence of one gate at one turn, as the path keeps it."""

    log_e_relative: float
    log_e_absolute_treatment: float
    log_e_absolute_control: float
    log_sr: float


def decide(was: Standing, sums: Iterable[Sum], recent: Minute, elapsed_s: float, now_ms: int) -> Move:
    """The move of this turn; `elapsed_s` is the time since this period began."""
    release = was.definition
    seconds = max(0.0, elapsed_s - was.elapsed_s)
    state, warming = _moved_on(was, read_state(was), _by_gate(release, sums), seconds)
    verdict = judge(release, _moment(was, state), state.evidences, _facts(recent))
    if warming and verdict.kind == "INCONCLUSIVE":
        left_s = release.warm_up_s - state.in_stage_s
        verdict = Verdict(kind="EXTEND", why="dwell", needs={"seconds": max(0.0, left_s)})
    before = read_verdict(was)
    crossing = before is None or (before.kind, before.why, before.gate) != (
        verdict.kind,
        verdict.why,
        verdict.gate,
    )
    crossing = crossing and (verdict.kind in _DECIDES or state.crossed < MOST_CROSSINGS)
    state, point, thin = _path(was, state, crossing, now_ms)
    stands = replace(
        was,
        elapsed_s=max(elapsed_s, was.elapsed_s),
        state=encode_json(state).decode(),
        verdict=encode_json(verdict).decode(),
    )
    move = _act(stands, verdict, now_ms)
    return replace(move, point=point, thin=thin)


def said(verdict: Verdict) -> str:
    """A verdict in one line: why, of which gate, with the counts."""
    numbers = verdict.numbers
    gate = f" ({verdict.gate})" if verdict.gate else ""
    line = verdict.why.replace("_", " ") + gate
    if "treatment_n" in numbers:
        line += (
            f": {numbers['treatment_bad']:,.0f} of {numbers['treatment_n']:,.0f} bad in the treatment, "
            f"{numbers['control_bad']:,.0f} of {numbers['control_n']:,.0f} in control"
        )
    elif "users" in numbers:
        line += f": {numbers['users']:,.0f} users failed in the treatment within a minute, none succeeded"
    return line


def evidence_of(evidence: Evidence) -> Evidences:
    """The four figures of a gate's evidence."""
    return Evidences(
        log_relative(evidence),
        log_treatment_over(evidence),
        log_control_over(evidence),
        log_mixture(evidence.late),
    )


def _act(stands: Standing, verdict: Verdict, now_ms: int) -> Move:
    reason = said(verdict)
    if verdict.kind in ROLLS_BACK:
        if stands.status == "running" or verdict.why != "deadline":
            return moves.rolled_back(stands, reason, now_ms)
    elif stands.status == "running":
        if verdict.kind == "HOLD":
            return moves.held(stands, reason, now_ms)
        if verdict.kind == "PROMOTE":
            return moves.stepped_up(stands, reason, now_ms)
    elif stands.status == "held" and verdict.kind == "RECOVER":
        return moves.recovered(stands, reason, now_ms)
    return Move(now=stands)


def _moved_on(was: Standing, state: State, sums: dict[str, Taken], seconds: float) -> tuple[State, bool]:
    release = was.definition
    running = was.status == "running"
    warming = state.in_stage_s < release.warm_up_s
    evidences, taken = dict(state.evidences), dict(state.taken)
    came_t = came_c = warming
    for gate in release.gates:
        now, had = sums.get(gate.name, Taken()), taken.get(gate.name, Taken())
        treatment, control = _since(now.treatment, had.treatment), _since(now.control, had.control)
        came_t, came_c = came_t or treatment.n > 0, came_c or control.n > 0
        taken[gate.name] = Taken(had.treatment + treatment, had.control + control)
        if not warming and (gate.name in evidences or treatment.n or control.n):
            delta = Delta(treatment, control, seconds)
            evidences[gate.name] = advance(
                evidences.get(gate.name, Evidence()), delta, terms_of(release, gate)
            )
    moved = replace(
        state,
        evidences=evidences,
        taken=taken,
        in_stage_s=state.in_stage_s + (seconds if running else 0.0),
        treatment_quiet_s=0.0 if came_t else state.treatment_quiet_s + seconds,
        control_quiet_s=0.0 if came_c else state.control_quiet_s + seconds,
        turns=state.turns + 1,
    )
    return moved, warming


def _since(now: Counts, had: Counts) -> Counts:
    # A repeated write may find that another process had a burst first, and count one less than before.
    return Counts(max(0, now.n - had.n), max(0, now.bad - had.bad))


def _by_gate(release: Release, sums: Iterable[Sum]) -> dict[str, Taken]:
    found = {gate.name: Taken() for gate in release.gates}
    for each in sums:
        if each.gate in found:
            counts = Counts(each.n, each.bad)
            had = found[each.gate]
            found[each.gate] = (
                replace(had, treatment=counts) if each.arm == TREATMENT else replace(had, control=counts)
            )
    return found


def _moment(was: Standing, state: State) -> Moment:
    alone = was.definition.stages[was.stage].share >= BUCKETS
    quiet_s = state.treatment_quiet_s if alone else max(state.treatment_quiet_s, state.control_quiet_s)
    return Moment(stage=was.stage, in_stage_s=state.in_stage_s, quiet_s=quiet_s, held=was.status == "held")


def _facts(recent: Minute) -> Facts:
    return Facts(
        treatment_failing=len(recent.treatment_failing),
        treatment_successes=recent.treatment_successes,
        control_failing=len(recent.control_failing),
        control_successes=recent.control_successes,
    )


def _path(was: Standing, state: State, crossing: bool, now_ms: int) -> tuple[State, Point | None, int | None]:
    """The point of this turn where it is kept, and the stride at which the stage's path is thinned."""
    if not crossing and state.turns % state.stride:
        return state, None, None
    figures = {name: evidence_of(each) for name, each in sorted(state.evidences.items())}
    point = Point(state.turns, was.stage, int(crossing), now_ms, encode_json(figures).decode())
    if crossing:
        return replace(state, crossed=state.crossed + 1), point, None
    kept = state.kept + 1
    if kept <= MOST_POINTS:
        return replace(state, kept=kept), point, None
    stride = state.stride * 2
    return replace(state, kept=kept // 2, stride=stride), point, stride
