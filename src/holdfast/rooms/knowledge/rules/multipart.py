"""Reads multipart/form-data as it comes, holding no more of it than one boundary's length.

What browsers and `curl -F` send. Source: RFC 7578, RFC 2046 section 5.1, and the WHATWG's way of writing file
names (UTF-8, with `"`, CR and LF percent-encoded).
"""

import re
from collections.abc import Iterator
from email.message import Message
from urllib.parse import unquote

import msgspec

from holdfast.kernel.errors import Malformed

MAX_HEAD = 16_384
"""Bytes that a part's headers may take."""
MAX_PARTS = 64


class Part(msgspec.Struct, frozen=True):
    """The head of a part: what its data is called. `filename` is None for a plain field."""

    name: str
    filename: str | None = None
    media_type: str = ""


class End(msgspec.Struct, frozen=True):
    """The part before it is whole."""


Piece = Part | bytes | End
_FIELD = re.compile(r'(name|filename)="((?:[^"\\]|\\.)*)"|(name|filename)=([^\s;"]+)', re.IGNORECASE)
_EXTENDED = re.compile(r"filename\*=utf-8''([^;\s]+)", re.IGNORECASE)


def boundary_of(content_type: str) -> str:
    """The boundary that a Content-Type names; raises Malformed where it is none of multipart/form-data's."""
    told = Message()
    told["content-type"] = content_type
    found = told.get_param("boundary")
    if (
        told.get_content_type() != "multipart/form-data"
        or not isinstance(found, str)
        or not 0 < len(found) <= 70
    ):
        raise Malformed("the Content-Type names no boundary", hint="send multipart/form-data; boundary=...")
    return found


class Multipart:
    """`feed` it bytes; it gives heads, data and ends in order. `is_over` after the last boundary.

    Raises Malformed for what is no multipart body. Data is never joined: what goes in comes out in pieces.
    """

    def __init__(self, boundary: str) -> None:
        # The first boundary needs no line break before it: it is as if one had come.
        self._held = b"\r\n"
        self._delimiter = b"\r\n--" + boundary.encode("utf-8", "replace")
        self._state = "preamble"
        self._parts = 0

    @property
    def is_over(self) -> bool:
        return self._state == "over"

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._held += data
        while self._state != "over":
            before = (self._state, self._held)
            step = {"preamble": self._preamble, "line": self._line, "head": self._head, "data": self._data}
            yield from step[self._state]()
            if before == (self._state, self._held):
                return
        self._held = b""

    def _preamble(self) -> Iterator[Piece]:
        """What stands before the first boundary means nothing."""
        at = self._held.find(self._delimiter)
        if at >= 0:
            self._held = self._held[at + len(self._delimiter) :]
            self._state = "line"
        else:
            self._held = self._held[-(len(self._delimiter) - 1) :]
        yield from ()

    def _line(self) -> Iterator[Piece]:
        """The rest of a boundary's line: white space and the end of the line, or `--` and all is over."""
        yield from ()
        if self._held.startswith(b"--"):
            self._state = "over"
            return
        end = self._held.find(b"\r\n")
        if end < 0:
            if len(self._held) > MAX_HEAD:
                raise _bad("a boundary's line has no end")
            return
        if self._held[:end].strip(b" \t"):
            raise _bad("a boundary is followed by something else")
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _bad(f"more than {MAX_PARTS} parts")
        # The line break stays: a part without headers has its empty line there.
        self._held = self._held[end:]
        self._state = "head"

    def _head(self) -> Iterator[Piece]:
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            if len(self._held) > MAX_HEAD:
                raise _bad(f"a part's headers take more than {MAX_HEAD} bytes")
            return
        head, self._held = self._held[2:end], self._held[end + 4 :]
        self._state = "data"
        yield _part(head)

    def _data(self) -> Iterator[Piece]:
        at = self._held.find(self._delimiter)
        if at < 0:
            keep = len(self._delimiter) - 1
            if len(self._held) > keep:
                data, self._held = self._held[:-keep], self._held[-keep:]
                yield data
            return
        data, self._held = self._held[:at], self._held[at + len(self._delimiter) :]
        if data:
            yield data
        self._state = "line"
        yield End()


def _part(head: bytes) -> Part:
    name, filename, media_type = "", None, ""
    for line in head.decode("utf-8", "replace").split("\r\n"):
        field, _, value = line.partition(":")
        if field.strip().lower() == "content-disposition":
            name, filename = _names(value)
        elif field.strip().lower() == "content-type":
            media_type = value.strip()
    if not name:
        raise _bad("a part has no name")
    return Part(name, filename, media_type)


def _names(value: str) -> tuple[str, str | None]:
    found: dict[str, str] = {}
    for match in _FIELD.finditer(value):
        key, text = (match[1], match[2]) if match[1] else (match[3], match[4])
        found[key.lower()] = re.sub(r'\\(["\\])', r"\1", text)
    filename = found.get("filename")
    if extended := _EXTENDED.search(value):
        filename = unquote(extended[1], errors="replace")
    elif filename is not None:
        filename = re.sub("%22|%0D|%0A", lambda one: unquote(one[0]), filename, flags=re.IGNORECASE)
    return found.get("name", ""), filename


def _bad(what: str) -> Malformed:
    return Malformed(
        f"the multipart body cannot be read: {what}", hint="send it as `curl -F file=@name` does"
    )
