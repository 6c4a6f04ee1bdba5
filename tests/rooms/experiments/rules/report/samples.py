"""Four releases and four experiments as they end in practice."""

import math

from holdfast.rooms.experiments.rules.report.experiment_page import (
    ArmFigure,
    ArmRow,
    Comparison,
    Effect,
    EffectPoint,
    ExperimentPage,
    Look,
    MetricRow,
    Novelty,
    PlanUsed,
    SampleRatio,
    SegmentRow,
)
from holdfast.rooms.experiments.rules.report.page import Clock, Figure, Step, Words
from holdfast.rooms.experiments.rules.report.release_page import (
    ArmRate,
    EvidencePoint,
    ExampleRequest,
    GateRow,
    Incident,
    ReleasePage,
    RuleUsed,
    StageRow,
)

SEOUL = Clock("Asia/Seoul", 9 * 3600)
NOON = 1_795_748_400.0
"""2026-11-27 12:00 in Seoul."""
HOUR, DAY = 3600.0, 86_400.0
RULE = RuleUsed(
    alpha=0.01,
    ratios=(1.25, 2, 5, 10, 40),
    detectors=("기준 대비 e-과정", "한도 대비 e-과정", "Shiryaev–Roberts"),
)
STAGES = ((500, 1.0), (2500, 2.0), (5000, 2.0), (10_000, 0.0))


def rate(bad, units):
    """A rate with Wilson's interval."""
    share, spread = bad / units, 1.96**2 / units
    middle = (share + spread / 2) / (1 + spread)
    half = 1.96 * math.sqrt(share * (1 - share) / units + spread / (4 * units)) / (1 + spread)
    return ArmRate(units, bad, Figure(share, max(middle - half, 0.0), middle + half))


def path(gate, minutes, slope, absolute, control, late):
    """Evidence once a minute, growing by `slope` and its kin."""
    return tuple(
        EvidencePoint(
            at_s=NOON + 60 * minute,
            gate=gate,
            share=500,
            log_e_relative=slope * minute - 0.4 * math.sin(minute),
            log_e_absolute_treatment=absolute * minute,
            log_e_absolute_control=control * minute,
            log_sr=late * minute + math.log1p(minute),
        )
        for minute in range(minutes + 1)
    )


def gate(name, treatment, control, verdict, end, limit=0.01, **rest):
    """A gate with its last evidence."""
    return GateRow(
        name=name,
        treatment=rate(*treatment),
        control=rate(*control),
        verdict=verdict,
        warn=limit / 2,
        limit=limit,
        log_e_relative=end.log_e_relative,
        log_e_absolute_treatment=end.log_e_absolute_treatment,
        log_e_absolute_control=end.log_e_absolute_control,
        log_sr=end.log_sr,
        relative_at=5.7,
        absolute_at=5.7,
        sr_at=11.9,
        **rest,
    )


def rolled_back():
    """A new engine that fails seven times as often."""
    errors, slow = path("errors", 14, 0.44, 0.2, -0.3, 0.3), path("latency", 14, -0.05, -0.2, -0.2, 0.05)
    decided = NOON + 14 * 60
    return ReleasePage(
        name="recommend-engine-4",
        version="4.0.0",
        status="rolled_back",
        cause="relative",
        gate="errors",
        description="추천 엔진 4단계: 대조군은 3단계 엔진, 실험군은 4단계 엔진",
        share=0,
        decided_share=500,
        began_s=NOON,
        decided_s=decided,
        ended_s=decided,
        made_s=decided + 3,
        generation=7,
        stages=(
            StageRow(
                share=500,
                dwell_s=HOUR,
                state="stopped",
                began_s=NOON,
                ended_s=decided,
                control=15_960,
                treatment=840,
                wanted=4_200,
            ),
            *(StageRow(share=share, dwell_s=HOUR * hours) for share, hours in STAGES[1:]),
        ),
        gates=(
            gate("errors", (17, 840), (48, 15_960), "ROLL BACK", errors[-1]),
            gate(
                "latency",
                (21, 840),
                (410, 15_960),
                "EXTEND",
                slow[-1],
                limit=0.05,
                of="latency",
                target_s=0.8,
            ),
        ),
        evidence=errors + slow,
        timeline=(
            Step(at_s=NOON, what=Words("5 %로 시작", "Started at 5 %"), who="김서연"),
            Step(
                at_s=decided,
                what=Words("되돌림: 오류가 기존보다 많음", "Rolled back: more errors than before"),
                detail="세대 6 → 7",
            ),
            Step(at_s=decided + 2, what=Words("모든 작업자에 적용됨", "In effect on every worker")),
        ),
        examples=tuple(
            ExampleRequest(
                at_s=decided - 40 * at,
                arm="treatment",
                request_id=f"01JD{at:04d}Q8Z6",
                route="GET /v1/recommend",
                trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
                error="KeyError: 'embedding'",
                seconds=0.031 + at / 100,
                gate="errors",
            )
            for at in range(3)
        ),
        rule=RULE,
        clock=SEOUL,
    )


def promoted():
    """A prompt that is no worse than the one before."""
    errors = path("errors", 300, -0.02, -0.08, -0.08, -0.01)
    began = [NOON, NOON + HOUR, NOON + 3 * HOUR, NOON + 5 * HOUR]
    return ReleasePage(
        name="chat-prompt-v12",
        version="v12",
        status="promoted",
        share=10_000,
        began_s=NOON,
        ended_s=began[3],
        decided_s=began[3],
        made_s=began[3] + 60,
        generation=11,
        description="더 짧고 따뜻한 답을 하는 프롬프트",
        stages=tuple(
            StageRow(
                share=share,
                dwell_s=HOUR * hours,
                state="passed",
                began_s=start,
                ended_s=start + HOUR * hours,
                control=72_000 * (10_000 - share) // 10_000,
                treatment=72_000 * share // 10_000,
                wanted=4_200,
            )
            for (share, hours), start in zip(STAGES, began, strict=True)
        ),
        gates=(
            gate("errors", (211, 72_000), (231, 76_000), "PROMOTE", errors[-1]),
            gate(
                "dislike", (310, 72_000), (352, 76_000), "PROMOTE", errors[-1], of="event", observe_only=True
            ),
        ),
        evidence=errors,
        rule=RULE,
        clock=SEOUL,
        timeline=tuple(
            Step(
                at_s=start,
                what=Words(f"{share / 100:g} %로 올림", f"Raised to {share / 100:g} %"),
                who="" if at else "박지호",
            )
            for at, ((share, _), start) in enumerate(zip(STAGES, began, strict=True))
        ),
    )


def held():
    """The model's provider is away: both arms fail."""
    errors = path("errors", 30, 0.02, 0.25, 0.22, 0.1)
    return ReleasePage(
        name="llm-route-b",
        status="held",
        cause="outage",
        gate="errors",
        share=500,
        began_s=NOON,
        decided_s=NOON + 1700,
        made_s=NOON + 1800,
        generation=3,
        stages=(
            StageRow(share=500, dwell_s=HOUR, state="running", began_s=NOON, control=34_000, treatment=1_790),
        ),
        gates=(gate("errors", (39, 1_790), (731, 34_000), "HOLD", errors[-1]),),
        evidence=errors,
        incidents=(
            Incident(
                at_s=NOON + 1700,
                name="llm-route-b-1",
                title=Words("두 버전 모두 오류 한도 초과", "Both versions are over the error limit"),
            ),
        ),
        rule=RULE,
        clock=SEOUL,
    )


def draft():
    """Nothing has happened yet."""
    return ReleasePage(
        name="search-ranker-2", status="draft", stages=(StageRow(share=500, dwell_s=HOUR),), clock=SEOUL
    )


def metric(name, role, control, treatment, relative, finding, **rest):
    """A metric of two arms of 10,200 units each."""
    low, value, high = relative
    return MetricRow(
        name=name,
        role=role,
        arms=(
            ArmFigure(arm="control", units=10_214, figure=Figure(control)),
            ArmFigure(arm="treatment", units=10_180, figure=Figure(treatment)),
        ),
        effects=(
            Effect(
                arm="treatment",
                absolute=Figure(control * value, control * low, control * high),
                relative=Figure(value, low, high),
                finding=finding,
                cohens_d=0.047,
                p=0.0021 if finding in ("better", "worse") else None,
                method="Welch t, O’Brien–Fleming",
                adjusted="Holm" if role == "primary" else "Benjamini–Hochberg",
            ),
        ),
        **rest,
    )


def course(name, days, effect):
    """A cumulative effect that settles, with a band that narrows."""
    return tuple(
        EffectPoint(
            at_s=NOON + DAY * day,
            metric=name,
            arm="treatment",
            units=1_457 * day,
            effect=Figure(
                effect + 0.04 * math.cos(day) / day,
                effect - 0.22 / math.sqrt(day),
                effect + 0.24 / math.sqrt(day),
            ),
            day=Figure(effect + 0.07 * math.sin(3 * day)),
        )
        for day in range(1, days + 1)
    )


RATIO = (
    ArmRow(name="control", share=5000, units=10_214, expected=10_197.0),
    ArmRow(name="treatment", share=5000, units=10_180, expected=10_197.0),
)


def better():
    """A new order of recommendations that is clicked more."""
    return ExperimentPage(
        name="recommend-order-b",
        status="stopped",
        hypothesis="최근 본 상품을 앞에 두면 클릭이 는다",
        finding="better",
        verdict=Words(
            "새 안이 더 좋습니다. 클릭률이 4.1 % 늘었고(구간 1.2–7.0 %), "
            "지켜야 할 지표는 나빠지지 않았습니다.",
            "The new arm is better: click-through rose by 4.1 % (interval 1.2 to 7.0 %), "
            "and no guardrail got worse.",
        ),
        began_s=NOON,
        ended_s=NOON + 14 * DAY,
        made_s=NOON + 14 * DAY,
        generation=4,
        arms=RATIO,
        mixed=37,
        metrics=(
            metric(
                "click-through",
                "primary",
                0.1182,
                0.123,
                (0.012, 0.041, 0.07),
                "better",
                scale="share",
                variance_removed=0.31,
                description="추천을 누른 사용자",
            ),
            metric(
                "order-value",
                "secondary",
                31_450.0,
                31_890.0,
                (-0.011, 0.014, 0.039),
                "undecided",
                unit="원",
                kind="mean",
            ),
            metric(
                "dwell", "secondary", 74.2, 78.0, (0.022, 0.051, 0.08), "better", scale="seconds", kind="mean"
            ),
            metric(
                "errors",
                "guardrail",
                0.0031,
                0.003,
                (-0.09, -0.01, 0.013),
                "within",
                better="down",
                scale="share",
                margin=0.02,
            ),
        ),
        timeline=course("click-through", 14, 0.041),
        segments=tuple(
            SegmentRow(
                attribute=attribute,
                value=value,
                metric="click-through",
                arm="treatment",
                control_units=units,
                treatment_units=units + 12,
                relative=Figure(effect, effect - 0.04, effect + 0.04),
                finding=finding,
            )
            for attribute, value, units, effect, finding in (
                ("visitor", "new", 3_100, 0.011, "undecided"),
                ("visitor", "returning", 7_102, 0.053, "better"),
                ("tier", "무료", 8_400, 0.032, "undecided"),
                ("tier", "유료", 1_802, 0.061, "better"),
            )
        ),
        sample_ratio=SampleRatio(passed=True, p=0.811, arms=RATIO),
        novelty=Novelty(
            found=False,
            parts=tuple(
                Comparison(
                    name=Words(ko, en),
                    metric="click-through",
                    arm="treatment",
                    relative=Figure(effect, effect - 0.05, effect + 0.05),
                    units=9_000,
                )
                for ko, en, effect in (("첫 7일", "first 7 days", 0.046), ("그다음", "after", 0.037))
            ),
        ),
        strata=tuple(
            Comparison(
                name=Words(ko, en),
                metric="click-through",
                arm="treatment",
                relative=Figure(0.03 + at / 300, at / 300, 0.06),
                units=2_900,
            )
            for at, (ko, en) in enumerate(
                zip("월화수목금토일", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), strict=True)
            )
        ),
        looks=tuple(
            Look(
                at_s=NOON + day * DAY,
                who="이도윤",
                what=Words("모든 지표", "every metric"),
                said=Words(ko, en),
                information=day / 14,
                planned=True,
            )
            for day, ko, en in ((7, "아직 모름", "not known yet"), (14, "좋아짐", "better"))
        ),
        steps=(Step(at_s=NOON, what=Words("시작", "Started"), who="이도윤"),),
        plan=PlanUsed(baseline=0.118, effect=0.04, units_per_arm=10_200, days=14, end_s=NOON + 14 * DAY),
        clock=SEOUL,
    )


def mismatched():
    """The arms do not hold as many units as they should."""
    arms = (
        ArmRow(name="control", share=5000, units=10_900, expected=10_197.0),
        ArmRow(name="treatment", share=5000, units=9_494, expected=10_197.0),
    )
    return ExperimentPage(
        name="signup-short-form",
        status="running",
        finding="blocked",
        began_s=NOON,
        made_s=NOON + 4 * DAY,
        arms=arms,
        mixed=512,
        verdict=Words(
            "판정할 수 없습니다. 두 안의 인원이 계획과 다릅니다.",
            "No verdict: the arms do not hold as many units as planned.",
        ),
        sample_ratio=SampleRatio(passed=False, p=7.7e-23, arms=arms),
        clock=SEOUL,
        metrics=(metric("signup", "primary", 0.21, 0.24, (0.09, 0.14, 0.19), "blocked", scale="share"),),
    )


def three_arms():
    """Two prompts against the one that stands, still running and without a planned end."""
    names = ("control", "따뜻한 말투", "짧은 답")
    arms = tuple(ArmRow(name=name, share=3333, units=2_000, expected=2_000.0) for name in names)
    effects = (("따뜻한 말투", 0.021, "undecided"), ("짧은 답", -0.12, "worse"))
    return ExperimentPage(
        name="chat-tone",
        status="running",
        finding="undecided",
        began_s=NOON,
        made_s=NOON + DAY,
        arms=arms,
        clock=SEOUL,
        verdict=Words("아직 모릅니다.", "Not known yet."),
        unit="user",
        metrics=(
            MetricRow(
                name="satisfaction",
                role="primary",
                scale="share",
                arms=tuple(ArmFigure(arm=name, units=2_000, figure=Figure(0.6)) for name in names),
                effects=tuple(
                    Effect(
                        arm=name,
                        relative=Figure(value, value - 0.08, value + 0.08),
                        finding=found,
                        method="asymptotic confidence sequence",
                    )
                    for name, value, found in effects
                ),
            ),
        ),
        timeline=course("satisfaction", 1, 0.02),
    )


def empty():
    """Planned, and nobody is in it."""
    return ExperimentPage(name="later", status="draft")


RELEASES = {"rolled_back": rolled_back, "promoted": promoted, "held": held, "draft": draft}
EXPERIMENTS = {"better": better, "mismatched": mismatched, "three_arms": three_arms, "empty": empty}
