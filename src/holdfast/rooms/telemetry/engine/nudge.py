"""A timer on the event loop that sees to it that the event log's thread comes to its turn."""

import asyncio

from holdfast.rooms.telemetry.store.writer import NUDGE_S, SegmentLog


class Nudger:
    """Calls `SegmentLog.nudge` every NUDGE_S between `start` and `stop`."""

    def __init__(self, log: SegmentLog) -> None:
        self._log = log
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin on the running loop."""
        if self._timer is None:
            self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(NUDGE_S, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._log.nudge()
        self._arm(loop)
