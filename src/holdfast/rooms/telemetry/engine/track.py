"""Product events: what a user did, as records beside the request they came with."""

from typing import Any

from holdfast.kernel.clock import Clock, Stamps, SystemClock
from holdfast.kernel.context import current_ctx
from holdfast.kernel.event import ProductEvent
from holdfast.ports.services import EventLog, NoEventLog


class Tracker:
    """Appends product events to one log."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self.log = log
        self._wall = clock.wall

    def track(self, action: str, *, user_id: str = "", **facts: Any) -> None:
        """Append `action` for the current request's user, or for `user_id`; facts go under `holdfast`."""
        record = ProductEvent(action=action, user_id=user_id, facts=facts or None)
        record.timestamp = Stamps().iso(self._wall())
        ctx = current_ctx()
        if ctx is not None:
            record.trace_id = ctx.event.trace_id
            record.span_id = ctx.event.span_id
            record.request_id = ctx.event.request_id
            record.user_id = user_id or ctx.event.user_id
        self.log.append(record)


_nowhere = Tracker(NoEventLog(), SystemClock())
_installed = _nowhere


def track(action: str, *, user_id: str = "", **facts: Any) -> None:
    """Note that a user did something: `track("bought", item="A-17", price=39_000)`.

    Belongs to the current request and its user unless `user_id` says otherwise. Goes to the event log of
    the room that was started last in this process, as log calls go to the root logger's handlers; before
    any has, it goes nowhere.
    """
    _installed.track(action, user_id=user_id, **facts)


def install(tracker: Tracker) -> None:
    """Make `tracker` the one that `track` appends through."""
    global _installed
    _installed = tracker


def uninstall(tracker: Tracker) -> None:
    """Take `tracker` away, unless another has taken its place."""
    global _installed
    if _installed is tracker:
        _installed = _nowhere
