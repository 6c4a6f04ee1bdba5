from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.telemetry.rules.segments import (
    day_of,
    is_day,
    is_due,
    next_stamp_ms,
    segment_name,
    stem_of,
    whole_length,
)

WALL_S = st.floats(min_value=0, max_value=4e9)


def test_a_name_says_when_and_sorts_by_it():
    names = [segment_name(ms, "z") for ms in (1_750_000_000_250, 1_750_000_000_251, 1_750_000_001_000)]
    assert names[0] == "20250615T150640250Z-z.jsonl"
    assert names == sorted(names)


def test_the_day_is_read_off_the_name():
    name = segment_name(1_750_000_000_250, "z")
    assert day_of(name) == "2025-06-15"
    assert day_of("notes.txt") == ""


def test_the_stem_stays_through_every_form():
    stem = "20250615T150640250Z-z"
    assert {stem_of(stem + end) for end in (".jsonl", ".jsonl.gz", ".parquet", ".sieved.partial")} == {stem}


def test_a_clock_stepped_back_an_hour_keeps_the_order():
    first = next_stamp_ms(0, 1_750_000_000.0)
    second = next_stamp_ms(first, 1_750_000_000.0 - 3600)
    third = next_stamp_ms(second, 1_750_000_000.0 + 5)
    assert first < second < third
    assert second - first == 1
    assert third == 1_750_000_005_000


@given(st.lists(WALL_S, min_size=2, max_size=50))
def test_stamps_of_one_process_always_rise_whatever_its_clock_does(walls: list[float]):
    stamps, last = [], 0
    for wall_s in walls:
        last = next_stamp_ms(last, wall_s)
        stamps.append(last)
    assert all(first < second for first, second in pairwise(stamps))
    names = [segment_name(stamp, "z") for stamp in stamps]
    assert names == sorted(names)


def test_only_a_segment_with_something_in_it_falls_due():
    limits = {"max_bytes": 100, "max_age_s": 10.0}
    assert not is_due(0, 1e9, **limits)
    assert not is_due(99, 9.9, **limits)
    assert is_due(100, 0.0, **limits)
    assert is_due(1, 10.0, **limits)


def test_a_day_is_digits_and_nothing_that_leads_a_path_away():
    assert is_day("2025-06-15")
    for text in ("", "2025-6-15", "../../etc/", "2025-06-1٥", "2025-06-15/", "2025-06-15\n"):
        assert not is_day(text)


@given(st.binary())
def test_what_is_whole_ends_with_a_newline_and_what_is_left_has_none(block: bytes):
    whole = whole_length(block)
    assert whole == 0 or block[whole - 1 : whole] == b"\n"
    assert b"\n" not in block[whole:]
