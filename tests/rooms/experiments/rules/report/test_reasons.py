"""Why a release took a step, in both languages."""

from typing import get_args

import pytest

from holdfast.rooms.experiments.rules.canary.verdicts import Verdict, Why
from holdfast.rooms.experiments.rules.report.page import Words
from holdfast.rooms.experiments.rules.report.reasons import WHYS, reason

COUNTS = {"treatment_n": 4475.0, "treatment_bad": 5.0, "control_n": 4520.0, "control_bad": 0.0}


def test_every_why_has_its_words():
    assert set(WHYS) == set(get_args(Why))
    assert all(words.ko and words.en for words in WHYS.values())


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (
            Verdict(kind="ROLL_BACK", why="worse_than_baseline", gate="errors", numbers=COUNTS),
            Words(
                "기존 버전보다 나쁨 (errors): 새 버전 4,475건 중 5건, 기존 버전 4,520건 중 0건",
                "worse than the old version (errors): "
                "5 of 4,475 in the new version, 0 of 4,520 in the old one",
            ),
        ),
        (
            Verdict(kind="HARD_STOP", why="crash", numbers={"users": 5.0}),
            Words(
                "새 버전만 모두 실패: 1분 동안 사용자 5명이 실패하고 성공은 없음",
                "only the new version failed throughout: 5 users failed within a minute and none succeeded",
            ),
        ),
        (Verdict(kind="PROMOTE", why="passed"), Words("모든 조건 통과", "everything passed")),
    ],
)
def test_a_reason_says_its_numbers(verdict, words):
    assert reason(verdict) == words
