"""What a verdict and its reasons are called, in each language. No word of statistics is among them.

Names in braces: `words.py` gives each as a number, as a percentage and with its unit. Korean puts the
names of arms and metrics before a fixed noun, so that no particle hangs on how a name ends.
"""

HEADS: dict[str, dict[str, str]] = {
    "en": {
        "blocked": (
            "Do not read these results: {people} did not reach the versions in the planned proportions."
        ),
        "too-early": "It is too early to say anything.",
        "keep-going": "Keep the experiment running.",
        "ship": "Ship “{arm}”.",
        "do-not-ship": "Do not ship “{arm}”.",
        "harm": "Stop: “{arm}” does harm.",
        "harm at the end": "Do not ship “{arm}”: it does harm.",
        "no-difference": "The versions do not differ by an amount worth acting on. Keep the simpler one.",
        "inconclusive": "The experiment is over without a clear answer.",
    },
    "ko": {
        "blocked": "이 결과는 보지 마세요. {people} 배분이 계획한 비율과 다릅니다.",
        "too-early": "아직 판단하기에 이릅니다.",
        "keep-going": "실험을 계속하세요.",
        "ship": "‘{arm}’ 안을 출시하세요.",
        "do-not-ship": "‘{arm}’ 안을 출시하지 마세요.",
        "harm": "중단하세요. ‘{arm}’ 안이 해를 끼치고 있습니다.",
        "harm at the end": "‘{arm}’ 안을 출시하지 마세요. 해를 끼쳤습니다.",
        "no-difference": "안 사이의 차이는 조치할 만큼 크지 않습니다. 더 단순한 쪽을 유지하세요.",
        "inconclusive": "실험이 끝났지만 뚜렷한 결론이 나지 않았습니다.",
    },
}
"""Language -> decision -> what to do."""
SENTENCES: dict[str, dict[str, str]] = {
    "en": {
        "sample-ratio": (
            "Something loses or adds {people} in one of the versions; find it before anything is decided."
        ),
        "no-data": "Nothing has been measured of “{metric}” for “{arm}”.",
        "few-units": "The smallest version has {units_named}; at least {least} are needed.",
        "no-primary": "It has no main metric, so there is nothing to decide by.",
        "better": (
            "“{metric}” improves: {effect} against the current version, most likely between {from_} and {to}."
        ),
        "worse": (
            "“{metric}” gets worse: {effect} against the current version, most likely between {from_} "
            "and {to}."
        ),
        "other-worse": "Beware: “{arm}” makes “{metric}” worse ({effect}). Stop it.",
        "guardrail-broken": "“{metric}” is worse than is allowed: {effect} against the current version.",
        "guardrail-open": (
            "It is not certain that “{metric}” stays within what is allowed: its difference from the "
            "current version may lie between {from_} and {to}."
        ),
        "guardrail-holds": "“{metric}” stays within what is allowed.",
        "too-small": (
            "“{metric}” of “{arm}” differs from the current version by something between {from_} and {to}; "
            "a change of {least_percent} was worth finding."
        ),
        "unclear": (
            "“{metric}” of “{arm}” may differ from the current version by anything between {from_} and {to}."
        ),
        "under-way": "{information_percent} of the planned {people} are there; nothing stands out yet.",
        "stopped-early": (
            "It was stopped at {information_percent} of the planned {people}, so only a difference that "
            "stands out this early counts."
        ),
        "wears-off": (
            "Beware: the effect of “{arm}” on “{metric}” wears off, from {first_percent} in the first "
            "days of {people} to {later_percent} later."
        ),
        "strata-disagree": (
            "Beware: the versions got their {people} at different times of the week; compared at the "
            "same times, “{metric}” of “{arm}” looks different."
        ),
        "secondary-worse": "Beware: “{metric}” of “{arm}” gets worse ({effect}).",
        "mixed": (
            "Left out: {units_named} ({share_percent}) that saw several versions, or came before the "
            "proportions were changed."
        ),
    },
    "ko": {
        "sample-ratio": (
            "한쪽 안에서 {people} 일부가 빠지거나 더해지고 있습니다. 원인을 찾기 전에는 판단하지 마세요."
        ),
        "no-data": "‘{arm}’ 안에서 ‘{metric}’ 지표가 아직 측정되지 않았습니다.",
        "few-units": "가장 적은 안의 {people} 수가 {units}입니다. {least} 이상이 필요합니다.",
        "no-primary": "핵심 지표가 없어 판단할 기준이 없습니다.",
        "better": (
            "‘{metric}’ 지표가 좋아졌습니다. 현재 안 대비 {effect}, 실제 값은 {from_}에서 {to} 사이로 "
            "보입니다."
        ),
        "worse": (
            "‘{metric}’ 지표가 나빠졌습니다. 현재 안 대비 {effect}, 실제 값은 {from_}에서 {to} 사이로 "
            "보입니다."
        ),
        "other-worse": "주의: ‘{arm}’ 안에서 ‘{metric}’ 지표가 나빠졌습니다({effect}). 그 안은 중단하세요.",
        "guardrail-broken": "‘{metric}’ 지표가 허용 범위보다 나빠졌습니다. 현재 안 대비 {effect}입니다.",
        "guardrail-open": (
            "‘{metric}’ 지표가 허용 범위 안인지 확실하지 않습니다. 현재 안 대비 {from_}에서 {to} 사이일 수 "
            "있습니다."
        ),
        "guardrail-holds": "‘{metric}’ 지표는 허용 범위 안에 있습니다.",
        "too-small": (
            "‘{arm}’ 안의 ‘{metric}’ 지표는 현재 안 대비 {from_}에서 {to} 사이입니다. 찾으려던 변화의 크기는 "
            "{least_percent}입니다."
        ),
        "unclear": (
            "‘{arm}’ 안의 ‘{metric}’ 지표는 현재 안 대비 {from_}에서 {to} 사이 어디든 될 수 있습니다."
        ),
        "under-way": "계획한 {people}의 {information_percent}가 모였고, 아직 눈에 띄는 차이는 없습니다.",
        "stopped-early": (
            "계획한 {people}의 {information_percent}에서 중단했으므로, 이만큼 이른 시점에도 뚜렷한 차이만 "
            "인정합니다."
        ),
        "wears-off": (
            "주의: ‘{metric}’ 지표에 대한 ‘{arm}’ 안의 효과가 줄고 있습니다. {people}의 첫 며칠에는 "
            "{first_percent}, 이후에는 {later_percent}입니다."
        ),
        "strata-disagree": (
            "주의: 안마다 {people}의 유입 요일과 시간대가 다릅니다. 같은 시간대끼리 비교하면 ‘{arm}’ "
            "안의 ‘{metric}’ 지표가 다르게 나타납니다."
        ),
        "secondary-worse": "주의: ‘{arm}’ 안에서 ‘{metric}’ 지표가 나빠졌습니다({effect}).",
        "mixed": (
            "여러 안을 보았거나 비율이 바뀌기 전에 온 {units_named}({share_percent}) 몫은 제외했습니다."
        ),
    },
}
"""Language -> code of a reason -> why."""
PEOPLE = {
    "en": {"user": "users", "tenant": "tenants", "device": "devices"},
    "ko": {"user": "사용자", "tenant": "고객사", "device": "기기"},
}
"""Whom units are called."""
COUNTED = {
    "en": {"user": "{} users", "tenant": "{} tenants", "device": "{} devices"},
    "ko": {"user": "사용자 {}명", "tenant": "고객사 {}곳", "device": "기기 {}대"},
}
"""So many of them."""
ONE = {"user": "1 user", "tenant": "1 tenant", "device": "1 device"}
"""A single one of them, in English."""
