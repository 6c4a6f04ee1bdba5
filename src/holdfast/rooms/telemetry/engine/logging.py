"""The standard library's `logging` into the event log."""

import logging
import sys

from holdfast.kernel.event import LogLine
from holdfast.ports.services import EventLog
from holdfast.rooms.telemetry.engine.lines import LineSink, add_error, text_of

_LEVELS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "critical",
}
_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {
    "message",
    "asctime",
    "taskName",  # set by every call from Python 3.12 on
    "color_message",  # uvicorn's own, the message again with escape codes
}


class RecordHandler(logging.Handler):
    """Turns every log call into a LogLine with the request's ids; `extra=` fields become facts.

    Never raises and never logs: what goes wrong in here costs at most the one line.
    """

    def __init__(self, log: EventLog, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.sink = LineSink(log)

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the base class's lock: appending is safe from any thread, and a lock is a place to hang."""
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        level = _LEVELS.get(record.levelno) or record.levelname.lower()
        if not self.sink.wants(level):
            return
        with self.sink:
            try:
                self.sink.put(_line(record, level), record.created)
            except Exception:  # noqa: BLE001 - a log call must never fail the code that made it
                return


def _line(record: logging.LogRecord, level: str) -> LogLine:
    line = LogLine(level=level, logger=record.name, message=_message(record), facts=_facts(record))
    if record.exc_info and record.exc_info[0] is not None:
        add_error(line, record.exc_info, record.exc_text)
    elif record.exc_text:
        line.error_stack = record.exc_text
    if record.stack_info:
        line.error_stack = (
            f"{line.error_stack}\n{record.stack_info}" if line.error_stack else record.stack_info
        )
    return line


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage() if record.args else text_of(record.msg)
    except Exception as error:  # noqa: BLE001 - `log.info("%d", "text")` still says what it was about
        return f"{text_of(record.msg)} [arguments do not fit: {type(error).__name__}]"


def _facts(record: logging.LogRecord) -> dict[str, object] | None:
    fields = vars(record)
    extra = fields.keys() - _OWN
    return {name: fields[name] for name in fields if name in extra} if extra else None


class Installation:
    """Puts the handler on the root logger, and takes away exactly what it put there."""

    def __init__(self, log: EventLog, *, level: str, echo: bool) -> None:
        self.handler = RecordHandler(log, getattr(logging, level.upper()))
        self._echo = echo
        self._screen: logging.Handler | None = None
        self._level_before: int | None = None

    def install(self) -> None:
        """Start taking log calls. A root logger that nobody has set up is opened to our level.

        A root logger with handlers of the user's keeps its level: lowering it would make those speak
        more than they were asked to.
        """
        root = logging.getLogger()
        if self.handler in root.handlers:
            return
        if not root.handlers:
            self._level_before = root.level
            root.setLevel(self.handler.level)
            if self._echo:
                self._screen = _screen()
                root.addHandler(self._screen)
        root.addHandler(self.handler)

    def uninstall(self) -> None:
        """Stop taking log calls; a level that somebody set since stays."""
        root = logging.getLogger()
        root.removeHandler(self.handler)
        if self._screen is not None:
            root.removeHandler(self._screen)
            self._screen = None
        if self._level_before is not None and root.level == self.handler.level:
            root.setLevel(self._level_before)
        self._level_before = None


def _screen() -> logging.Handler:
    """Warnings on standard error, as Python does itself when no handler is there."""
    screen = logging.StreamHandler(sys.stderr)
    screen.setLevel(logging.WARNING)
    screen.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    return screen
