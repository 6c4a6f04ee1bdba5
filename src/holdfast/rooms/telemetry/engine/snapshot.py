"""Metrics as bytes: what one worker leaves in its slot for the others and for its successor.

A file is MAGIC (which carries the version of the layout), then frames: four bytes of length, big
endian, and msgpack. The first frame is a Header, every other a Chunk of one metric's series.
"""

from collections.abc import Iterator

import msgspec

from holdfast.rooms.telemetry.engine.series import Reading

MAGIC = b"HFM1"
CHUNK_SERIES = 32
"""Series in a chunk: about 0.1 ms to encode or decode when they are histograms."""

_NOTHING = msgspec.Raw(b"\x80")  # an empty map
_encode = msgspec.msgpack.Encoder().encode
_decode_counts = msgspec.msgpack.Decoder(dict[int, int]).decode
_decode_exemplars = msgspec.msgpack.Decoder(dict[int, tuple[float, str, float]]).decode


class Header(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Whose file it is."""

    slot: int
    pid: int
    open: bool
    """False when the worker has stopped in order: its gauges are over."""


class Saved(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One series; for a histogram `value` is the sum. The same attributes as a live one (Reading).

    Counts and exemplars stay packed until somebody asks: most series of most scrapes have not changed,
    and thousands of dictionaries at once would bring the garbage collector down on the loop.
    """

    labels: tuple[str, ...]
    created: float
    seen: float
    value: int | float
    count: int = 0
    packed_counts: msgspec.Raw = _NOTHING
    packed_exemplars: msgspec.Raw = _NOTHING

    @property
    def counts(self) -> dict[int, int]:
        return _decode_counts(self.packed_counts)

    @property
    def exemplars(self) -> dict[int, tuple[float, str, float]]:
        return _decode_exemplars(self.packed_exemplars)


class Chunk(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Up to CHUNK_SERIES series of one metric, with its shape.

    `foreign` ones come from prometheus_client: the first "label" of a series is its sample name, and
    after it names and values take turns.
    """

    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...]
    over_workers: str
    foreign: bool
    series: list[Saved]


_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_chunk = msgspec.msgpack.Decoder(Chunk).decode


def save(series: Reading) -> Saved:
    """A live series as it stands."""
    packed = (
        (msgspec.Raw(_encode(series.counts)), msgspec.Raw(_encode(series.exemplars))) if series.count else ()
    )
    return Saved(series.labels, series.created, series.seen, series.value, series.count, *packed)


def frame(content: Header | Chunk) -> bytes:
    """The content behind its length: four bytes, big-endian."""
    payload = _encode(content)
    return len(payload).to_bytes(4, "big") + payload


def frames(raw: bytes) -> Iterator[bytes]:
    """The payloads of a file; raises ValueError where it is not one of ours or is cut short."""
    if raw[: len(MAGIC)] != MAGIC:
        raise ValueError("not a metrics slot of this version")
    position = len(MAGIC)
    while position < len(raw):
        start = position + 4
        position = start + int.from_bytes(raw[position:start], "big")
        if position > len(raw):
            raise ValueError("the file ends within a frame")
        yield raw[start:position]


def header_of(payload: bytes) -> Header:
    """The first frame of a file; raises msgspec.DecodeError where it is none."""
    return _decode_header(payload)


def chunk_of(payload: bytes) -> Chunk:
    """Any further frame; raises msgspec.DecodeError where it is none."""
    return _decode_chunk(payload)
