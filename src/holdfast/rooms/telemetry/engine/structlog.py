"""structlog into the event log: one processor, anywhere in the chain before the renderer."""

import importlib
import sys
from collections.abc import MutableMapping
from typing import Any

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.event import LogLine
from holdfast.ports.services import EventLog
from holdfast.rooms.telemetry.engine.lines import ExcInfo, LineSink, add_error, text_of

_LEVELS = {"warn": "warning", "exception": "error", "fatal": "critical"}
_OWN = frozenset({"event", "level", "logger", "timestamp", "exc_info", "exception", "stack", "stack_info"})


class RecordProcessor:
    """A structlog processor that appends each event as a LogLine; its key-value pairs become facts.

    The event goes on to the next processor, so a console renderer keeps working. With `final=True` it
    ends here (structlog.DropEvent), and no renderer is needed.
    """

    def __init__(self, log: EventLog, *, final: bool = False, clock: Clock | None = None) -> None:
        self.sink = LineSink(log)
        self._final = final
        self._wall = (clock or SystemClock()).wall

    def __call__(
        self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        level = str(event_dict.get("level") or method_name)
        level = _LEVELS.get(level, level)
        if self.sink.wants(level):
            with self.sink:
                try:
                    self.sink.put(_line(logger, level, event_dict), self._wall())
                except Exception:  # noqa: BLE001 - a log call must never fail the code that made it
                    return event_dict
        if self._final:
            raise importlib.import_module("structlog").DropEvent
        return event_dict


def _line(logger: Any, level: str, event: MutableMapping[str, Any]) -> LogLine:
    name = event.get("logger") or getattr(logger, "name", "") or ""
    facts = {key: value for key, value in event.items() if key not in _OWN and not key.startswith("_")}
    line = LogLine(
        level=level, logger=text_of(name), message=text_of(event.get("event", "")), facts=facts or None
    )
    found = _exc_info(event.get("exc_info"))
    if found is not None:
        add_error(line, found)
    elif event.get("exception"):
        line.error_stack = text_of(event["exception"])
    return line


def _exc_info(given: Any) -> ExcInfo | None:
    """structlog takes True, an exception or the triple of `sys.exc_info()`."""
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    triple = given if isinstance(given, tuple) else sys.exc_info() if given else None
    return triple if triple is not None and triple[0] is not None else None
