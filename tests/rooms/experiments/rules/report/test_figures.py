"""How figures are written."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.report import figures
from holdfast.rooms.experiments.rules.report.page import Clock, Figure


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0, "0"),
        (12_345.6, "12,346"),
        (123.45, "123.5"),
        (1.234, "1.23"),
        (0.0123, "0.012"),
        (-3.0, "−3"),
        (0.00005, "0.00005"),
        (1e15, "1.00e+15"),
        (1e-9, "1.00e-09"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (-0.0, "0"),
    ],
)
def test_a_number_has_as_many_digits_as_help(value, wanted):
    assert figures.number(value) == wanted


@pytest.mark.parametrize(
    ("value", "signed", "wanted"),
    [
        (0.0123, False, "1.23 %"),
        (0.0005, False, "0.050 %"),
        (0.25, False, "25.0 %"),
        (0.041, True, "+4.10 %"),
        (-0.12, True, "−12.0 %"),
        (0.0, True, "0 %"),
        (1.0, False, "100 %"),
        (None, True, "–"),
    ],
)
def test_a_share_is_written_in_percent(value, signed, wanted):
    assert figures.percent(value, signed) == wanted


@pytest.mark.parametrize(
    ("figure", "wanted"),
    [
        (Figure(0.1, 0.05, 0.15), "5.00 % … 15.0 %"),
        (Figure(0.1, None, 0.15), "−∞ … 15.0 %"),
        (Figure(0.1, 0.05), "5.00 % … ∞"),
        (Figure(0.1), ""),
    ],
)
def test_an_interval_says_which_side_is_open(figure, wanted):
    assert figures.interval(figure) == wanted


@pytest.mark.parametrize(
    ("seconds", "english", "korean"),
    [
        (0, "0 s", "0초"),
        (59.6, "1 min", "1분"),
        (3_661, "1 h 1 min", "1시간 1분"),
        (200_000, "2 d 7 h", "2일 7시간"),
        (-5, "0 s", "0초"),
        (None, "–", "–"),
    ],
)
def test_a_duration_is_said_in_two_words(seconds, english, korean):
    assert figures.duration(seconds) == english
    assert figures.duration(seconds, korean=True) == korean


def test_a_stamp_is_in_the_hours_of_the_page():
    assert figures.stamp(0.0, Clock()) == "1970-01-01 00:00"
    assert figures.stamp(0.0, Clock("Asia/Seoul", 32_400), seconds=True) == "1970-01-01 09:00:00"


@given(st.one_of(st.none(), st.floats()), st.integers(-50_400, 50_400))
def test_no_figure_fails_and_none_is_written_as_nan(value, offset):
    written = [
        figures.number(value),
        figures.percent(value, signed=True),
        figures.stamp(value, Clock("x", offset)),
        figures.duration(value),
        figures.times(value),
        figures.of_scale(value, "seconds"),
        figures.interval(Figure(value, value, value)),
    ]
    assert not [text for text in written if "nan" in text or "inf" in text]
