"""HTTP/1.1 requests from bytes: the head, and a body in chunks."""

import re

import msgspec

from holdfast.kernel.errors import Problem

MOST_HEAD = 65_536
MOST_BODY = 134_217_728
"""Bytes of a head and of a body that are read; more is refused."""
_CHUNK = re.compile(rb"[0-9a-fA-F]{1,8}")
_TOO_LARGE = "the body has more than 128 MiB"


class BadRequest(Problem):
    """The bytes are no HTTP/1.1 request."""

    code = "bad-request"
    status = 400


class Head(msgspec.Struct, frozen=True):
    """A request's first line and headers."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """Lower-case names; a repeated one is joined with commas."""
    length: int
    chunked: bool
    close: bool
    expects: bool
    """Whether the client waits for 100 Continue before it sends the body."""
    fault: str
    """The X-Fault header; empty: the model name decides."""
    key: str
    """What tells callers apart: the credentials as they came."""


def parse_head(raw: bytes) -> Head:
    """The head, without the blank line at its end; BadRequest when it is none."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("the first line is not METHOD target HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest("a header line is not `name: value`")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest("content-length is not a number")
    if len(length) > 12 or int(length) > MOST_BODY:
        raise BadRequest(_TOO_LARGE)
    path, _, query = words[1].partition("?")
    return Head(
        method=words[0],
        path=path,
        query=query,
        headers=headers,
        length=int(length),
        chunked="chunked" in headers.get("transfer-encoding", "").lower(),
        close=words[2] == "HTTP/1.0" or "close" in headers.get("connection", "").lower(),
        expects="100-continue" in headers.get("expect", "").lower(),
        fault=headers.get("x-fault", ""),
        key=headers.get("authorization") or headers.get("x-api-key") or headers.get("api-key", ""),
    )


class Dechunker:
    """Takes a body in chunks out of what has arrived, however it was cut up."""

    __slots__ = ("_in_trailer", "_left", "body")

    def __init__(self) -> None:
        self.body = bytearray()
        self._left = 0
        """Bytes of the open chunk that are missing, the line break behind it included."""
        self._in_trailer = False

    def feed(self, buffer: bytearray) -> bool:
        """Take what can be taken off the front of `buffer`; True when the body is complete."""
        while True:
            if self._left:
                piece = buffer[: self._left]
                del buffer[: self._left]
                self.body += piece[: max(0, self._left - 2)]
                self._left -= len(piece)
                if self._left:
                    return False
            end = buffer.find(b"\r\n")
            if end < 0:
                if len(buffer) > MOST_HEAD:
                    raise BadRequest("a chunk's first line does not end")
                return False
            line = bytes(buffer[:end])
            del buffer[: end + 2]
            if self._in_trailer:
                if not line:
                    return True
                continue
            self._open(line)

    def _open(self, line: bytes) -> None:
        size = line.partition(b";")[0].strip()
        if not _CHUNK.fullmatch(size):
            raise BadRequest("a chunk's size is not a hexadecimal number")
        if len(self.body) + int(size, 16) > MOST_BODY:
            raise BadRequest(_TOO_LARGE)
        self._in_trailer = int(size, 16) == 0
        self._left = 0 if self._in_trailer else int(size, 16) + 2
