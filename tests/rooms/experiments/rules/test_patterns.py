"""No pattern that is let through can take long."""

import re

import pytest

from holdfast.rooms.experiments.rules.patterns import LONGEST_MATCHED, pattern_fault

GOOD = [
    "^a[0-9]+$",
    r"@(naver|kakao)\.com$",
    "^v?1",
    "[^]]x",
    r"[\]a]+",
    "a{3}",
    "(?:ab)?c",
    "한국.*",
    "{x}",
    "x{a}",
    "a|b|c",
]
BAD = [
    ("(a+)+$", "repeats"),
    ("(a|b)*c", "repeats"),
    ("(?:a{1,5}){2,}", "repeats"),
    ("((a+))*", "repeats"),
    (".*.*.*x", "at most 2"),
    ("(a|a)" * 30 + "b", "too many"),
    ("a?" * 30 + "a" * 30, "too many"),
    (r"(a)\1", "back"),
    ("(?=a)b", "groups"),
    ("(?i)a", "groups"),
    ("(a", "not a regular expression"),
    ("[a", "not a regular expression"),
    ("a" * 300, "characters"),
    (5, "text"),
]


@pytest.mark.parametrize("pattern", GOOD)
def test_ordinary_patterns_are_taken(pattern):
    assert pattern_fault(pattern) == ""


@pytest.mark.parametrize(("pattern", "why"), BAD)
def test_what_could_take_long_is_refused_with_the_reason(pattern, why):
    assert why in pattern_fault(pattern)


@pytest.mark.parametrize("pattern", ["[a-z]*[a-z]*1$", "(a|a)?a*1", ".*a.*1"])
def test_the_worst_that_is_taken_ends(pattern):
    assert pattern_fault(pattern) == ""
    assert re.search(pattern, "a" * LONGEST_MATCHED) is None
