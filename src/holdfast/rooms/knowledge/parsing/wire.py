"""What goes between the server and the process that reads documents: a line in, a head and bytes out."""

import struct
from typing import NamedTuple

import msgspec

from holdfast.rooms.knowledge.rules.chunks import Chunk, Chunking
from holdfast.rooms.knowledge.rules.parsed import Limits, Parsed, Section


class Asked(msgspec.Struct, frozen=True):
    """One document to read, or the text of one to cut; one line of JSON."""

    path: str
    name: str
    media_type: str
    limits: Limits
    text: str = ""
    sections: tuple[Section, ...] = ()
    chunking: Chunking | None = None
    """How to cut `text`; None: read the file at `path`."""


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """How it went: a document, the chunks of a text, or the code of a problem."""

    parsed: Parsed | None = None
    chunks: tuple[Chunk, ...] | None = None
    code: str = ""
    detail: str = ""
    hint: str = ""


class Head(NamedTuple):
    """What stands before the bytes of a Told."""

    status: int
    """0: it ended by itself; less: the number of the signal that ended it, negative."""
    cpu_s: float
    memory_bytes: int
    """The most it had in memory."""
    size_bytes: int
    """Of what follows."""


HEAD = struct.Struct("!idQQ")

asked_line = msgspec.json.Encoder().encode
told_bytes = msgspec.json.Encoder().encode
read_asked = msgspec.json.Decoder(Asked).decode
read_told = msgspec.json.Decoder(Told).decode


def most_bytes(limits: Limits) -> int:
    """Most bytes that a Told may take: four a character, and headings and offsets beside the text."""
    return 8 * limits.chars + 1_000_000


def pack_head(head: Head) -> bytes:
    """The head as HEAD.size bytes."""
    return HEAD.pack(*head)


def unpack_head(raw: bytes) -> Head:
    """What `pack_head` packed."""
    return Head(*HEAD.unpack(raw))
