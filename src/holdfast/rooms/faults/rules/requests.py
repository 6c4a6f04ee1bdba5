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
    """A request's first line, what of its headers decides, and the rest as it came."""

    method: str
    path: str
    query: str
    raw: bytes
    length: int
    chunked: bool
    close: bool
    expects: bool
    """Whether the client waits for 100 Continue before it sends the body."""
    fault: str
    """The X-Fault header; empty: the model name decides."""
    key: str
    """What tells callers apart: the credentials as they came."""

    @property
    def headers(self) -> dict[str, str]:
        """Every header; lower-case names, and a repeated one is joined with commas."""
        headers: dict[str, str] = {}
        for line in self.raw.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers


def parse_head(raw: bytes) -> Head:
    """The head, without the blank line at its end; BadRequest when it is none."""
    end = raw.find(b"\r\n")
    first = raw if end < 0 else raw[:end]
    words = first.decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("the first line is not METHOD target HTTP/1.1")
    lower = raw.lower()
    length = _field(raw, lower, b"content-length") or "0"
    if not (length.isascii() and length.isdigit()):
        raise BadRequest("content-length is not a number")
    if len(length) > 12 or int(length) > MOST_BODY:
        raise BadRequest(_TOO_LARGE)
    path, _, query = words[1].partition("?")
    return Head(
        method=words[0],
        path=path,
        query=query,
        raw=raw,
        length=int(length),
        chunked="chunked" in _field(raw, lower, b"transfer-encoding").lower(),
        close=words[2] == "HTTP/1.0" or "close" in _field(raw, lower, b"connection").lower(),
        expects="100-continue" in _field(raw, lower, b"expect").lower(),
        fault=_field(raw, lower, b"x-fault"),
        key=_field(raw, lower, b"authorization")
        or _field(raw, lower, b"x-api-key")
        or _field(raw, lower, b"api-key"),
    )


def _field(raw: bytes, lower: bytes, name: bytes) -> str:
    """One header's value: a search in the bytes costs a tenth of taking them all apart."""
    at = lower.find(b"\r\n%b:" % name)
    if at < 0:
        return ""
    at += len(name) + 3
    end = raw.find(b"\r\n", at)
    return (raw[at:] if end < 0 else raw[at:end]).decode("latin-1").strip()


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
