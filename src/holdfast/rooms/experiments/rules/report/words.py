"""What became of a release, in one sentence of Korean and one of English.

No sentence depends on the last letter of a name: Korean particles that change with it are avoided.
"""

from msgspec.structs import replace

from holdfast.rooms.experiments.rules.flags import BUCKETS
from holdfast.rooms.experiments.rules.report.figures import NONE, chosen, duration, percent, settled, times
from holdfast.rooms.experiments.rules.report.page import Words
from holdfast.rooms.experiments.rules.report.release_page import GateRow, ReleasePage


def told(page: ReleasePage) -> ReleasePage:
    """The page with its decision in words; one that has them already is left alone."""
    return page if page.decision is not None else replace(page, decision=decision(page))


def decision(page: ReleasePage) -> Words:
    """One sentence that a person who knows no statistics can act on."""
    gate = next((row for row in page.gates if row.name == page.gate), None)
    if page.status == "rolled_back":
        return _after(_rolled_back(page), _why(page, gate))
    if page.status == "promoted":
        return _promoted(page)
    if page.status == "held":
        return _held(page, gate)
    return _unsettled(page, gate)


def measured(gate: GateRow) -> Words:
    """What a gate counts."""
    if gate.of == "errors":
        return Words("오류 비율", "the error rate")
    if gate.of == "latency":
        target = chosen(gate.target_s)
        return Words(f"{target}초보다 느린 비율", f"the share slower than {target} s")
    return Words(f"‘{gate.name}’ 비율", f"the share of “{gate.name}”")


def _rolled_back(page: ReleasePage) -> Words:
    after = page.decided_s - page.began_s if page.decided_s is not None and page.began_s is not None else None
    by_hand = page.cause == "operator"
    ko, en = (
        ("담당자가 되돌렸습니다", "Rolled back by hand")
        if by_hand
        else ("자동으로 되돌렸습니다", "Rolled back")
    )
    if after is None:
        return Words(f"{ko}.", f"{en}")
    return Words(
        f"시작한 지 {duration(after, korean=True)} 만에 {ko}.", f"{en} {duration(after)} after the start"
    )


def _why(page: ReleasePage, gate: GateRow | None) -> Words:
    if page.cause == "crash":
        return Words(
            "새 버전에서 여러 사용자의 요청이 모두 실패했고 성공한 요청이 없었습니다.",
            "several users' requests failed in the new version, and none succeeded.",
        )
    if page.cause == "deadline":
        return Words(
            "정해진 시간 안에 안전하다고 볼 만한 근거가 모이지 않았습니다.",
            "the time for this stage ran out without enough evidence that it is safe.",
        )
    if page.cause == "stale":
        return Words(
            "측정값이 들어오지 않아 안전한지 알 수 없었습니다.",
            "measurements stopped arriving, so nobody could know whether it is safe.",
        )
    if page.cause == "operator" or gate is None:
        return Words()
    return _worse(page, gate)


def _worse(page: ReleasePage, gate: GateRow) -> Words:
    what = measured(gate)
    new, old = percent(gate.treatment.rate.value), percent(gate.control.rate.value)
    if NONE in (new, old):
        return Words(f"{what.ko}이 나빠졌습니다.", f"{what.en} got worse.")
    ko = f"새 버전의 {what.ko}은 {new}이고 같은 시간 기존 버전은 {old}입니다"
    en = f"{what.en} was {new} in the new version and {old} in the old one over the same time"
    if page.cause == "absolute" and gate.limit is not None:
        return Words(
            f"{ko}. 한도는 {settled(gate.limit)}입니다.", f"{en}; the limit is {settled(gate.limit)}."
        )
    if page.cause == "late":
        return Words(
            f"{ko}. 처음에는 괜찮았으나 도중에 나빠졌습니다.",
            f"{en}; it began well and got worse on the way.",
        )
    bad = gate.control.rate.value
    if bad and gate.treatment.rate.value is not None and gate.treatment.rate.value > bad:
        ratio = times(gate.treatment.rate.value / bad)
        return Words(f"{ko}({ratio}).", f"{en} ({ratio}).")
    return Words(f"{ko}.", f"{en}.")


def _promoted(page: ReleasePage) -> Words:
    if page.cause == "operator":
        return Words("담당자가 모든 사용자에게 적용했습니다.", "Promoted to everybody by hand.")
    units = sum(row.treatment for row in page.stages)
    return Words(
        f"모든 단계를 통과해 모든 사용자에게 적용했습니다. 새 버전에서 {units:,}건을 보았고 기존 버전보다 "
        "나쁘다는 근거가 없었습니다.",
        f"Promoted to everybody after every stage: {units:,} units were seen in the new version, with no "
        "evidence that it is worse than the old one.",
    )


def _held(page: ReleasePage, gate: GateRow | None) -> Words:
    if page.share >= BUCKETS:
        return Words(
            "멈추고 기다립니다. 새 버전이 한도를 넘었지만 모두가 새 버전을 쓰고 있어, 새 버전 탓인지 "
            "공통 장애인지 가릴 수 없습니다. 일부를 기존 버전으로 되돌리면 가릴 수 있습니다.",
            "Held: the new version is over the limit, and as everybody has it nobody can tell whether it is "
            "to blame or something shared is; giving some users the old one again would tell.",
        )
    treatment, control = (gate.treatment.rate.value, gate.control.rate.value) if gate else (None, None)
    if gate is None or treatment is None or control is None:
        return Words(
            "멈추고 기다립니다. 두 버전이 모두 나쁘므로 되돌려도 나아지지 않습니다.",
            "Held: both versions are bad, so rolling back would not help.",
        )
    what, new, old = measured(gate), percent(treatment), percent(control)
    if gate.limit is not None and min(treatment, control) > gate.limit:
        return Words(
            f"멈추고 기다립니다. {what.ko}이 새 버전({new})과 기존 버전({old})에서 모두 한도를 넘었습니다. "
            "공통으로 쓰는 외부 서비스의 장애로 보이며, 되돌려도 나아지지 않습니다.",
            f"Held: {what.en} is over the limit in the new version ({new}) and in the old one ({old}) alike. "
            "That looks like an outage of something both depend on; rolling back would not help.",
        )
    # Rates are of the whole stage: what began a minute ago has hardly moved them.
    return Words(
        f"멈추고 기다립니다. {what.ko}이 지금 두 버전에서 모두 나쁩니다(이 단계 전체로는 새 버전 "
        f"{new}, 기존 버전 {old}). 두 버전이 회복되면 저절로 이어집니다.",
        f"Held: {what.en} is bad in both versions now (over the whole stage {new} in the new one, {old} in "
        "the old one). It goes on by itself once both are well.",
    )


def _unsettled(page: ReleasePage, gate: GateRow | None) -> Words:
    share = f"{page.share / 100:g} %"
    if page.status == "draft":
        return Words("아직 시작하지 않았습니다.", "Not started yet.")
    if page.status == "paused":
        return Words(f"사용자의 {share}에서 일시 중지했습니다.", f"Paused at {share} of users.")
    if page.cause == "stale":
        return Words(
            f"판단할 수 없습니다. 측정값이 들어오지 않아 사용자의 {share}에서 멈춰 있습니다.",
            f"Inconclusive: no measurements are arriving, so it stays at {share} of users.",
        )
    if page.cause == "undecided":
        what = measured(gate) if gate is not None else Words("실패 비율", "the failure rate")
        return Words(
            f"진행 중입니다. 새 버전의 {what.ko}이 한도를 넘었지만, 기존 버전에서 본 것이 적어 아직 "
            f"비교할 수 없습니다. 그동안 사용자 {share}에 머뭅니다.",
            f"Under way: {what.en} of the new version is over the limit, and too little was seen of the old "
            f"one to compare yet; it stays at {share} of users meanwhile.",
        )
    return Words(
        f"진행 중입니다. 사용자 {share}에게 적용했고 되돌릴 근거는 없습니다.",
        f"Under way: {share} of users have it, and nothing so far says that it must be rolled back.",
    )


def _after(first: Words, reason: Words) -> Words:
    if not reason.en:
        return Words(first.ko, f"{first.en.rstrip('.')}.")
    return Words(f"{first.ko} {reason.ko}", f"{first.en.rstrip('.')}: {reason.en}")


ARM_WORDS = {"treatment": Words("새 버전", "new"), "control": Words("기존 버전", "old")}
"""What the arms of a release are called in front of people."""
