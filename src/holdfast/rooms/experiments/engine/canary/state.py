"""What a turn leaves to the next one, in the release's row."""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from holdfast.rooms.experiments.rules.canary.counts import Counts
from holdfast.rooms.experiments.rules.canary.evidence import Evidence
from holdfast.rooms.experiments.rules.canary.verdicts import Verdict
from holdfast.rooms.experiments.store.release_rows import Standing


class Taken(Struct, frozen=True, array_like=True):
    """How much of what was counted in this period the evidence has taken in."""

    treatment: Counts = Counts()
    control: Counts = Counts()


class State(Struct, frozen=True, kw_only=True):
    """The evidence of a running release, and how far it has come."""

    evidences: dict[str, Evidence] = {}
    taken: dict[str, Taken] = {}
    in_stage_s: float = 0.0
    """Time in this stage while it was running, neither paused nor held."""
    treatment_quiet_s: float = 0.0
    control_quiet_s: float = 0.0
    passed: tuple[tuple[int, int], ...] = ()
    """Units of the treatment and of control in each stage that was left: counts are not kept for ever."""
    turns: int = 0
    """Turns of this run."""
    kept: int = 0
    """Points of this stage's path that are kept, crossings left out."""
    crossed: int = 0
    """Crossings of this stage: where the verdict became another."""
    stride: int = 1
    """Of its turns each so manieth is kept, and every crossing."""


def units_of(state: State) -> tuple[int, int]:
    """Units of the treatment and of control in this stage, of whichever gate saw most."""
    return (
        max((each.treatment.n for each in state.taken.values()), default=0),
        max((each.control.n for each in state.taken.values()), default=0),
    )


def _shape(evidence: Evidence) -> tuple[int, ...]:
    return (
        len(evidence.relative),
        len(evidence.late),
        len(evidence.treatment_over),
        len(evidence.control_over),
    )


_SHAPE = _shape(Evidence())
_STATES = msgspec.json.Decoder(State)
_VERDICTS = msgspec.json.Decoder(Verdict)


def read_state(standing: Standing) -> State:
    """As the row has it; a new one where it has none.

    Evidence of another grid, which an older or newer release kept, begins anew: it cannot be carried on.
    """
    if not standing.state:
        return State()
    state = _STATES.decode(standing.state)
    fitting = {name: each for name, each in state.evidences.items() if _shape(each) == _SHAPE}
    return state if len(fitting) == len(state.evidences) else replace(state, evidences=fitting)


def read_verdict(standing: Standing) -> Verdict | None:
    """The last one; None before the first."""
    return _VERDICTS.decode(standing.verdict) if standing.verdict else None
