from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from holdfast.rooms.jobs.rules.problems import BadSchedule
from holdfast.rooms.jobs.rules.schedules import MOST_CAUGHT_UP, check, due, next_after, set_back


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def utc(stamp_ms: int) -> str:
    return datetime.fromtimestamp(stamp_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def several(cron: str, zone: str, after: str, n: int) -> list[str]:
    found, at_ms = [], ms(after)
    for _ in range(n):
        at_ms = next_after(cron, zone, at_ms)
        found.append(utc(at_ms))
    return found


CASES = [
    ("0 3 * * *", "UTC", "2026-01-01 03:00", ["2026-01-02 03:00"]),
    ("0 3 * * *", "Asia/Seoul", "2026-01-01 00:00", ["2026-01-01 18:00", "2026-01-02 18:00"]),
    ("*/15 * * * *", "UTC", "2026-01-01 00:50", ["2026-01-01 01:00", "2026-01-01 01:15"]),
    ("0 9 * * MON", "UTC", "2026-01-01 00:00", ["2026-01-05 09:00"]),
    # The clocks go forward at 02:00 on 8 March 2026 in New York: half past two does not exist.
    ("30 2 * * *", "America/New_York", "2026-03-08 00:00", ["2026-03-08 07:00", "2026-03-09 06:30"]),
    # They go back on 1 November: half past one comes twice, and the job runs once.
    ("30 1 * * *", "America/New_York", "2026-11-01 00:00", ["2026-11-01 05:30", "2026-11-02 06:30"]),
    # What runs every hour runs in each real hour.
    ("0 * * * *", "America/New_York", "2026-11-01 05:30", ["2026-11-01 06:00", "2026-11-01 07:00"]),
]


@pytest.mark.parametrize(("cron", "zone", "after", "expected"), CASES)
def test_the_next_times(cron, zone, after, expected):
    assert several(cron, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("* * * *", "UTC"),
        ("0 0 3 * * *", "UTC"),
        ("61 * * * *", "UTC"),
        ("0 0 30 2 *", "UTC"),
        ("never", "UTC"),
        ("0 3 * * *", "Mars/Olympus"),
        ("0 3 * * *", "../../etc/passwd"),
        ("0 3 * * *", ""),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_hint(cron, zone):
    with pytest.raises(BadSchedule) as raised:
        check(cron, zone)
    assert raised.value.hint


def at(*times: str) -> tuple[int, ...]:
    return tuple(ms(f"2026-01-01 {time}") for time in times)


@pytest.mark.parametrize(
    ("now", "catch_up", "times"),
    [
        ("00:59:59", "once", ()),
        ("01:00:00", "once", ("01:00",)),
        ("01:00:40", "skip", ("01:00",)),
        ("01:05:00", "skip", ()),
        ("01:05:00", "once", ("01:00",)),
        ("04:30:00", "skip", ()),
        ("04:30:00", "once", ("04:00",)),
        ("04:30:00", "all", ("01:00", "02:00", "03:00", "04:00")),
        ("04:00:05", "skip", ("04:00",)),
    ],
)
def test_what_was_missed_is_made_up_for_as_asked(now, catch_up, times):
    now_ms = ms(f"2026-01-01 {now}")
    found = due("0 * * * *", "UTC", ms("2026-01-01 01:00"), now_ms, catch_up)
    assert found.times_ms == at(*times)
    assert (
        found.next_ms == ms("2026-01-01 01:00")
        if not now_ms >= ms("2026-01-01 01:00")
        else found.next_ms > now_ms
    )


def test_a_year_asleep_is_made_up_for_in_bounds():
    found = due("* * * * *", "Asia/Seoul", ms("2025-01-01"), ms("2026-01-01 00:00:30"), "all")
    assert len(found.times_ms) == MOST_CAUGHT_UP
    assert utc(found.times_ms[-1]) == "2026-01-01 00:00"
    assert utc(found.next_ms) == "2026-01-01 00:01"


def test_a_time_comes_once_though_the_clock_steps_back():
    next_ms = ms("2026-01-01 01:00")
    first = due("0 * * * *", "UTC", next_ms, next_ms + 500)
    assert first.times_ms == (next_ms,)
    assert due("0 * * * *", "UTC", first.next_ms, next_ms - 500).times_ms == ()


@pytest.mark.parametrize(
    ("next_", "last", "now", "expected"),
    [
        ("2027-01-01 01:00", "2027-01-01 00:00", "2026-01-01 00:30", "2026-01-01 01:00"),
        ("2027-01-01 01:00", "2026-01-01 01:00", "2026-01-01 00:59", "2026-01-01 02:00"),
        ("2026-01-01 02:00", "2026-01-01 01:00", "2026-01-01 00:59", None),
        ("2026-01-01 01:00", "2026-01-01 00:00", "2026-01-01 00:30", None),
        ("2026-01-01 01:00", None, "2026-01-01 03:30", None),
    ],
)
def test_a_clock_that_was_ahead_silences_nothing_and_a_small_step_brings_nothing_twice(
    next_, last, now, expected
):
    found = set_back("0 * * * *", "UTC", ms(next_), ms(last) if last else None, ms(now))
    assert (found and utc(found)) == expected
