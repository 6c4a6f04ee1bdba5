"""Every step that a release can take, as what its row becomes and what goes with it.

draft ─▶ running ⇄ paused          a step writes row, flag, audit, incident and path in one transaction
           │  ⇅                    (`committing.py`); what is said of it afterwards may be repeated
           │ held
           ├──▶ rolled_back
           └──▶ promoted
"""

from msgspec import Struct
from msgspec.structs import replace

from holdfast.kernel.codec import encode_json
from holdfast.rooms.experiments.engine.canary.state import State, read_state, units_of
from holdfast.rooms.experiments.rules.canary.evidence import next_stage as next_evidence
from holdfast.rooms.experiments.rules.canary.evidence import resumed as resumed_evidence
from holdfast.rooms.experiments.rules.flags import BUCKETS
from holdfast.rooms.experiments.rules.releases import Status
from holdfast.rooms.experiments.store.release_rows import Point, Standing

STARTED, PAUSED, RESUMED, HELD = "started", "paused", "resumed", "held"
RECOVERED, NEXT_STAGE, PROMOTED, ROLLED_BACK = "recovered", "next stage", "promoted", "rolled back"


class Move(Struct, frozen=True, kw_only=True):
    """One step of a release."""

    now: Standing
    did: str = ""
    """What the audit calls it; empty: nothing was decided, and only the evidence has moved on."""
    reason: str = ""
    share: int | None = None
    """Buckets that get the treatment from now on; None: as many as before."""
    begins: bool = False
    """Whether it is a new start."""
    ends: bool = False
    opens: bool = False
    """Whether an incident begins."""
    closes: str = ""
    """The incident that ends."""
    point: Point | None = None
    thin: int | None = None
    """Keep of this stage's path only each so manieth turn."""


def started(was: Standing, period: int, now_ms: int) -> Move:
    """The first stage, with no evidence yet."""
    now = replace(
        _decided(was, "running", "", now_ms),
        run=was.run + 1,
        period=period,
        stage=0,
        elapsed_s=0.0,
        state=_json(State()),
        verdict="",
        incident="",
    )
    return Move(now=now, did=STARTED, share=was.definition.stages[0].share, begins=True)


def paused(was: Standing, reason: str, now_ms: int) -> Move:
    """It does not go on; it is judged all the same, and rolled back if it must be."""
    return Move(now=_decided(was, "paused", reason, now_ms), did=PAUSED, reason=reason)


def resumed(was: Standing, reason: str, now_ms: int) -> Move:
    """It goes on, with evidence that begins anew; after a hold its stage begins anew as well."""
    state = _anew(read_state(was), whole_stage=was.status == "held")
    now = replace(_decided(was, "running", reason, now_ms), state=_json(state), incident="")
    return Move(now=now, did=RESUMED, reason=reason, closes=was.incident)


def held(was: Standing, reason: str, now_ms: int) -> Move:
    """Both arms are bad: nothing moves."""
    now = replace(_decided(was, "held", reason, now_ms), incident=f"{was.name}:{was.generation + 1}")
    return Move(now=now, did=HELD, reason=reason, opens=True)


def recovered(was: Standing, reason: str, now_ms: int) -> Move:
    """Both arms are well again: the stage begins anew."""
    return replace(resumed(was, reason, now_ms), did=RECOVERED)


def stepped_up(was: Standing, reason: str, now_ms: int) -> Move:
    """The next stage; after the last one everybody has the treatment, and the release has ended."""
    if was.stage + 1 >= len(was.definition.stages):
        return promoted(was, reason, now_ms)
    state = read_state(was)
    evidences = {name: next_evidence(each) for name, each in state.evidences.items()}
    anew = State(evidences=evidences, turns=state.turns, passed=(*state.passed, units_of(state)))
    now = replace(
        _decided(was, "running", reason, now_ms),
        stage=was.stage + 1,
        period=was.period + 1,
        elapsed_s=0.0,
        state=_json(anew),
        incident="",
    )
    share = was.definition.stages[now.stage].share
    return Move(now=now, did=NEXT_STAGE, reason=reason, share=share, closes=was.incident)


def promoted(was: Standing, reason: str, now_ms: int) -> Move:
    """Everybody has the treatment."""
    now = replace(_decided(was, "promoted", reason, now_ms), period=was.period + 1, incident="")
    return Move(now=now, did=PROMOTED, reason=reason, share=BUCKETS, ends=True, closes=was.incident)


def rolled_back(was: Standing, reason: str, now_ms: int) -> Move:
    """Everybody has control again."""
    now = replace(_decided(was, "rolled_back", reason, now_ms), period=was.period + 1, incident="")
    return Move(now=now, did=ROLLED_BACK, reason=reason, share=0, ends=True, closes=was.incident)


def _decided(was: Standing, status: Status, reason: str, now_ms: int) -> Standing:
    return replace(was, status=status, reason=reason, generation=was.generation + 1, changed_ms=now_ms)


def _anew(state: State, whole_stage: bool) -> State:
    evidences = {name: resumed_evidence(each) for name, each in state.evidences.items()}
    fresh = replace(state, evidences=evidences, treatment_quiet_s=0.0, control_quiet_s=0.0)
    return replace(fresh, in_stage_s=0.0) if whole_stage else fresh


def _json(state: State) -> str:
    return encode_json(state).decode()
