"""Every word on a page that is not the owner's, in Korean and in English."""

from typing import Literal

from holdfast.rooms.experiments.rules.report.page import Words

Lang = Literal["ko", "en"]

LABELS: dict[str, Words] = {
    # of both pages
    "release report": Words("배포 보고서", "Release report"),
    "experiment report": Words("실험 보고서", "Experiment report"),
    "decision": Words("결정", "Decision"),
    "at a glance": Words("한눈에 보기", "At a glance"),
    "began": Words("시작", "Began"),
    "ended": Words("종료", "Ended"),
    "not ended": Words("진행 중", "under way"),
    "not begun": Words("시작 전", "not begun"),
    "lasted": Words("기간", "Lasted"),
    "generation": Words("세대", "Generation"),
    "made": Words("보고서 작성", "Report made"),
    "times in": Words("시각 기준", "Times in"),
    "time": Words("시각", "Time"),
    "what": Words("내용", "What"),
    "who": Words("누가", "Who"),
    "detail": Words("자세히", "Detail"),
    "by itself": Words("자동", "by itself"),
    "yes": Words("예", "yes"),
    "no": Words("아니요", "no"),
    "nothing yet": Words("아직 자료가 없습니다.", "No data yet."),
    "how to read": Words("읽는 법", "How to read it"),
    "units": Words("표본 수", "Units"),
    "all figures": Words("자세한 수치", "All figures"),
    "version": Words("버전", "Version"),
    # of a release
    "treatment": Words("새 버전", "New version"),
    "control": Words("기존 버전", "Old version"),
    "share now": Words("현재 적용 비율", "Share now"),
    "share then": Words("결정 때 비율", "Share at the decision"),
    "decided": Words("결정 시각", "Decided"),
    "seen": Words("관찰한 건수(새 버전)", "Seen in the new version"),
    "gates": Words("지켜야 할 기준", "What must not get worse"),
    "gate": Words("기준", "Gate"),
    "errors": Words("오류", "errors"),
    "slower than": Words("보다 느림", "slower than"),
    "bad of": Words("나쁨 / 전체", "Bad / all"),
    "rate": Words("비율", "Rate"),
    "interval": Words("구간", "Interval"),
    "warn": Words("경고선", "Warns at"),
    "limit": Words("한도", "Limit"),
    "verdict": Words("판정", "Verdict"),
    "observed only": Words("관찰만", "observed only"),
    "gates read": Words(
        "점은 측정된 비율, 가로선은 참값이 있을 만한 구간, 굵은 세로선은 한도입니다.",
        "The sign is the measured rate, its line where the true one may be, the upright line the limit.",
    ),
    "evidence": Words("근거가 쌓인 과정", "How the evidence grew"),
    "evidence read": Words(
        "선이 100 %에 닿으면 우연으로 보기 어려워 되돌립니다. 낮게 머물면 나쁘다는 근거가 없습니다.",
        "A line that reaches 100 % can hardly be chance, and decides. One that stays low shows no harm.",
    ),
    "decides": Words("결정선", "decides"),
    "relative": Words("기존 버전보다 나쁨", "Worse than old"),
    "absolute new": Words("새 버전이 한도 초과", "New over limit"),
    "absolute old": Words("기존 버전이 한도 초과", "Old over limit"),
    "late": Words("도중에 나빠짐", "Late defect"),
    "evidence at end": Words("마지막 근거", "Evidence at the end"),
    "detector": Words("감지 방법", "Detector"),
    "of threshold": Words("결정선 대비", "Of what decides"),
    "log evidence": Words("근거(자연로그)", "Evidence (natural log)"),
    "threshold": Words("결정선(자연로그)", "Decides at (natural log)"),
    "stages": Words("단계", "Stages"),
    "stages read": Words(
        "새 버전을 받은 사용자의 비율입니다.", "The share of users that had the new version."
    ),
    "share": Words("비율", "Share"),
    "dwell": Words("최소 시간", "At least"),
    "wanted": Words("필요 건수", "Wanted"),
    "state": Words("상태", "State"),
    "waiting": Words("대기", "waiting"),
    "running": Words("진행 중", "running"),
    "passed": Words("통과", "passed"),
    "stopped": Words("중단", "stopped"),
    "timeline": Words("결정 기록", "Who decided what, and when"),
    "incidents": Words("사건", "Incidents"),
    "examples": Words("나쁜 요청의 예", "Examples of bad requests"),
    "arm": Words("버전", "Arm"),
    "route": Words("경로", "Route"),
    "error": Words("오류", "Error"),
    "seconds": Words("걸린 시간", "Took"),
    "request id": Words("요청 ID", "Request id"),
    "trace id": Words("추적 ID", "Trace id"),
    "rule": Words("시작 전에 정한 규칙", "The rule, settled beforehand"),
    "alpha release": Words("정상 배포를 잘못 되돌릴 확률", "Chance of rolling back a healthy release"),
    "ratios": Words("찾는 악화 정도(배)", "Looks for so many times worse"),
    "detectors": Words("감지 방법", "Detectors"),
    "measured unit": Words("세는 단위", "What is counted"),
    "unit": Words("나누는 단위", "Parted by"),
    "warm up": Words("준비 시간(제외)", "Warm-up (left out)"),
    "stale": Words("자료가 끊겼다고 보는 시간", "Stale after"),
    # of an experiment
    "hypothesis": Words("가설", "Hypothesis"),
    "arms": Words("비교한 안", "Arms"),
    "arm of": Words("안", "Arm"),
    "this arm": Words("이 안", "This arm"),
    "control arm": Words("기준 안", "Control"),
    "metric": Words("지표", "Metric"),
    "primary": Words("핵심 지표", "Primary metrics"),
    "secondary": Words("보조 지표", "Secondary metrics"),
    "guardrail": Words("안전 지표", "Guardrails"),
    "figure": Words("값", "Figure"),
    "effect": Words("상대 변화", "Relative effect"),
    "difference": Words("차이", "Difference"),
    "finding": Words("결과", "Result"),
    "method": Words("방법", "Method"),
    "cohens d": Words("Cohen’s d", "Cohen’s d"),
    "p": Words("p(보정)", "p (adjusted)"),
    "variance": Words("CUPED로 줄인 분산", "Variance removed by CUPED"),
    "margin": Words("허용 폭", "Margin"),
    "forest read": Words(
        "가로선이 0 %의 한쪽에만 있으면 효과가 있다고 볼 수 있고, 0 %에 걸치면 아직 모릅니다. "
        "◆ 좋아짐, ■ 나빠짐, ● 모름. 안전 지표의 굵은 세로 점선은 허용 폭입니다.",
        "A line wholly to one side of 0 % is an effect; one that crosses it is not known yet. "
        "◆ better, ■ worse, ● not known. A guardrail's upright line is how much worse it may be.",
    ),
    "worse side": Words("← 나빠짐", "← worse"),
    "better side": Words("좋아짐 →", "better →"),
    "better left": Words("← 좋아짐", "← better"),
    "worse right": Words("나빠짐 →", "worse →"),
    "lower side": Words("← 감소", "← less"),
    "higher side": Words("증가 →", "more →"),
    "above": Words("0보다 위: 증가", "above 0: more"),
    "below": Words("0보다 아래: 감소", "below 0: less"),
    "over time": Words("시간에 따른 효과", "The effect over time"),
    "over time read": Words(
        "굵은 선은 그때까지의 누적 효과, 칠한 띠는 언제 보아도 맞는 구간, 작은 점은 하루치입니다.",
        "The line is the effect of all days so far; its band holds whenever you look; dots are single days.",
    ),
    "segments": Words("사용자 그룹별 효과", "Among groups of users"),
    "segment": Words("그룹", "Group"),
    "sample ratio": Words("표본 비율 점검(SRM)", "Sample ratio"),
    "ratio passed": Words("✓ 안별 인원이 계획대로입니다.", "✓ The arms hold as many units as planned."),
    "ratio failed": Words(
        "✕ 안별 인원이 계획과 다릅니다. 나누기나 기록에 잘못이 있으므로 결과를 믿지 마십시오.",
        "✕ The arms do not hold as many units as planned: something parts or records them wrongly. "
        "Do not trust the results.",
    ),
    "always valid": Words("여러 번 보아도 맞는 값", "however often it is looked at"),
    "blocks below": Words("이보다 작으면 판정 보류:", "no verdict below"),
    "more": Words("더 보기", "more"),
    "expected": Words("계획 인원", "Expected"),
    "observed": Words("실제 인원", "Observed"),
    "mixed": Words(
        "여러 안을 보았거나 비율이 바뀌기 전에 온 대상(제외)",
        "Saw several arms, or came before a change (left out)",
    ),
    "novelty": Words("처음에만 좋은지 점검(novelty)", "Novelty"),
    "novelty found": Words("⚠ 효과가 시간이 지나며 달라졌습니다.", "⚠ The effect changed as time went by."),
    "novelty absent": Words(
        "✓ 효과가 시간이 지나도 한결같습니다.", "✓ The effect stayed the same over time."
    ),
    "strata": Words("요일과 시간대별", "By weekday and hour"),
    "looks": Words("누가 언제 무엇을 보았나", "What was looked at, when and by whom"),
    "information": Words("자료량", "Of the plan"),
    "last look": Words("마지막 확인", "last look"),
    "told": Words("안내된 내용", "Was told"),
    "plan": Words("시작 전에 정한 계획", "The plan, settled beforehand"),
    "alpha": Words("유의수준", "Significance level"),
    "power": Words("검정력", "Power"),
    "baseline": Words("기준값", "Baseline"),
    "least effect": Words("찾으려는 최소 효과", "Least effect worth finding"),
    "per arm": Words("안별 표본 수", "Units per arm"),
    "days": Words("기간(일)", "Days"),
    "planned end": Words("예정 종료", "Planned end"),
    "diary": Words("진행 기록", "Diary"),
    "decided on": Words("사람이 결정한 안", "Decided on by its owner"),
    "in all": Words("전체 인원", "Units in all"),
}

STATUSES: dict[str, tuple[str, str, Words]] = {
    "draft": ("plain", "○", Words("준비 중", "Draft")),
    "collecting": ("plain", "◔", Words("과거 수집 중", "Collecting")),
    "running": ("plain", "▶", Words("진행 중", "Running")),
    "paused": ("warn", "❚❚", Words("일시 중지", "Paused")),
    "held": ("warn", "⚠", Words("보류", "Held")),
    "rolled_back": ("bad", "✕", Words("되돌림", "Rolled back")),
    "promoted": ("well", "✓", Words("전체 적용", "Promoted")),
    "stopped": ("plain", "■", Words("종료", "Stopped")),
}
"""Status -> style, sign, words."""

FINDINGS: dict[str, tuple[str, str, Words]] = {
    "better": ("well", "◆", Words("좋아짐", "better")),
    "worse": ("bad", "■", Words("나빠짐", "worse")),
    "same": ("plain", "●", Words("차이 없음", "no difference")),
    "undecided": ("plain", "●", Words("아직 모름", "not known yet")),
    "within": ("well", "◆", Words("허용 폭 안", "within the margin")),
    "harmed": ("bad", "■", Words("허용 폭을 넘음", "beyond the margin")),
    "blocked": ("warn", "⚠", Words("판정 보류", "no verdict")),
    "": ("plain", "", Words("", "")),
}
"""Finding -> style, sign, words."""

VERDICTS: dict[str, tuple[str, str, Words]] = {
    "HARD STOP": ("bad", "✕", Words("즉시 중단", "Hard stop")),
    "RECOVER": ("well", "↺", Words("회복", "Recovered")),
    "ROLL BACK": ("bad", "✕", Words("되돌림", "Roll back")),
    "HOLD": ("warn", "⚠", Words("보류", "Hold")),
    "WARN": ("warn", "⚠", Words("경고", "Warn")),
    "EXTEND": ("plain", "…", Words("더 지켜봄", "Extend")),
    "PROMOTE": ("well", "✓", Words("통과", "Promote")),
    "INCONCLUSIVE": ("plain", "?", Words("판단 불가", "Inconclusive")),
}
"""What a gate's rule says -> style, sign, words."""


COUNTED: dict[str, Words] = {
    "user": Words("사용자", "user"),
    "tenant": Words("조직", "tenant"),
    "device": Words("기기", "device"),
    "request": Words("요청", "request"),
    "call": Words("호출", "call"),
}
"""What is counted or parted."""


def counted(name: str, lang: Lang) -> str:
    """What is counted, in the page's language; an unknown word as it is."""
    return said(COUNTED[name], lang) if name in COUNTED else name


def said(words: Words, lang: Lang) -> str:
    """In the page's language; where that is empty, in the other."""
    return (words.ko or words.en) if lang == "ko" else (words.en or words.ko)


def say(key: str, lang: Lang) -> str:
    """A label in the page's language."""
    return said(LABELS[key], lang)
