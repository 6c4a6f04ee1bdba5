"""What may be limited: tokens, money or requests, of somebody, in a period.

A *calendar* period begins anew for everybody at once: a minute, an hour, a day, a month of the team's time
zone. A *rolling* minute has no beginning: what was used drains away evenly, as in GCRA, so that a limit a
minute is never used twice around the turn of one.
"""

import hashlib
import re
from datetime import datetime, timedelta, tzinfo

import msgspec

SCOPES = ("everything", "tenant", "user", "key", "model")
MINUTE, HOUR, DAY, MONTH, ROLLING = range(5)
PERIODS = ("minute", "hour", "day", "month", "rolling-minute")
TOKENS, COST, REQUESTS = range(3)
UNITS = ("tokens", "cost", "requests")

ROLLING_S = 60.0
"""Seconds in which a whole rolling limit drains."""

MOST = 10**15
"""The largest limit: a million dollars in nano-dollars. Lua counts exactly to nine times that."""

_PLAIN = re.compile(r"[\w.@+=/-][\w.@+=/: -]{0,63}|")


class Limit(msgspec.Struct, frozen=True):
    """At most `amount` of `unit` in each `period`, counted under `key`."""

    scope: str
    id: str
    period: int
    unit: int
    amount: int
    """Tokens, nano-dollars or requests."""
    key: str
    """The name of the count: of plain characters, and the same in every process and store."""

    @property
    def name(self) -> str:
        """For people: `tokens a day of user kim`."""
        whose = "everything" if self.scope == "everything" else f"{self.scope} {self.id or '(none)'}"
        return f"{UNITS[self.unit]} per {PERIODS[self.period]} of {whose}"


def limit_of(scope: str, id: str, period: int, unit: int, amount: int) -> Limit:
    """The limit and its key; whatever an id holds, the key is short and plain."""
    return Limit(scope, id, period, unit, amount, f"{scope}:{PERIODS[period]}:{UNITS[unit]}:{plain(id)}")


def plain(id: str) -> str:
    """The id where it is short and plain, else `#` and 128 bits of its hash.

    >>> plain("김철수")
    '김철수'
    """
    if _PLAIN.fullmatch(id):
        return id
    return "#" + hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def period_of(key: str) -> int:
    """The period of a count's key."""
    return PERIODS.index(key.split(":", 2)[1])


def window(period: int, now_s: float, zone: tzinfo) -> tuple[int, int]:
    """When the calendar period that holds `now_s` began and when it ends, in epoch seconds."""
    local = datetime.fromtimestamp(now_s, zone)
    if period in (MINUTE, HOUR):
        length = 60 if period == MINUTE else 3600
        offset = int((local.utcoffset() or timedelta()).total_seconds())
        start = int(now_s) - (int(now_s) + offset) % length
        return start, start + length
    if period == DAY:
        first = datetime(local.year, local.month, local.day, tzinfo=zone)
        after = (first.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
    else:
        first = datetime(local.year, local.month, 1, tzinfo=zone)
        after = datetime(local.year + local.month // 12, local.month % 12 + 1, 1, tzinfo=zone)
    return int(first.timestamp()), int(after.timestamp())


class Windows:
    """Where all calendar periods stand now; worked out again only when the next minute begins."""

    __slots__ = ("_until", "_zone", "ends", "starts")

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._until = 0.0
        self.starts = [0, 0, 0, 0]
        """The mark of each period: when the one that is now began, epoch seconds."""
        self.ends = [0, 0, 0, 0]

    def see(self, now_s: float) -> None:
        """Bring `starts` and `ends` up to `now_s`. A clock that steps back begins no period again."""
        if now_s < self._until:
            return
        for period in (MINUTE, HOUR, DAY, MONTH):
            self.starts[period], self.ends[period] = window(period, now_s, self._zone)
        self._until = self.ends[MINUTE]
