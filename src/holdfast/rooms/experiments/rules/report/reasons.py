"""Why a release took a step by itself, in Korean and English: what its diary says of each verdict."""

from holdfast.rooms.experiments.rules.canary.verdicts import Verdict, Why
from holdfast.rooms.experiments.rules.report.page import Words

WHYS: dict[Why, Words] = {
    "crash": Words("새 버전만 모두 실패", "only the new version failed throughout"),
    "worse_than_baseline": Words("기존 버전보다 나쁨", "worse than the old version"),
    "over_limit": Words("한도 초과", "over the limit"),
    "deadline": Words("단계 시간 초과", "the stage ran out of time"),
    "both_over_limit": Words("두 버전 모두 한도 초과", "both versions over the limit"),
    "baseline_not_well": Words(
        "한도 초과, 기존 버전도 좋지 않음", "over the limit, and the old version is not well either"
    ),
    "over_limit_undecided": Words("한도 초과, 아직 비교할 수 없음", "over the limit, too early to compare"),
    "over_limit_no_baseline": Words(
        "한도 초과, 비교할 기존 버전 없음", "over the limit, and nobody has the old version to compare with"
    ),
    "still_bad": Words("아직 회복되지 않음", "not well yet"),
    "both_well": Words("두 버전 모두 회복", "both versions are well"),
    "nothing_counted": Words("측정값 없음", "nothing was measured"),
    "above_warn": Words("경고 수준 초과", "above the warning level"),
    "dwell": Words("머무는 시간이 남음", "its time is not over"),
    "samples": Words("표본 부족", "too few were measured"),
    "bound_over_limit": Words("한도를 넘을 수 있음", "may be over the limit"),
    "passed": Words("모든 조건 통과", "everything passed"),
}


def reason(verdict: Verdict) -> Words:
    """Why, of which gate, with the counts."""
    why, numbers = WHYS[verdict.why], verdict.numbers
    gate = f" ({verdict.gate})" if verdict.gate else ""
    if "treatment_n" in numbers:
        new_bad, new, old_bad, old = (
            f"{numbers[name]:,.0f}" for name in ("treatment_bad", "treatment_n", "control_bad", "control_n")
        )
        return Words(
            f"{why.ko}{gate}: 새 버전 {new}건 중 {new_bad}건, 기존 버전 {old}건 중 {old_bad}건",
            f"{why.en}{gate}: {new_bad} of {new} in the new version, {old_bad} of {old} in the old one",
        )
    if "users" in numbers:
        users = f"{numbers['users']:,.0f}"
        return Words(
            f"{why.ko}{gate}: 1분 동안 사용자 {users}명이 실패하고 성공은 없음",
            f"{why.en}{gate}: {users} users failed within a minute and none succeeded",
        )
    return Words(why.ko + gate, why.en + gate)
