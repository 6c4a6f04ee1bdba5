"""Server-sent events from bytes that may be split anywhere: inside a line end, inside a character.

What a provider sends is not trusted to be a stream: comments and unknown fields are passed over, lines and
events beyond a size are dropped and counted, and nothing here raises. Source: WHATWG HTML, 9.2.6.
"""

import re
from typing import NamedTuple

MAX_BYTES = 16 * 1024 * 1024
"""Of one line, and of the data of one event: a whole generated image fits."""
BOM = b"\xef\xbb\xbf"

_ENDS = re.compile(rb"\r\n|\r|\n")


class Event(NamedTuple):
    """One event. `data` are bytes: JSON is read from them without another copy."""

    name: str
    """`message` without an `event:` line."""
    data: bytes


class EventReader:
    """Takes bytes as they come, gives the events that are complete.

    >>> EventReader().feed(b"data: 1\\n\\ndata: 2\\n")
    [Event(name='message', data=b'1')]
    """

    __slots__ = (
        "_after_cr",
        "_begun",
        "_data",
        "_name",
        "_open",
        "_open_bytes",
        "_size",
        "_too_long",
        "dropped",
    )

    def __init__(self) -> None:
        self.dropped = 0
        """Lines and events that were too large."""
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._too_long = False
        self._after_cr = False
        self._begun = False
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        if self._after_cr and data:
            # A CR ended a line already; an LF behind it is the second half of the same end.
            self._after_cr = False
            if data[0] == 10:
                data = data[1:]
        if not data:
            return []
        if b"\r" in data:
            lines = _ENDS.split(data)
            self._after_cr = data[-1] == 13
        else:
            lines = data.split(b"\n")
        last = lines.pop()
        if not lines:
            self._keep(last)
            return []
        lines[0] = self._closed(lines[0])
        self._keep(last)
        events: list[Event] = []
        for line in lines:
            if line:
                self._line(line)
            elif self._data:
                events.append(self._event())
            else:
                self._name = b""
        return events

    def end(self) -> list[Event]:
        """The stream is over: the event that lacks only its empty line, as some providers leave it."""
        line = self._closed(b"")
        if line:
            self._line(line)
        return [self._event()] if self._data else []

    def _keep(self, part: bytes) -> None:
        """Part of a line that goes on."""
        if not part or self._too_long:
            return
        self._open.append(part)
        self._open_bytes += len(part)
        if self._open_bytes > MAX_BYTES:
            self._open = []
            self._too_long = True

    def _closed(self, rest: bytes) -> bytes:
        """The line that `rest` ends, without a byte order mark; empty when it was too long."""
        self._keep(rest)
        line = b"".join(self._open) if len(self._open) != 1 else self._open[0]
        self._open, self._open_bytes = [], 0
        if self._too_long:
            # A comment is a line that says nothing; an empty one would end the event.
            self._too_long = False
            self.dropped += 1
            return b":"
        if not self._begun:
            self._begun = True
            line = line.removeprefix(BOM)
        return line

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._size += len(value)
            if self._size <= MAX_BYTES:
                self._data.append(value)
        elif line.startswith(b"event:"):
            self._name = line[6:].removeprefix(b" ")
        elif line == b"data":
            self._data.append(b"")

    def _event(self) -> Event:
        parts = self._data
        event = Event(
            self._name.decode("utf-8", "replace") or "message",
            parts[0] if len(parts) == 1 else b"\n".join(parts),
        )
        if self._size > MAX_BYTES:
            self.dropped += 1
            event = Event("dropped", b"")
        self._name, self._data, self._size = b"", [], 0
        return event
