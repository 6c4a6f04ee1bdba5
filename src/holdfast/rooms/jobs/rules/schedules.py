"""When recurring jobs are due: cron expressions in a time zone, and what was missed.

Daylight saving as in Debian's cron: a job at a fixed time that the clocks skip runs right after the gap, one
in the hour that comes twice runs once; jobs by the hour or more often follow the real time.
"""

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from holdfast.rooms.jobs.rules.problems import BadSchedule

MOST_CAUGHT_UP = 100
"""Times made up for by `all`; of more that were missed, the newest."""
ON_TIME_MS = 60_000
"""So late a time is not missed: a poll, a restart."""

_STEP_MS = 86_400_000


class Due(msgspec.Struct, frozen=True):
    """What a schedule is to do now: the times to enqueue for, oldest first, and when to look again."""

    times_ms: tuple[int, ...]
    next_ms: int


def check(cron: str, zone: str) -> None:
    """Raises BadSchedule, with a hint, for an expression or a zone that cannot be kept."""
    next_after(cron, zone, 0)


def next_after(cron: str, zone: str, after_ms: int) -> int:
    """The first time later than `after_ms`, milliseconds since the epoch."""
    found = next(_times(cron, zone, after_ms, reverse=False), None)
    if found is None:
        raise BadSchedule(f"the schedule {cron!r} never comes", hint="is there such a day?")
    return found


def due(cron: str, zone: str, next_ms: int, now_ms: int, catch_up: str = "once") -> Due:
    """What is due at `now_ms` of a schedule whose next time was `next_ms`.

    Times that nobody was there for are made up for as `catch_up` says: `skip` none of them, `once` the
    newest, `all` each of the last 100. The clock may have stepped back: then nothing is due, and nothing
    comes twice.
    """
    if now_ms < next_ms:
        return Due((), next_ms)
    most = MOST_CAUGHT_UP if catch_up == "all" else 1
    # Backwards from now: a schedule of every minute that slept for a year has half a million times.
    backwards = _times(cron, zone, now_ms + 1000, reverse=True)
    missed = [at for at in islice(backwards, most + 1) if next_ms <= at <= now_ms][:most]
    if catch_up == "skip":
        missed = [at for at in missed if now_ms - at <= ON_TIME_MS]
    return Due(tuple(reversed(missed)), next_after(cron, zone, now_ms))


def set_back(cron: str, zone: str, next_ms: int, last_ms: int | None, now_ms: int) -> int | None:
    """The next time of a schedule whose clock jumped ahead and came back; None when it is as it should be.

    A last time that lies at most a day ahead was kept, so that after a small step nothing comes twice.
    """
    kept = last_ms is not None and now_ms < last_ms <= now_ms + _STEP_MS
    should_ms = next_after(cron, zone, last_ms if kept and last_ms is not None else now_ms)
    return should_ms if should_ms < next_ms else None


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadSchedule(
            f"there is no time zone {name[:60]!r}",
            hint="write a name like Asia/Seoul or UTC; where the system has none, install tzdata",
        ) from None


def _times(cron: str, zone: str, from_ms: int, *, reverse: bool) -> "map[int]":
    if len(cron.split()) != 5:
        raise BadSchedule(f"the schedule {cron[:60]!r} has not five fields", hint=_FIELDS)
    place = UTC if zone == "UTC" else zone_of(zone)
    try:
        found = CronSim(cron, datetime.fromtimestamp(from_ms // 1000, place), reverse=reverse)
    except CronSimError as error:
        raise BadSchedule(f"the schedule {cron[:60]!r}: {error}", hint=_FIELDS) from None
    return map(_stamp, found)


def _stamp(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


_FIELDS = "write minute, hour, day of month, month and weekday: `0 3 * * *` is three in the morning"
