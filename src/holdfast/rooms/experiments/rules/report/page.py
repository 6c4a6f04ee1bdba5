"""What the pages of a release and of an experiment share: words, figures, a diary.

A report is a struct before it is drawn, and the same struct is the JSON. Data flow: the engines fill a page
(`release_page.py`, `experiment_page.py`) from state, evidence and sums; `words.told` adds the sentence of a
release; `html.py` draws it. A page holds finished figures only: nothing is computed from samples here.

Shapes: shares of units are whole buckets of 10,000, rates are fractions of one, stamps are wall-clock seconds
since the epoch, evidence is a natural logarithm. None stands for "not known" or "without bound": JSON has
neither NaN nor infinity. Every part with a default may be left out, and is then not drawn.
"""

import msgspec

from holdfast.rooms.experiments.rules.flags import BUCKETS

VERSION = 1
"""Of the JSON: raised when a field changes its meaning."""


class Words(msgspec.Struct, frozen=True):
    """One thing said in Korean and in English."""

    ko: str = ""
    en: str = ""


class Figure(msgspec.Struct, frozen=True):
    """A value and how sure it is."""

    value: float | None = None
    low: float | None = None
    """None: unknown, or without bound on this side."""
    high: float | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the diary: who did what, and when. `who` is empty where the room itself did."""

    at_s: float
    what: Words
    who: str = ""
    detail: str = ""
    why: Words = Words()
    """Where the room itself did: on what it rests."""


class Clock(msgspec.Struct, frozen=True):
    """In whose hours stamps are written."""

    zone: str = "UTC"
    offset_s: int = 0


def percent(share: int) -> float:
    """Buckets as a percentage: 500 is 5.0."""
    return share * 100 / BUCKETS
