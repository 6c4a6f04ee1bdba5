"""Who failed in the last minute, in this process: what a plain crash is seen by, without statistics.

Distinct units in buckets of a second, each bounded: beyond a few hundred, more would change no decision.
"""

from collections import deque
from collections.abc import Iterable

from holdfast.rooms.experiments.rules.releases import TREATMENT
from holdfast.rooms.experiments.store.release_rows import Minute

WINDOW_S = 60
AGAIN_S = 20
"""A word that stays the same is said again: counts are bounded, so a busy process in good health has one."""
MOST = 200
_NOTHING = Minute()


class _Second:
    __slots__ = ("at", "units")

    def __init__(self, at: int) -> None:
        self.at = at
        self.units: dict[tuple[bool, bool], set[str]] = {}


class LastMinute:
    """Of one release in one period."""

    def __init__(self, period: int) -> None:
        self.period = period
        self._said, self._said_at_s = _NOTHING, 0.0
        self._seconds: deque[_Second] = deque()

    def saw(self, at_s: float, arm: str, unit: str, failed: bool) -> None:
        """One request or call that has ended; `unit` is what tells it from another."""
        at = int(at_s)
        if not self._seconds or self._seconds[-1].at != at:
            self._seconds.append(_Second(at))
        units = self._seconds[-1].units.setdefault((arm == TREATMENT, failed), set())
        if len(units) < MOST:
            units.add(unit)

    def recent(self, now_s: float) -> Minute:
        """The last minute as it stands; what is older is forgotten, what is of the future as well."""
        self._seconds = deque(each for each in self._seconds if abs(now_s - each.at) <= WINDOW_S)
        return Minute(
            treatment_failing=self._units(True, True),
            control_failing=self._units(False, True),
            treatment_successes=len(self._units(True, False)),
            control_successes=len(self._units(False, False)),
        )

    def is_due(self, now_s: float, recent: Minute) -> bool:
        """Whether the others are to hear it: it is new, or they would soon take this process for dead."""
        if recent != self._said:
            return True
        return recent != _NOTHING and abs(now_s - self._said_at_s) >= AGAIN_S

    def said(self, now_s: float, recent: Minute) -> None:
        """The others know."""
        self._said, self._said_at_s = recent, now_s

    def _units(self, treatment: bool, failed: bool) -> tuple[str, ...]:
        found: set[str] = set()
        for second in self._seconds:
            found |= second.units.get((treatment, failed), set())
        return tuple(sorted(found)[:MOST])


def together(said: Iterable[Minute]) -> Minute:
    """What all processes saw: a unit that failed at two of them is one."""
    treatment: set[str] = set()
    control: set[str] = set()
    well_treatment = well_control = 0
    for each in said:
        treatment.update(each.treatment_failing)
        control.update(each.control_failing)
        well_treatment += each.treatment_successes
        well_control += each.control_successes
    return Minute(tuple(sorted(treatment)), tuple(sorted(control)), well_treatment, well_control)
