"""Values and messages as they travel: versioned, checked by a sum, the whole key inside.

A value is a header that scripts read too (version, flags, born, fresh_at, stale_at: big endian, stamps of
the shared clock), a MessagePack array `[key, kind, tags]`, and the body as it is or compressed. A message
is a letter, a stamp of sixteen digits (scripts set it) and a MessagePack array `[node, scope, name]`.
"""

import struct
import zlib
from importlib.util import find_spec
from typing import NamedTuple

import msgspec

from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.store.keys import SCHEMA, raw, text

STORED, GIVEN_BACK, MARKED = "S", "G", "M"

_HEADER = struct.Struct(">BBQQQdII")
"""Version, flags, born, fresh_at, stale_at (µs), load_s, length of the body, length of the array."""
_SUM = struct.Struct(">I")
"""CRC-32 of all the rest."""
_SUM_AT = _HEADER.size
HEADER_BYTES = _SUM_AT + _SUM.size
_BYTES, _NEGATIVE, _NO_BODY, _ZLIB, _ZSTD = 1, 2, 4, 8, 16
_STAMP_DIGITS = 16

_Meta = tuple[bytes, str, list[bytes]]
_encode = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(_Meta).decode
_decode_message = msgspec.msgpack.Decoder(tuple[str, str, bytes]).decode
_has_zstd = find_spec("zstandard") is not None


class Poisoned(Exception):
    """These bytes are no value of ours: wrong schema, damaged, or another key's."""


class Unreadable(Exception):
    """A value of ours that this process cannot read: it lacks the decompressor."""


class Life(NamedTuple):
    """Where the two clocks stand at one moment: shared microseconds and monotonic seconds."""

    shared_us: int
    monotonic_s: float

    def at(self, until_s: float) -> int:
        """The shared stamp of a moment of the monotonic clock; never below 0."""
        return max(0, self.shared_us + round((until_s - self.monotonic_s) * 1e6))

    def until(self, stamp: int) -> float:
        """The monotonic moment of a shared stamp."""
        return self.monotonic_s + (stamp - self.shared_us) / 1e6


def encode_entry(entry: Entry, life: Life, compress_above: int | None) -> bytes:
    """The entry with its body; bodies of more than `compress_above` bytes shrink if that saves a tenth."""
    body = entry.body
    flags = (_BYTES if entry.is_bytes else 0) | (_NEGATIVE if entry.is_negative else 0)
    if body is None:
        flags, body = flags | _NO_BODY, b""
    length = len(body)
    if compress_above is not None and length > compress_above:
        flag, packed = _shrink(body)
        if len(packed) < length * 0.9:
            flags, body = flags | flag, packed
    meta = _encode((raw(entry.key), entry.kind, [raw(tag) for tag in entry.tags]))
    stale_at = life.at(entry.stale_until)
    head = _HEADER.pack(
        *(SCHEMA, flags, entry.born, life.at(entry.fresh_until), stale_at),
        *(entry.load_s, length, len(meta)),
    )
    total = zlib.crc32(body, zlib.crc32(meta, zlib.crc32(head)))
    return b"".join((head, _SUM.pack(total), meta, body))


def decode_entry(blob: object, key: str, life: Life, max_bytes: int) -> Entry:
    """The entry with `body` set and `value` None. Raises Poisoned, Unreadable."""
    if not isinstance(blob, bytes) or len(blob) < HEADER_BYTES or blob[0] != SCHEMA:
        raise Poisoned("not of this schema")
    _, flags, born, fresh_at, stale_at, load_s, length, meta_length = _HEADER.unpack_from(blob)
    start = HEADER_BYTES + meta_length
    view = memoryview(blob)
    total = zlib.crc32(view[HEADER_BYTES:], zlib.crc32(view[:_SUM_AT]))
    if total != _SUM.unpack_from(blob, _SUM_AT)[0] or length > max_bytes:
        raise Poisoned("damaged")
    try:
        name, kind, tags = _decode_meta(view[HEADER_BYTES:start])
        found, names = text(name), tuple([text(tag) for tag in tags]) if tags else ()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Poisoned(str(error)) from None
    if found != key:
        raise Poisoned("another key's value")
    body: bytes | None = blob[start:]
    if flags & (_ZLIB | _ZSTD):
        body = _grow(blob[start:], flags, length)
    elif flags & _NO_BODY:
        body = None
    if len(body or b"") != length:
        raise Poisoned("of another length than it says")
    return Entry(
        key=key,
        value=None,
        kind=kind,
        born=born,
        fresh_until=life.until(fresh_at),
        stale_until=life.until(stale_at),
        tags=names,
        body=body,
        is_bytes=bool(flags & _BYTES),
        load_s=load_s,
        size_bytes=length,
        is_negative=bool(flags & _NEGATIVE),
    )


def _shrink(body: bytes) -> tuple[int, bytes]:
    if _has_zstd:
        import zstandard

        return _ZSTD, zstandard.ZstdCompressor(level=1).compress(body)
    return _ZLIB, zlib.compress(body, 1)


def _grow(packed: bytes, flags: int, length: int) -> bytes:
    """At most `length` bytes, whatever the packed ones claim: a bomb is poison."""
    if flags & _ZSTD:
        if not _has_zstd:
            raise Unreadable("compressed by zstandard; install it on every node or on none")
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
                return bytes(reader.read(length + 1))
        except zstandard.ZstdError as error:
            raise Poisoned(str(error)) from None
    try:
        return zlib.decompressobj().decompress(packed, length + 1)
    except zlib.error as error:
        raise Poisoned(str(error)) from None


class Message(NamedTuple):
    """What one node has told the others."""

    letter: str
    """STORED, GIVEN_BACK or MARKED."""
    stamp: int
    node: str
    scope: str
    """Of a marker; empty otherwise."""
    name: str


def encode_message(node: str, scope: str, name: str) -> bytes:
    """All but the letter and the stamp, which the script puts in front."""
    return _encode((node, scope, raw(name)))


def decode_message(payload: bytes) -> Message:
    """Raises ValueError for what is no message of ours."""
    letter = payload[:1].decode("ascii", "replace")
    if letter not in (STORED, GIVEN_BACK, MARKED):
        raise ValueError(f"an unknown letter {letter!r}")
    stamp = int(payload[1 : 1 + _STAMP_DIGITS])
    try:
        node, scope, name = _decode_message(payload[1 + _STAMP_DIGITS :])
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    return Message(letter, stamp, node, scope, text(name))
