"""Experiments as they are shown: in a line, whole, and what a look gave."""

from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.rooms.experiments.engine.ab.looking import Looked
from holdfast.rooms.experiments.rules.ab.lives import Entry, Stored
from holdfast.rooms.experiments.rules.experiments import Arm, Experiment, Metric
from holdfast.rooms.experiments.store.ab import LookRow


class Brief(msgspec.Struct, frozen=True):
    """An experiment in a line."""

    name: str
    status: str
    phase: int
    generation: int
    hypothesis: str
    started_ms: int | None
    stopped_ms: int | None
    decision: str
    alarms: tuple[str, ...]


class Whole(msgspec.Struct, frozen=True):
    """An experiment, what it goes by, and its diary."""

    experiment: Experiment
    status: str
    phase: int
    generation: int
    arms: tuple[Arm, ...]
    metrics: tuple[Metric, ...]
    """As they were when it began."""
    collecting_ms: int | None
    started_ms: int | None
    stopped_ms: int | None
    decision: str
    reason: str
    alarms: tuple[str, ...]
    diary: tuple[Entry, ...]
    units: dict[str, int]
    """Those of each arm, as of now: how many came is no figure that looking spoils."""


class Results(msgspec.Struct, frozen=True):
    """What a look showed."""

    look: int
    """Its number; 0: too early to be one."""
    at_ms: int
    who: str
    is_new: bool
    """Whether it was taken now, and not shown again."""
    analysis: dict[str, Any]


class LookLine(msgspec.Struct, frozen=True):
    """That somebody looked, and what was decided."""

    number: int
    at_ms: int
    who: str
    what: str
    units: int
    information: float | None
    last: bool
    decision: str


def brief(stored: Stored) -> Brief:
    """In a line."""
    life = stored.life
    return Brief(
        stored.experiment.name,
        stored.status,
        stored.phase,
        stored.generation,
        stored.experiment.hypothesis,
        life.started_ms,
        life.stopped_ms,
        life.decision,
        life.alarms,
    )


def whole(stored: Stored, units: Mapping[str, int]) -> Whole:
    """All of it but its figures: those are for looks."""
    life = stored.life
    return Whole(
        stored.experiment,
        stored.status,
        stored.phase,
        stored.generation,
        stored.arms,
        life.metrics,
        life.collecting_ms,
        life.started_ms,
        life.stopped_ms,
        life.decision,
        life.reason,
        life.alarms,
        life.diary,
        dict(units),
    )


def results_of(looked: Looked) -> Results:
    """The figures of a look, as JSON has them."""
    analysis = msgspec.to_builtins(looked.analysis)
    return Results(looked.number, looked.at_ms, looked.who, looked.is_new, analysis)


def line_of_look(row: LookRow) -> LookLine:
    """A look without its figures."""
    decision = row.told.decision
    return LookLine(row.number, row.at_ms, row.who, row.slot, row.units, row.fraction, row.last, decision)
