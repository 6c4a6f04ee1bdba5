"""Hashed n-grams: the same everywhere, near for near spellings, of length 1 whatever comes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.vectors import LARGEST, MAX_CHARS, SMALLEST, cosine, token_vector, vector


@given(st.text(max_size=80), st.sampled_from([SMALLEST, 512, LARGEST]))
def test_every_text_has_a_direction(text, dimensions):
    found = vector(text, dimensions)
    assert len(found) == dimensions
    assert math.sqrt(sum(value * value for value in found)) == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["", " \n", "\ud800", "\0", "!!", "한\udfff"])
def test_odd_texts_have_a_direction_too(text):
    assert cosine(vector(text), vector(text)) == pytest.approx(1.0)


def test_the_numbers_are_the_same_on_every_machine():
    found = vector("서울의 날씨", 64)
    assert {at: round(value, 6) for at, value in enumerate(found) if value} == {
        1: -0.258199,
        4: -0.258199,
        18: -0.258199,
        20: 0.258199,
        23: 0.258199,
        30: 0.258199,
        32: 0.258199,
        36: 0.258199,
        40: 0.258199,
        41: 0.258199,
        46: -0.258199,
        47: 0.258199,
        51: 0.258199,
        53: 0.258199,
        54: -0.258199,
    }


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("서울의 날씨", "서울에 날씨", "비밀번호 재설정"),
        ("비밀번호를 재설정하려면", "비밀번호 재설정 방법", "오늘 서울 날씨"),
        ("reset my password", "resetting passwords", "weather in Seoul"),
        ("recieve the parcel", "receive the parcel", "open the window"),
    ],
)
def test_near_spellings_are_near(text, near, far):
    asked = vector(text)
    assert cosine(asked, vector(near)) > cosine(asked, vector(far)) + 0.2


def test_an_opposite_is_near_as_well_so_that_a_threshold_alone_is_wrong():
    on = vector("turn on dark mode")
    assert cosine(on, vector("turn off dark mode")) > cosine(on, vector("enable the dark theme"))


def test_forms_of_one_text_are_one():
    assert vector("한글 ABC") == vector("\u1112\u1161\u11ab\u1100\u1173\u11af ａｂｃ")


def test_only_the_beginning_of_a_long_text_is_read():
    assert vector("가나 " * MAX_CHARS) == vector("가나 " * (MAX_CHARS // 3) + "가나")


def test_texts_in_a_tokenizers_numbers():
    assert cosine(token_vector([5, 6, 7]), token_vector([5, 6, 7, 8])) > 0.7
    assert abs(cosine(token_vector([5, 6, 7]), token_vector([15, 16, 17]))) < 0.2
    assert cosine(token_vector([]), token_vector([])) == pytest.approx(1.0)
