"""Writes down what users did, as records of the event log: what experiments count and analytics read."""

from collections.abc import Mapping
from typing import Any

from holdfast.kernel.clock import Clock, Stamps
from holdfast.kernel.context import current_event
from holdfast.kernel.event import ProductEvent
from holdfast.ports.services import EventLog
from holdfast.rooms.experiments.rules.assigning import somebody


class Tracking:
    """Appends product events of this room's callers."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._wall = clock.wall

    def track(self, action: str, user_id: object = "", facts: Mapping[str, Any] | None = None) -> None:
        """Of `user_id`, or of the current request's user; never raises, never waits.

        The id is written as exposures write it, whatever its type or spelling; what is no id is nobody's.
        """
        record = ProductEvent(action=action, user_id=somebody(user_id), facts=dict(facts) if facts else None)
        record.timestamp = Stamps().iso(self._wall())
        event = current_event()
        if event is not None:
            record.trace_id, record.span_id = event.trace_id, event.span_id
            record.request_id = event.request_id
            if user_id == "" or user_id is None:
                record.user_id = event.user_id
        self._log.append(record)
