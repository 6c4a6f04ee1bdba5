"""How segments are named, when one is full, and where a torn one ends."""

import re
from datetime import UTC, datetime

HOT = ".jsonl"
PACKED = ".jsonl.gz"
PARQUET = ".parquet"

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def next_stamp_ms(last_ms: int, wall_s: float) -> int:
    """The stamp of the next segment: the wall clock, but never at or before the last one.

    A clock stepped back an hour must not sort new segments before the ones already written, so the
    stamp then creeps a millisecond a segment until the clock has caught up.
    """
    return max(last_ms + 1, int(wall_s * 1000))


def segment_name(stamp_ms: int, unique: str) -> str:
    """The file's name: it sorts by stamp, says the time to a reader, and `unique` keeps processes apart.

    >>> segment_name(1750000000250, "06axq")
    '20250615T150640250Z-06axq.jsonl'
    """
    moment = datetime.fromtimestamp(stamp_ms // 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{stamp_ms % 1000:03d}Z-{unique}{HOT}"


def stem_of(name: str) -> str:
    """What stays the same while a segment moves from hot to sealed to Parquet."""
    return name.partition(".")[0]


def day_of(name: str) -> str:
    """The day a segment was opened, `YYYY-MM-DD`; empty when the name is not one of ours."""
    day = f"{name[:4]}-{name[4:6]}-{name[6:8]}"
    return day if is_day(day) else ""


def is_day(text: str) -> bool:
    """Whether `text` can be a day's folder: digits only, so no stamp can lead a path elsewhere."""
    return _DAY.fullmatch(text) is not None and text.isascii()


def is_due(size_bytes: int, age_s: float, *, max_bytes: int, max_age_s: float) -> bool:
    """Whether a segment has grown big or old enough to be sealed; an empty one never has."""
    return size_bytes > 0 and (size_bytes >= max_bytes or age_s >= max_age_s)


def whole_length(block: bytes) -> int:
    """How much of `block` is whole lines; what follows is the torn start of one."""
    return block.rfind(b"\n") + 1
