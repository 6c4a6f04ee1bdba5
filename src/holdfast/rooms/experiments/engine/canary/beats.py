"""Which processes are alive, told by whether their word changes, so that no clock is compared."""

from collections.abc import Callable, Iterable

from holdfast.rooms.experiments.engine.canary.last_minute import WINDOW_S, together
from holdfast.rooms.experiments.store.release_rows import Beat, Minute


class Beats:
    """What processes said of their last minute, those left out that say nothing new."""

    def __init__(self, own: str, monotonic: Callable[[], float]) -> None:
        self._own = own
        self._monotonic = monotonic
        self._heard: dict[tuple[str, str], tuple[int, float]] = {}

    def of(self, release: str, beats: Iterable[Beat]) -> Minute:
        """The last minute over all processes that are alive. One seen for the first time may be dead."""
        now, alive, there = self._monotonic(), [], set()
        for beat in beats:
            key = (release, beat.process)
            there.add(key)
            number, since = self._heard.get(key, (beat.number, now - WINDOW_S))
            if number != beat.number:
                since = now
            self._heard[key] = (beat.number, since)
            if beat.process == self._own or now - since < WINDOW_S:
                alive.append(beat.recent)
        for key in [key for key in self._heard if key[0] == release and key not in there]:
            del self._heard[key]
        return together(alive)
