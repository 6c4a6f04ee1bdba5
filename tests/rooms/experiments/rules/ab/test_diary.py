"""The diary and the looks of an experiment in words."""

import re

import pytest

from holdfast.rooms.experiments.rules.ab.diary import look_of, steps_of
from holdfast.rooms.experiments.rules.ab.lives import Entry, Life
from holdfast.rooms.experiments.rules.flags import Change

HANGUL = re.compile("[가-힣]")


@pytest.mark.parametrize(
    ("what", "detail", "said"),
    [
        ("made", "", "made"),
        ("changed", "", "definition changed"),
        ("planned", "m: 1,000 / +30%", "planned: 1,000 in each version, to find a change of +30% in “m”"),
        ("collecting", "7", "collects the past for 7 days"),
        ("started", "", "started"),
        ("phase", "control 80 %, treatment 20 %", "shares changed: a new phase"),
        ("stopped", "예산", "ended: everybody gets “green”"),
        ("alarm", "srm:1: p = 1e-05, units {}", "alarm: the versions are not filled as planned"),
        ("decided", "green: 비싸서", "decided anew: everybody gets “green”"),
        ("alarm", "harm:green: bought", "alarm: does harm"),
        ("alarm", "harm:2:green:bought: bought", "alarm: does harm"),
        ("alarm", "collecting:experiments-bad-definition: none", "alarm: could not start by itself"),
        ("alarm", "else: more", "alarm"),
    ],
)  # fmt: skip
def test_every_line_is_words_in_both_languages(what, detail, said):
    life = Life(diary=(Entry(5, what, "kim", detail),), decision="green", reason="예산")
    [step] = steps_of(life)
    assert step.what.en == said
    assert HANGUL.search(step.what.ko)
    assert not HANGUL.search(step.what.en)


def test_details_stand_beside_the_words_and_no_code_does():
    diary = (Entry(5, "alarm", "", "harm:green: bought"), Entry(6, "alarm", "", "srm:1: p = 1e-05"))
    assert [step.detail for step in steps_of(Life(diary=diary))] == ["green: bought", "p = 1e-05"]
    [harm] = steps_of(Life(diary=(Entry(5, "alarm", "", "harm:2:green:bought: bought"),)))
    assert harm.detail == "green: bought"
    ended = Life(diary=(Entry(7, "stopped", "kim", "예산"),), reason="예산")
    assert [(step.what.en, step.detail) for step in steps_of(ended)] == [
        ("ended: everybody gets the current version", "예산")
    ]


def test_when_the_flag_was_switched_off_stands_among_the_lines():
    life = Life(diary=(Entry(5, "started", "kim"), Entry(20, "stopped", "kim")))

    def change(at_ms, before, after, kind="flag"):
        return Change(1, kind, "buttons", "lee", at_ms, before, after)

    found = steps_of(
        life,
        [
            change(15, {"enabled": False}, {}),
            change(10, {}, {"enabled": False}),
            change(5, None, {}),
            change(12, {"enabled": False}, {"enabled": False, "phase": 2}),
            change(13, {}, {"enabled": False}, "override"),
        ],
    )
    assert [(step.at_s, step.who) for step in found] == [
        (0.005, "kim"), (0.01, "lee"), (0.015, "lee"), (0.02, "kim"),
    ]  # fmt: skip
    assert found[1].what.en.startswith("switched off")
    assert found[2].what.en == "switched on again"


@pytest.mark.parametrize(
    ("slot", "korean", "english"),
    [
        ("day-2026-11-27", "2026-11-27 자동 확인", "by itself, of 2026-11-27"),
        ("look-3", "3번째 확인", "look 3"),
        ("last", "종료하며 한 확인", "as it was ended"),
    ],
)
def test_what_a_look_was_for(slot, korean, english):
    assert look_of(slot) == type(look_of(slot))(korean, english)
