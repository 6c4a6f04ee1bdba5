"""Gathers what the page of a release shows."""

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from holdfast.kernel.clock import Clock
from holdfast.rooms.experiments.engine.canary.deciding import Evidences, evidence_of
from holdfast.rooms.experiments.engine.canary.state import State, read_state, read_verdict, units_of
from holdfast.rooms.experiments.rules.canary import bounds, detector, relative
from holdfast.rooms.experiments.rules.canary.budget import terms_of
from holdfast.rooms.experiments.rules.canary.counts import Counts
from holdfast.rooms.experiments.rules.canary.evidence import Evidence
from holdfast.rooms.experiments.rules.canary.verdicts import Verdict, least_samples
from holdfast.rooms.experiments.rules.flags import BUCKETS
from holdfast.rooms.experiments.rules.problems import unknown
from holdfast.rooms.experiments.rules.releases import ENDED, Gate, Release, Stage
from holdfast.rooms.experiments.rules.report.page import Figure, Step, Words
from holdfast.rooms.experiments.rules.report.reasons import reason
from holdfast.rooms.experiments.rules.report.release_page import (
    ArmRate,
    Cause,
    EvidencePoint,
    ExampleRequest,
    GateRow,
    Incident,
    ReleasePage,
    RuleUsed,
    StageRow,
)
from holdfast.rooms.experiments.rules.report.words import told
from holdfast.rooms.experiments.store.release_rows import AuditLine, Example, Point, Standing
from holdfast.rooms.experiments.store.releases import ReleaseStore

MOST_FAILED, MOST_SLOW = 20, 5
"""Examples shown of each arm."""
_DID = {
    "started": Words("시작", "started"),
    "paused": Words("일시 중지", "paused"),
    "resumed": Words("재개", "resumed"),
    "held": Words("멈추고 기다림", "held"),
    "recovered": Words("두 쪽 모두 회복", "both arms recovered"),
    "next stage": Words("다음 단계", "next stage"),
    "promoted": Words("전체 적용", "promoted to everybody"),
    "rolled back": Words("되돌림", "rolled back"),
}
_BOTH = Words("두 쪽 모두 나쁨", "both arms are bad")
_ALONE = Words("모두가 쓰는 새 버전이 나쁨", "the treatment is bad, and everybody has it")
_CAUSES: dict[str, Cause] = {
    "crash": "crash",
    "worse_than_baseline": "relative",
    "over_limit": "absolute",
    "deadline": "deadline",
    "nothing_counted": "stale",
    "both_over_limit": "outage",
    "baseline_not_well": "outage",
    "over_limit_undecided": "undecided",
    "over_limit_no_baseline": "alone",
    "still_bad": "outage",
}


class _Gathered(Struct, frozen=True):
    standing: Standing
    state: State
    verdict: Verdict | None
    audit: list[AuditLine]


class Reporting:
    """Makes pages from what is kept; of a run that has ended, from the page that was kept then."""

    def __init__(self, store: ReleaseStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def page(self, name: str, run: int | None = None) -> ReleasePage:
        """The page of a release's last run, or of the one given."""
        standing = await self._store.one(name)
        if standing is None:
            raise unknown("release", name, [each.name for each in await self._store.all()])
        wanted = standing.run if run is None else run
        runs = await self._store.runs(name)
        for each in runs:
            if each.run == wanted and each.report is not None:
                return msgspec.json.decode(each.report, type=ReleasePage)
        if wanted != standing.run:
            raise unknown("run", f"{wanted} of {name}", [f"{each.run} of {name}" for each in runs])
        return await self.made(standing)

    async def made(self, standing: Standing) -> ReleasePage:
        """The page as of now."""
        name, run = standing.name, standing.run
        audit = [line for line in await self._store.audit(name) if line.run == run and run]
        for each in await self._store.runs(name):
            if each.run == run:
                # Not by one that it was given after its end: stages and gates may be others.
                started_with = msgspec.json.decode(each.definition, type=Release)
                standing = replace(standing, definition=started_with)
        found = _Gathered(standing, read_state(standing), read_verdict(standing), audit)
        incidents = [each for each in await self._store.incidents(name) if each.run == run]
        page = replace(
            _head(found),
            made_s=self._clock.wall(),
            stages=_stages(found),
            gates=tuple(_gate_row(found, gate) for gate in standing.definition.gates),
            evidence=_evidence(standing, await self._store.points(name, run)),
            timeline=tuple(_step(line) for line in audit),
            incidents=tuple(
                Incident(
                    at_s=each.opened_ms / 1000,
                    title=_ALONE if _is_alone(standing.definition, each.stage) else _BOTH,
                    name=each.id,
                    ended_s=None if each.closed_ms is None else each.closed_ms / 1000,
                )
                for each in incidents
            ),
            examples=_examples(await self._store.examples(name, run)),
        )
        return told(page)


def _is_alone(release: Release, stage: int) -> bool:
    return release.stages[stage].share >= BUCKETS


def cause_of(verdict: Verdict | None, evidence: Evidence | None, by_hand: bool) -> Cause:
    """What a decision rests on."""
    if by_hand:
        return "operator"
    if verdict is None:
        return ""
    if verdict.why == "deadline" and verdict.numbers.get("quiet_s", 0.0) > verdict.numbers.get(
        "stale_s", float("inf")
    ):
        return "stale"
    if verdict.why == "worse_than_baseline" and evidence is not None:
        late = relative.log_mixture(evidence.late) - relative.log_mixture(evidence.relative)
        return "late" if late > 0 else "relative"
    return _CAUSES.get(verdict.why, "")


def _head(found: _Gathered) -> ReleasePage:
    standing, verdict, audit = found.standing, found.verdict, found.audit
    release = standing.definition
    ended = standing.status in ENDED
    last = audit[-1] if audit else None
    shares = [line.share for line in audit]
    gate = verdict.gate if verdict is not None else ""
    return ReleasePage(
        name=standing.name,
        status=standing.status,
        description=release.description,
        version=release.version,
        cause=cause_of(
            verdict, found.state.evidences.get(gate), ended and last is not None and bool(last.actor)
        ),
        gate=gate,
        share=shares[-1] if shares else 0,
        decided_share=shares[-2] if ended and len(shares) > 1 else None,
        began_s=audit[0].at_ms / 1000 if audit else None,
        ended_s=last.at_ms / 1000 if ended and last is not None else None,
        decided_s=last.at_ms / 1000 if last is not None else None,
        generation=standing.generation,
        rule=RuleUsed(
            alpha=release.alpha,
            ratios=relative.RATIOS,
            detectors=("relative", "late", "absolute"),
            measure=release.measure,
            unit=release.unit,
            warm_up_s=release.warm_up_s,
            stale_s=release.stale_s,
        ),
    )


def _stages(found: _Gathered) -> tuple[StageRow, ...]:
    return tuple(_stage_row(found, at, stage) for at, stage in enumerate(found.standing.definition.stages))


def _stage_row(found: _Gathered, at: int, stage: Stage) -> StageRow:
    standing = found.standing
    began = [
        line.at_ms / 1000
        for line in found.audit
        if line.stage == at and line.did in ("started", "next stage")
    ]
    after = [line.at_ms / 1000 for line in found.audit if line.stage > at]
    row = StageRow(share=stage.share, dwell_s=stage.dwell_s)
    if not began or at > standing.stage:
        return row
    treatment, control = (*found.state.passed, units_of(found.state))[at]
    row = replace(row, began_s=began[-1], treatment=treatment, control=control)
    if at < standing.stage:
        return replace(row, state="passed", ended_s=min(after) if after else None)
    wanted = max(
        (
            least_samples(stage, gate, found.state.evidences[gate.name])
            for gate in standing.definition.gates
            if gate.name in found.state.evidences and not gate.observe_only
        ),
        default=None,
    )
    if standing.status in ENDED:
        state = "passed" if standing.status == "promoted" else "stopped"
        return replace(row, state=state, ended_s=found.audit[-1].at_ms / 1000, wanted=wanted)
    return replace(row, state="running", wanted=wanted)


def _gate_row(found: _Gathered, gate: Gate) -> GateRow:
    row = GateRow(
        name=gate.name,
        of=gate.of,
        target_s=gate.target_s,
        warn=gate.warn,
        limit=gate.limit,
        observe_only=gate.observe_only,
        verdict=_verdict_of(found, gate),
    )
    evidence = found.state.evidences.get(gate.name)
    if evidence is None:
        return row
    terms, figures = terms_of(found.standing.definition, gate), evidence_of(evidence)
    return replace(
        row,
        control=_rate(evidence.control),
        treatment=_rate(evidence.treatment),
        relative_at=terms.relative_at,
        absolute_at=terms.absolute_at,
        sr_at=terms.relative_at,
        **_shown(figures),
    )


def _verdict_of(found: _Gathered, gate: Gate) -> str:
    verdict = found.verdict
    if verdict is None:
        return ""
    # A crash is seen by failures alone: it says nothing of the other gates.
    concerned = gate.of == "errors" if verdict.why == "crash" else verdict.gate in ("", gate.name)
    if concerned:
        return verdict.kind.replace("_", " ")
    return "WARN" if gate.name in verdict.warnings else ""


def _rate(counts: Counts) -> ArmRate:
    if not counts.n:
        return ArmRate()
    low, high = bounds.interval(counts)
    return ArmRate(counts.n, counts.bad, Figure(counts.rate, low, high))


def _evidence(standing: Standing, points: list[Point]) -> tuple[EvidencePoint, ...]:
    found: list[EvidencePoint] = []
    for point in points:
        share = standing.definition.stages[point.stage].share
        for gate, figures in msgspec.json.decode(point.data, type=dict[str, Evidences]).items():
            found.append(EvidencePoint(at_s=point.at_ms / 1000, gate=gate, share=share, **_shown(figures)))
    return tuple(found)


def _shown(figures: Evidences) -> dict[str, float | None]:
    # A sum that is empty is no figure: it would bend the axis of the chart.
    return {name: value if value > detector.NOTHING / 2 else None for name, value in asdict(figures).items()}


def _step(line: AuditLine) -> Step:
    share = f"{line.share * 100 / BUCKETS:g} %"
    verdict = msgspec.json.decode(line.verdict, type=Verdict) if line.verdict else None
    by_hand = verdict is None and line.reason
    return Step(
        at_s=line.at_ms / 1000,
        what=_DID.get(line.did, Words(line.did, line.did)),
        who=line.actor,
        detail=f"{share}: {line.reason}" if by_hand else share,
        why=Words() if verdict is None else reason(verdict),
    )


def _examples(kept: list[Example]) -> tuple[ExampleRequest, ...]:
    found: list[ExampleRequest] = []
    for arm in sorted({each.arm for each in kept}, reverse=True):
        for kind, most in (("failed", MOST_FAILED), ("slow", MOST_SLOW)):
            those = [each for each in kept if (each.arm, each.kind) == (arm, kind)]
            found += [
                ExampleRequest(
                    at_s=each.at_ms / 1000,
                    arm=each.arm,
                    request_id=each.request_id,
                    trace_id=each.trace_id,
                    error=each.error,
                    route=each.route,
                    seconds=each.seconds,
                    gate=each.gate,
                )
                for each in those[-most:]
            ]
    return tuple(found)
