"""What users were shown and did, as product events of the log: what analytics and experiments count."""

from typing import Any

from holdfast.kernel.clock import Clock, Stamps
from holdfast.kernel.context import current
from holdfast.kernel.event import ProductEvent
from holdfast.ports.services import EventLog


class Telling:
    """Appends product events, each with the request that it came with."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._wall = clock.wall
        self._stamps = Stamps()

    def tell(self, action: str, user_id: str, **facts: Any) -> None:
        """Append one event of `user_id`."""
        stamp = self._stamps.iso(self._wall())
        event = ProductEvent(timestamp=stamp, user_id=user_id, action=action, facts=facts)
        ctx = current()
        if ctx is not None:
            event.trace_id = ctx.event.trace_id
            event.span_id = ctx.event.span_id
            event.request_id = ctx.event.request_id
        self._log.append(event)
