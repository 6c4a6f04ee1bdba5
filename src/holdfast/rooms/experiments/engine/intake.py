"""Takes in what requests, calls and users did, off the hot path: kept as it is seen, read a second later."""

import logging
from collections import deque
from collections.abc import Callable
from math import isfinite

from holdfast.kernel.event import Event, ProductEvent, Record
from holdfast.rooms.experiments.rules.outcomes import FACT, Outcome, uses_of

logger = logging.getLogger("holdfast.experiments")
MOST_WAITING = 200_000
"""Outcomes that may wait for the next reading; more are counted as lost, in both arms alike."""
_PLAIN = (str, int, float, bool)
_MOST_DIGITS = 1 << 256
"""Whole numbers beyond it are no facts: Python itself refuses to write those of thousands of digits."""


class Intake:
    """Sees every record of this process; `drain` gives what it comes to since the last time."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self.lost = 0
        self._wall = wall
        self._waiting: deque[tuple[float, Record] | Outcome] = deque()

    def saw(self, record: Record) -> None:
        """A tap of the event log: any thread, a few hundred nanoseconds."""
        kind = type(record)
        if kind is Event:
            if record.facts is None or FACT not in record.facts:
                return
        elif kind is not ProductEvent:
            return
        self._keep((self._wall(), record))

    def called(self, outcome: Outcome) -> None:
        """A call that was measured where it was made."""
        self._keep(outcome)

    def drain(self) -> list[Outcome]:
        """Everything since the last time, in its order. What cannot be read is lost alone, and counted."""
        waiting = self._waiting
        found: list[Outcome] = []
        for _ in range(len(waiting)):
            each = waiting.popleft()
            try:
                found.append(each if isinstance(each, Outcome) else _outcome(*each))
            except Exception:
                self.lost += 1
                logger.exception("a record cannot be read, and is not counted")
        return found

    def _keep(self, found: "tuple[float, Record] | Outcome") -> None:
        if len(self._waiting) >= MOST_WAITING:
            self.lost += 1
        else:
            self._waiting.append(found)


def _outcome(at_s: float, record: Record) -> Outcome:
    facts = record.facts or {}
    uses = uses_of(facts.get(FACT))
    attributes = {name: value for name, value in facts.items() if _is_plain(value) and name != FACT}
    if isinstance(record, Event):
        if record.tier:
            attributes["tier"] = record.tier
        return Outcome(
            kind="request",
            at_s=at_s,
            user=record.user_id,
            uses=uses,
            name=record.route,
            # An app that stops in the middle of its answer raises nothing, where a task group takes it in.
            failed=record.status >= 500 or bool(record.error_type) or record.ended == "incomplete",
            seconds=record.duration_ns / 1e9,
            request_id=record.request_id,
            trace_id=record.trace_id,
            error=record.error_type or (record.ended if record.ended == "incomplete" else ""),
            attributes=attributes,
        )
    return Outcome(
        kind="event",
        at_s=at_s,
        user=record.user_id,
        uses=uses,
        name=record.action if isinstance(record, ProductEvent) else "",
        value=_amount(facts.get("value")),
        request_id=record.request_id,
        trace_id=record.trace_id,
        attributes=attributes,
    )


def _is_plain(value: object) -> bool:
    return isinstance(value, _PLAIN) and not (type(value) is int and abs(value) >= _MOST_DIGITS)


def _amount(value: object) -> float | None:
    """The value as an amount; None where it is none: one that is not finite would stay in a sum for ever."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_plain(value):
        return None
    return float(value) if isfinite(value) else None
