"""Wiring of the faults room."""

from collections.abc import Sequence
from typing import ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Room, Verb
from holdfast.rooms.faults.engine.verbs import Verbs
from holdfast.rooms.faults.rules.settings import Config as Config


class FaultsRoom(Room):
    """Brings the command `holdfast faults`; the server itself gets nothing from it, and pays nothing."""

    name: ClassVar[str] = "faults"

    def __init__(self, config: Config, *, clock: Clock) -> None:
        self.config = config
        self._verbs = Verbs(config, clock)

    def verbs(self) -> Sequence[Verb]:
        return self._verbs.all()
