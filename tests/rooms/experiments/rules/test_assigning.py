"""Buckets are the same for ever, even, and tell nothing of another flag's."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.assigning import LONGEST_UNIT, BadUnit, buckets, normalise
from holdfast.rooms.experiments.rules.flags import ALGORITHM, BUCKETS

FROZEN = [
    ("", "", 9996),
    ("", "1", 4764),
    ("salt", "1", 2778),
    ("salt", "2", 9165),
    ("9f8a6c1d2e3b4a50", "user-42", 3786),
    ("9f8a6c1d2e3b4a50", "김민수", 5880),
    ("new-ranker", "a@example.com", 2891),
    ("a", "bc", 3839),
    ("ab", "c", 5863),
]


@pytest.mark.parametrize(("salt", "unit", "expected"), FROZEN)
def test_a_bucket_never_changes_under_its_algorithm(salt, unit, expected):
    assert ALGORITHM == "sha256-1"
    assert buckets(salt)(unit) == expected


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (1, "1"),
        ("1", "1"),
        (" 1\n", "1"),
        (-5, "-5"),
        (None, ""),
        ("", ""),
        ("  ", ""),
        (unicodedata.normalize("NFD", "김민수"), "김민수"),
        ("é", "é"),
        ("user 1", "user 1"),
    ],
)
def test_units_that_are_one_are_one_text(unit, text):
    assert normalise(unit) == text


@pytest.mark.parametrize(
    "unit",
    [
        True,
        False,
        1.0,
        float("nan"),
        b"1",
        ["1"],
        {},
        "a\x00b",
        "a\nb",
        "\ud800",
        "x" * (LONGEST_UNIT + 1),
        1 << 300,
    ],
)
def test_what_is_no_id_is_refused(unit):
    with pytest.raises(BadUnit):
        normalise(unit)


@given(st.text(max_size=40))
def test_normalising_twice_is_normalising_once(text):
    try:
        once = normalise(text)
    except BadUnit:
        return
    assert normalise(once) == once == normalise(unicodedata.normalize("NFD", text))


@given(st.integers(min_value=-(10**20), max_value=10**20))
def test_a_number_and_its_text_are_one_unit(number):
    assert normalise(number) == normalise(str(number))


def test_the_separator_keeps_salt_and_unit_apart():
    assert [buckets("a")(f"bc{n}") for n in range(50)] != [buckets("ab")(f"c{n}") for n in range(50)]


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_bucket_is_one_of_them(salt, unit):
    assert (
        0
        <= buckets(salt.encode("utf-8", "ignore").decode())(unit.encode("utf-8", "ignore").decode())
        < BUCKETS
    )


def test_two_flags_part_sequential_ids_independently_and_evenly():
    """200,000 ids: |r| of unrelated buckets has a standard error of 0.0022."""
    n = 200_000
    one = list(map(buckets("experiment-1"), map(str, range(n))))
    two = list(map(buckets("experiment-2"), map(str, range(n))))
    assert abs(_correlation(one, two)) < 0.01
    tenths = [0] * 10
    for at in one:
        tenths[at * 10 // BUCKETS] += 1
    expected = n / 10
    # The 99.99th percentile of chi-square with 9 degrees of freedom.
    assert sum((found - expected) ** 2 / expected for found in tenths) < 33.7


def _correlation(one, two):
    n = len(one)
    mean_one, mean_two = sum(one) / n, sum(two) / n
    covariance = sum((a - mean_one) * (b - mean_two) for a, b in zip(one, two, strict=True))
    spread_one = sum((a - mean_one) ** 2 for a in one)
    spread_two = sum((b - mean_two) ** 2 for b in two)
    return covariance / (spread_one * spread_two) ** 0.5
