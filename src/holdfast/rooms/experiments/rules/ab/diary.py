"""The diary and the looks of an experiment in words that its owner reads, in Korean and in English."""

from collections.abc import Iterable, Iterator

from holdfast.rooms.experiments.rules.ab.lives import Entry, Life
from holdfast.rooms.experiments.rules.flags import Change
from holdfast.rooms.experiments.rules.report.page import Step, Words

OFF, ON = "switched-off", "switched-on"
_DID = {
    "made": Words("만들었습니다", "made"),
    "changed": Words("정의를 바꿨습니다", "definition changed"),
    "started": Words("시작했습니다", "started"),
    "phase": Words("비율을 바꿔 새 단계가 시작됐습니다", "shares changed: a new phase"),
    OFF: Words(
        "긴급 정지했습니다. 다시 켤 때까지 모두 기존 안을 받고, 새로 집계되는 대상이 없습니다.",
        "switched off: until it is on again everybody gets the current version, and nobody is counted anew",
    ),
    ON: Words("다시 켰습니다", "switched on again"),
}
_ALARMS = {
    "srm": Words("경보: 배분이 계획한 비율과 다릅니다", "alarm: the versions are not filled as planned"),
    "harm": Words("경보: 해를 끼치고 있습니다", "alarm: does harm"),
    "collecting": Words("경보: 스스로 시작하지 못했습니다", "alarm: could not start by itself"),
    "running": Words("경보: 오늘의 확인을 하지 못했습니다", "alarm: could not be looked at"),
}


def steps_of(life: Life, changes: Iterable[Change] = ()) -> tuple[Step, ...]:
    """Every line of the diary, and when its flag was switched off or on; in the order of time."""
    entries = sorted((*life.diary, *switches(changes)), key=lambda entry: entry.at_ms)
    return tuple(_step(entry, life) for entry in entries)


def switches(changes: Iterable[Change]) -> Iterator[Entry]:
    """When the flag was switched off or on by hand: exposures stop there, and the diary must say so."""
    for change in changes:
        if change.kind != "flag" or not isinstance(change.before, dict) or not isinstance(change.after, dict):
            continue
        was_on, is_on = (each.get("enabled", True) for each in (change.before, change.after))
        if was_on != is_on:
            yield Entry(change.at_ms, ON if is_on else OFF, change.actor)


def look_of(slot: str) -> Words:
    """What a look was for."""
    kind, _, rest = slot.partition("-")
    if kind == "day":
        return Words(f"{rest} 자동 확인", f"by itself, of {rest}")
    if kind == "look":
        return Words(f"{rest}번째 확인", f"look {rest}")
    return Words("종료하며 한 확인", "as it was ended") if slot == "last" else Words(slot, slot)


def _step(entry: Entry, life: Life) -> Step:
    what, detail = _told(entry, life)
    return Step(at_s=entry.at_ms / 1000, what=what, who=entry.who, detail=detail)


def _told(entry: Entry, life: Life) -> tuple[Words, str]:
    detail = entry.detail
    if entry.what == "collecting":
        return Words(f"과거 데이터를 {detail}일 동안 모읍니다", f"collects the past for {detail} days"), ""
    if entry.what == "planned":
        return _planned(detail), ""
    if entry.what == "stopped":
        arm = (*life.overruled, life.decision)[0]  # as it was decided then
        return _stopped(arm), "" if detail == arm else detail
    if entry.what == "decided":
        arm, _, reason = detail.partition(": ")
        return _decided(arm), reason
    if entry.what == "alarm":
        kind, _, rest = detail.partition(":")
        key, _, told = rest.partition(": ")
        if kind == "harm":
            arm = key.split(":")[1] if ":" in key else key  # before the phase stood in it: the arm alone
            told = f"{arm}: {told}"
        return _ALARMS.get(kind, Words("경보", "alarm")), told
    return _DID.get(entry.what, Words(entry.what, entry.what)), detail


def _planned(detail: str) -> Words:
    metric, _, rest = detail.rpartition(": ")
    units, _, effect = rest.partition(" / ")
    return Words(
        f"계획: 안마다 {units}, ‘{metric}’ 지표의 {effect} 변화를 찾습니다",
        f"planned: {units} in each version, to find a change of {effect} in “{metric}”",
    )


def _decided(arm: str) -> Words:
    return Words(f"결정을 바꿨습니다. 모두 ‘{arm}’ 안을 받습니다", f"decided anew: everybody gets “{arm}”")


def _stopped(arm: str) -> Words:
    if not arm:
        return Words("종료했습니다. 모두 기존 안을 받습니다", "ended: everybody gets the current version")
    return Words(f"종료했습니다. 모두 ‘{arm}’ 안을 받습니다", f"ended: everybody gets “{arm}”")
