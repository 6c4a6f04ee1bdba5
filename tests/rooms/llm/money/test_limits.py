from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.limits import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    PERIODS,
    ROLLING,
    SCOPES,
    UNITS,
    Windows,
    limit_of,
    period_of,
    plain,
    window,
)

SEOUL, NEW_YORK, KATHMANDU = ZoneInfo("Asia/Seoul"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Kathmandu")


def at(zone, *parts):
    return datetime(*parts, tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("period", "zone", "now", "start", "end"),
    [
        (DAY, UTC, (2026, 11, 27, 15, 46), (2026, 11, 27), (2026, 11, 28)),
        (DAY, SEOUL, (2026, 11, 27, 0, 0), (2026, 11, 27), (2026, 11, 28)),
        (DAY, NEW_YORK, (2026, 3, 8, 12), (2026, 3, 8), (2026, 3, 9)),
        (DAY, NEW_YORK, (2026, 11, 1, 23), (2026, 11, 1), (2026, 11, 2)),
        (MONTH, SEOUL, (2026, 12, 31, 23, 59), (2026, 12, 1), (2027, 1, 1)),
        (MONTH, UTC, (2028, 2, 29), (2028, 2, 1), (2028, 3, 1)),
        (HOUR, KATHMANDU, (2026, 11, 27, 9, 59), (2026, 11, 27, 9), (2026, 11, 27, 10)),
        (MINUTE, SEOUL, (2026, 11, 27, 9, 59, 59), (2026, 11, 27, 9, 59), (2026, 11, 27, 10)),
    ],
)
def test_where_a_period_begins_and_ends(period, zone, now, start, end):
    assert window(period, at(zone, *now), zone) == (at(zone, *start), at(zone, *end))


def test_days_that_are_longer_or_shorter_by_an_hour():
    start, end = window(DAY, at(NEW_YORK, 2026, 3, 8, 12), NEW_YORK)
    assert end - start == 23 * 3600
    start, end = window(DAY, at(NEW_YORK, 2026, 11, 1, 12), NEW_YORK)
    assert end - start == 25 * 3600


@given(
    st.integers(0, 4_000_000_000),
    st.sampled_from([UTC, SEOUL, NEW_YORK, KATHMANDU]),
    st.sampled_from([MINUTE, HOUR, DAY, MONTH]),
)
def test_every_moment_is_in_its_period_and_the_next_begins_where_it_ends(now, zone, period):
    start, end = window(period, now, zone)
    assert start <= now < end
    assert window(period, end, zone)[0] == end
    assert window(period, end - 1, zone) == (start, end)


def test_a_clock_that_steps_back_begins_no_period_again():
    windows = Windows(UTC)
    windows.see(at(UTC, 2026, 11, 28, 0, 0, 1))
    windows.see(at(UTC, 2026, 11, 27, 23, 59))
    assert windows.starts[DAY] == at(UTC, 2026, 11, 28)


@given(st.text(max_size=100), st.text(max_size=100))
def test_each_id_has_a_key_of_its_own(one, other):
    key = limit_of("user", one, DAY, 0, 1).key
    assert (key == limit_of("user", other, DAY, 0, 1).key) == (one == other)
    assert len(key) <= 100
    assert key.isprintable()


def test_korean_is_plain():
    assert plain("김철수@서울.kr") == "김철수@서울.kr"
    assert plain("#x").startswith("#")
    assert plain("#x") != "#x"


def test_a_key_says_its_period():
    for scope in SCOPES:
        for period in range(len(PERIODS)):
            for unit in range(len(UNITS)):
                assert period_of(limit_of(scope, "a:b", period, unit, 1).key) == period
    assert period_of(limit_of("key", "k", ROLLING, 0, 1).key) == ROLLING
