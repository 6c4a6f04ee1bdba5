"""How long a release has been in its stage, without comparing clocks of processes.

The row holds the time that turns have added up. Each process carries it on by its own monotonic clock from
look to look, and takes the row's figure where that is more. So time never runs faster than the fastest
process says, never steps back, and a time in which nobody could look does not count: no deadline passes in an
outage of the database.
"""

from collections.abc import Callable, Iterable

import msgspec

from holdfast.rooms.experiments.store.release_rows import Standing

LONGEST_S = 60.0
"""What a pause between two looks counts for at most."""


class _Anchor(msgspec.Struct, frozen=True):
    of: tuple[int, int]
    at: float
    elapsed_s: float


class StageClock:
    """The time in their stages of all releases, as this process sees it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._anchors: dict[str, _Anchor] = {}

    def elapsed_s(self, standing: Standing) -> float:
        """Seconds in this stage by now; at least what the row says."""
        now, of = self._monotonic(), (standing.run, standing.period)
        anchor = self._anchors.get(standing.name)
        if anchor is not None and anchor.of == of:
            by_now = max(standing.elapsed_s, anchor.elapsed_s + min(now - anchor.at, LONGEST_S))
        else:
            by_now = standing.elapsed_s
        self._anchors[standing.name] = _Anchor(of, now, by_now)
        return by_now

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget every other release."""
        kept = set(names)
        for name in self._anchors.keys() - kept:
            del self._anchors[name]
