"""What is shown of a release: where it stands, why, and what it still needs."""

from msgspec import Struct

from holdfast.rooms.experiments.engine.canary.state import read_state, read_verdict
from holdfast.rooms.experiments.rules.canary.verdicts import ROLLS_BACK, Verdict
from holdfast.rooms.experiments.rules.flags import BUCKETS
from holdfast.rooms.experiments.rules.releases import ENDED, Release, Status
from holdfast.rooms.experiments.rules.report.release_page import ReleasePage
from holdfast.rooms.experiments.store.release_rows import Standing

_ENDS = {"rolled_back": ROLLS_BACK, "promoted": frozenset({"PROMOTE"})}
"""What the room ends a release with. One that somebody else has ended is not where its verdict was."""


class Brief(Struct, frozen=True, kw_only=True):
    """A release in one line."""

    name: str
    status: Status
    stage: int
    """Counted from 1; 0 before its start."""
    stages: int
    share_percent: float
    """Of units that get the treatment."""
    verdict: str = ""
    why: str = ""
    reason: str = ""
    """Of the last decision."""
    version: str = ""
    generation: int = 0
    changed_s: float = 0.0


class Whole(Struct, frozen=True, kw_only=True):
    """Everything about a release as it stands."""

    brief: Brief
    definition: Release
    verdict: Verdict | None = None
    """With its numbers, and under `needs` what would change it."""
    in_stage_s: float = 0.0
    """Time in this stage while it was running."""
    incident: str = ""
    """The one that is open."""
    page: ReleasePage
    """Gates with their evidence and its path, stages, audit, incidents, examples."""


def share_of(standing: Standing) -> int:
    """Buckets that get the treatment."""
    if standing.status in ENDED:
        return BUCKETS if standing.status == "promoted" else 0
    return standing.definition.stages[standing.stage].share if standing.run else 0


def brief(standing: Standing) -> Brief:
    """The line of a list."""
    verdict = read_verdict(standing)
    if verdict is not None and verdict.kind not in _ENDS.get(standing.status, {verdict.kind}):
        verdict = None
    return Brief(
        name=standing.name,
        status=standing.status,
        stage=standing.stage + 1 if standing.run else 0,
        stages=len(standing.definition.stages),
        share_percent=share_of(standing) * 100 / BUCKETS,
        verdict=verdict.kind if verdict is not None else "",
        why=verdict.why if verdict is not None else "",
        reason=standing.reason,
        version=standing.definition.version,
        generation=standing.generation,
        changed_s=standing.changed_ms / 1000,
    )


def whole(standing: Standing, page: ReleasePage) -> Whole:
    """The release with its page."""
    return Whole(
        brief=brief(standing),
        definition=standing.definition,
        verdict=read_verdict(standing),
        in_stage_s=read_state(standing).in_stage_s,
        incident=standing.incident,
        page=page,
    )
