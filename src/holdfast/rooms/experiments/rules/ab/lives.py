"""The life of an experiment beside its definition: phases, diary, and which step follows which.

draft -> (collecting) -> running -> stopped. A change of shares is a new phase with evidence of its own.
"""

import msgspec

from holdfast.rooms.experiments.rules.experiments import Arm, Experiment, Metric, Status
from holdfast.rooms.experiments.rules.problems import WrongState

STEPS: dict[str, tuple[str, ...]] = {
    "change": ("draft",),
    "collect": ("draft",),
    "start": ("draft", "collecting"),
    "phase": ("running",),
    "look": ("running", "stopped"),
    "stop": ("collecting", "running", "stopped"),
    "covariates": ("draft", "collecting"),
    "plan --keep": ("draft", "collecting"),
}
"""What may be asked in which state. There is no step back: what has been looked at stays."""
MOST_ENTRIES = 200
"""Lines of the diary that are kept; the first ones stay."""


class Phase(msgspec.Struct, frozen=True):
    """A stretch in which shares stayed as they were."""

    number: int
    since_ms: int
    arms: tuple[Arm, ...]


class Entry(msgspec.Struct, frozen=True):
    """A line of the diary; `who` is empty where the room itself did it."""

    at_ms: int
    what: str
    who: str = ""
    detail: str = ""


class Life(msgspec.Struct, frozen=True):
    """What has happened to it."""

    created_ms: int = 0
    collecting_ms: int | None = None
    started_ms: int | None = None
    stopped_ms: int | None = None
    decision: str = ""
    reason: str = ""
    phases: tuple[Phase, ...] = ()
    diary: tuple[Entry, ...] = ()
    alarms: tuple[str, ...] = ()
    """`srm:PHASE`, `harm:PHASE:ARM:METRIC`, or `STATUS:CODE`: told once each, and shown."""
    metrics: tuple[Metric, ...] = ()
    """As they were at the start: a later definition changes nothing here."""
    overruled: tuple[str, ...] = ()
    """Decisions in whose place another came after the end, the first one first."""
    forgotten: bool = False
    """Whether its units have been dropped; its sums stay."""


class Stored(msgspec.Struct, frozen=True):
    """An experiment and its life."""

    experiment: Experiment
    status: Status = "draft"
    phase: int = 0
    generation: int = 0
    life: Life = Life()

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Those of its present phase."""
        return self.life.phases[-1].arms if self.life.phases else self.experiment.arms

    @property
    def since_ms(self) -> int | None:
        """When its present phase began; None before its start."""
        return self.life.phases[-1].since_ms if self.life.phases else self.life.started_ms


def check_step(stored: Stored, step: str) -> None:
    """Raise WrongState where `step` cannot be taken now."""
    allowed = STEPS[step]
    if stored.status not in allowed:
        raise WrongState(
            f"{stored.experiment.name!r} is {stored.status}",
            hint=f"`{step}` is for experiments that are {' or '.join(allowed)}",
        )
    if step == "look" and not stored.phase:
        raise WrongState(
            f"{stored.experiment.name!r} was stopped before it began", hint="there is nothing to look at"
        )


def check_drop(stored: Stored) -> None:
    """Raise WrongState where it takes units in, or there is anything that somebody may have seen."""
    if stored.phase or stored.status == "collecting":
        raise WrongState(
            f"{stored.experiment.name!r} "
            + ("has run" if stored.phase else "is collecting")
            + ", so it cannot be removed",
            hint="its record stays; stop it if it is not over" if stored.phase else "stop it first",
        )


def entered(life: Life, entry: Entry) -> Life:
    """The life with one line more in its diary."""
    diary = life.diary if len(life.diary) < MOST_ENTRIES else (life.diary[0], *life.diary[2:])
    return msgspec.structs.replace(life, diary=(*diary, entry))
