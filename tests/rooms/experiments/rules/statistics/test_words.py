import re
from typing import get_args

import pytest

from holdfast.rooms.experiments.rules.flags import UnitKind
from holdfast.rooms.experiments.rules.statistics import words
from holdfast.rooms.experiments.rules.statistics.results import Decision, Reason
from holdfast.rooms.experiments.rules.statistics.sentences import COUNTED, HEADS, ONE, PEOPLE, SENTENCES

FIGURES = {
    "absolute": 0.5, "low": -0.1, "high": 1.1, "relative": 0.05, "relative_low": -0.01, "relative_high": 0.11,
    "units": 1234.0, "least": 0.02, "share": 0.01, "information": 0.42, "first": 0.4,
    "later": 0.05, "margin": 1.0,
    "p": 0.0001,
}  # fmt: skip
JARGON = re.compile(
    r"p\s*[<=]|p-value|p값|signific|유의|null|귀무|confidence|신뢰|hypothes|"
    r"가설|alpha|sigma|표준|standard|SRM|CUPED|variance|분산",
    re.IGNORECASE,
)


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_decision_and_unit_has_its_words(language):
    assert set(HEADS[language]) == {*get_args(Decision), "harm at the end"}
    assert set(PEOPLE[language]) == set(COUNTED[language]) == set(ONE) == set(get_args(UnitKind))


@pytest.mark.parametrize("code", SENTENCES["en"])
@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_reason_is_a_sentence_without_jargon(language, code):
    said = words.sentence(Reason(code, "spend", "b", FIGURES), language)
    assert not JARGON.search(said)
    assert "{" not in said
    assert said.endswith(".")
    assert bool(re.search("[가-힣]", said)) == (language == "ko")


def test_both_languages_have_the_same_reasons():
    assert list(SENTENCES["en"]) == list(SENTENCES["ko"])


def test_a_single_unit_is_one():
    few = Reason("few-units", figures={"units": 1.0, "least": 100.0})
    assert words.sentence(few, "en") == "The smallest version has 1 user; at least 100 are needed."
    assert words.sentence(few, "ko").startswith("가장 적은 안의 사용자 수가 1입니다.")


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_no_decision_is_jargon(language):
    assert not any(JARGON.search(head) for head in HEADS[language].values())


def test_sentences_as_they_are_read():
    better = Reason("better", "구매율", "b", FIGURES)
    assert words.sentence(better, "en") == (
        "“구매율” improves: +5% against the current version, most likely between -1% and +11%."
    )
    assert words.sentence(better, "ko") == (
        "‘구매율’ 지표가 좋아졌습니다. 현재 안 대비 +5%, 실제 값은 -1%에서 +11% 사이로 보입니다."
    )
    unclear = Reason("unclear", "구매율", "b", {"absolute": 0.001, "low": -0.016, "high": 0.006})
    assert words.sentence(unclear, "en") == (
        "“구매율” of “b” may differ from the current version by anything between -0.016 and +0.006."
    )
    small = Reason("too-small", "구매율", "b", FIGURES)
    assert words.sentence(small, "en").startswith(
        "“구매율” of “b” differs from the current version by something between -1% and +11%;"
    )
    assert words.sentence(small, "ko").startswith("‘b’ 안의 ‘구매율’ 지표는 현재 안 대비 -1%에서 +11% 사이")
    mixed = Reason("mixed", figures={"units": 1234.0, "share": 0.012})
    assert words.sentence(mixed, "en", "device") == (
        "Left out: 1,234 devices (1.2%) that saw several versions, or came before the proportions were "
        "changed."
    )
    for unit, counted in (("device", "기기 1,234대"), ("user", "사용자 1,234명")):
        assert words.sentence(mixed, "ko", unit) == (
            f"여러 안을 보았거나 비율이 바뀌기 전에 온 {counted}(1.2%) 몫은 제외했습니다."
        )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0%"), (0.00043, "0.043%"), (0.032, "3.2%"), (0.12, "12%"), (-0.05, "-5%"), (12.0, "1,200%"),
     (0.0996, "10%"), (1e-9, "1e-07%")],
)  # fmt: skip
def test_percentages(value, text):
    assert words.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234567.8, "1,234,568"), (12.345, "12.3"),
     (0.00012, "0.00012"), (1.5e-6, "1.5e-06"), (-3.0, "-3")],
)  # fmt: skip
def test_numbers(value, text):
    assert words.number(value) == text
