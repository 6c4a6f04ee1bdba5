"""Log calls as records: what the `logging` handler and the structlog processor share."""

import threading
import traceback
from types import TracebackType
from typing import Any

from holdfast.kernel.clock import Stamps
from holdfast.kernel.context import current_event
from holdfast.kernel.event import LogLine
from holdfast.ports.services import EventLog

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class LineSink:
    """Completes log lines with the request they belong to, and appends them. From any thread."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._local = _PerThread()
        self.debug_stopped = False
        """While the disk is nearly full, debug lines are counted instead of written."""
        self.debug_lines_stopped = 0

    def wants(self, level: str) -> bool:
        if self.debug_stopped and level == "debug":
            self.debug_lines_stopped += 1
            return False
        return not self._local.busy

    def put(self, line: LogLine, wall_s: float) -> None:
        """Stamp `line`, tie it to the current request, append it."""
        line.timestamp = self._local.stamps.iso(wall_s)
        event = current_event()
        if event is not None:
            line.trace_id = event.trace_id
            line.span_id = event.span_id
            line.request_id = event.request_id
            line.user_id = event.user_id
        self._log.append(line)

    def __enter__(self) -> None:
        """Until the block ends, log calls of this thread are not taken: they come from taking one."""
        self._local.busy = True

    def __exit__(self, *_: object) -> None:
        self._local.busy = False


class _PerThread(threading.local):
    def __init__(self) -> None:
        self.busy = False
        self.stamps = Stamps()


def add_error(line: LogLine, exc_info: ExcInfo, formatted: str | None = None) -> None:
    """Write an exception's type, message and stack on `line`."""
    kind, error, trace = exc_info
    line.error_type = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    line.error_message = text_of(error)
    line.error_stack = formatted or "".join(traceback.format_exception(kind, error, trace)).rstrip("\n")


def text_of(value: Any) -> str:
    """`str(value)`, whatever its `__str__` does."""
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a broken __str__ must not cost the line
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
