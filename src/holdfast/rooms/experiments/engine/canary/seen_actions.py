"""Remembers which actions are tracked at all, so that a gate on a misspelt one is refused."""

from collections.abc import Callable, Iterable

from holdfast.rooms.experiments.rules.assigning import somebody
from holdfast.rooms.experiments.rules.outcomes import Outcome
from holdfast.rooms.experiments.store.releases import ReleaseStore

EVERY_S = 60.0
MOST = 10_000
"""Actions remembered, those seen last. Whoever can reach the tracking address can make names up: beyond so
many the hourly sweep forgets those that were not seen for longest."""


class SeenActions:
    """Writes each action at most once a minute."""

    def __init__(self, store: ReleaseStore, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._waiting: dict[str, int] = {}
        self._written: dict[str, float] = {}

    def saw(self, outcomes: Iterable[Outcome]) -> None:
        """Note the actions among these. What a database cannot keep is nobody's gate, and is left out."""
        for outcome in outcomes:
            if outcome.kind == "event" and len(self._waiting) < MOST and somebody(outcome.name):
                self._waiting[outcome.name] = int(outcome.at_s * 1000)

    async def write(self) -> None:
        """Those that are due; raises Unavailable, and then they wait on."""
        now = self._monotonic()
        due = {
            action: at_ms
            for action, at_ms in self._waiting.items()
            if now - self._written.get(action, -EVERY_S) >= EVERY_S
        }
        await self._store.tracked(due)
        if len(self._written) > MOST:
            self._written.clear()
        self._written.update(dict.fromkeys(due, now))
        self._waiting.clear()
