"""Messages between a worker and the process of an isolated job: four bytes of length, then JSON."""

import asyncio
import socket
import struct
from typing import Any

from holdfast.kernel.codec import decode_json, encode_json

MAX_BYTES = 64 << 20
"""Longest message; a longer one is not read, whoever sent it."""
_HEAD = struct.Struct("!I")


class Broken(Exception):
    """The other end has gone, or sends what is no message."""


def pack(message: dict[str, Any]) -> bytes:
    """The message as it travels; raises TypeError or ValueError for what JSON cannot hold."""
    body = encode_json(message)
    if len(body) > MAX_BYTES:
        raise ValueError(f"a message of {len(body)} bytes is too long, at most {MAX_BYTES}")
    return _HEAD.pack(len(body)) + body


def receive(connection: socket.socket) -> dict[str, Any]:
    """The next message, waiting for it; raises Broken at the end."""
    return _read(_exactly(connection, _size(_exactly(connection, _HEAD.size))))


async def next_of(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next message, as `receive`, in an event loop."""
    try:
        return _read(await reader.readexactly(_size(await reader.readexactly(_HEAD.size))))
    except (asyncio.IncompleteReadError, OSError) as error:
        raise Broken("the other end has gone") from error


def _size(head: bytes) -> int:
    size: int = _HEAD.unpack(head)[0]
    if size > MAX_BYTES:
        raise Broken(f"a message of {size} bytes was announced")
    return size


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        try:
            part = connection.recv(min(size, 1 << 16))
        except OSError as error:
            raise Broken("the other end has gone") from error
        if not part:
            raise Broken("the other end has gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _read(body: bytes) -> dict[str, Any]:
    try:
        message = decode_json(body)
    except ValueError as error:
        raise Broken("what came is not JSON") from error
    if not isinstance(message, dict):
        raise Broken("what came is no message")
    return message
