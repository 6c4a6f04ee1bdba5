"""Every encoder against the real decoder, whole and in any chunking."""

import gzip
import threading
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from holdfast.edge.encoders import Encoding, load_encodings

LEVELS = {"zstd": 3, "br": 4, "gzip": 2}
ENCODINGS, MISSING = load_encodings(["zstd", "br", "gzip"], LEVELS)


def unzstd(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


DECODE: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.decompress,
    b"br": brotli.decompress,
    b"zstd": unzstd,
}

every = pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: encoding.name.decode())


def incremental(name: bytes) -> Callable[[bytes], bytes]:
    """A decoder that is fed piece by piece, as a client reads a stream."""
    if name == b"gzip":
        return zlib.decompressobj(31).decompress
    if name == b"br":
        return brotli.Decompressor().process
    return zstandard.ZstdDecompressor().decompressobj().decompress


def test_all_three_are_installed_here() -> None:
    assert [encoding.name for encoding in ENCODINGS] == [b"zstd", b"br", b"gzip"]
    assert MISSING == ()


def test_what_is_not_installed_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "brotli", None)
    found, missing = load_encodings(["br", "gzip"], LEVELS)
    assert [encoding.name for encoding in found] == [b"gzip"]
    assert missing == ("br",)


@every
@given(body=st.binary(max_size=5000))
def test_whole_bodies_come_back(encoding: Encoding, body: bytes) -> None:
    assert DECODE[encoding.name](encoding.whole(body)) == body


@every
@given(
    chunks=st.lists(st.binary(max_size=2000), max_size=12), last=st.binary(max_size=100), flush=st.booleans()
)
def test_streams_come_back_in_any_chunking(
    encoding: Encoding, chunks: list[bytes], last: bytes, flush: bool
) -> None:
    encoder = encoding.stream()
    encoded = b"".join(encoder.part(chunk, flush=flush) for chunk in chunks) + encoder.finish(last)
    assert DECODE[encoding.name](encoded) == b"".join(chunks) + last


@every
@given(chunks=st.lists(st.binary(min_size=1, max_size=500), min_size=1, max_size=8))
def test_a_flushed_chunk_can_be_read_at_once(encoding: Encoding, chunks: list[bytes]) -> None:
    encoder = encoding.stream()
    read = incremental(encoding.name)
    for chunk in chunks:
        assert read(encoder.part(chunk, flush=True)) == chunk


@every
def test_interleaved_streams_do_not_mix(encoding: Encoding) -> None:
    one, other = encoding.stream(), encoding.stream()
    ones = one.part(b"a" * 900, flush=True)
    others = other.part(b"b" * 900, flush=True)
    assert encoding.whole(b"c" * 900)
    assert DECODE[encoding.name](ones + one.finish(b"A")) == b"a" * 900 + b"A"
    assert DECODE[encoding.name](others + other.finish(b"B")) == b"b" * 900 + b"B"


@every
def test_whole_may_be_called_from_many_threads(encoding: Encoding) -> None:
    bodies = [bytes([n]) * 200_000 + b"holdfast" * n for n in range(8)]
    results: dict[int, bytes] = {}

    def work(n: int) -> None:
        for _ in range(5):
            results[n] = encoding.whole(bodies[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [DECODE[encoding.name](results[n]) for n in range(8)] == bodies


def test_the_same_body_gives_the_same_bytes() -> None:
    body = "홀드패스트는 버틴다. ".encode() * 50
    for encoding in ENCODINGS:
        assert encoding.whole(body) == encoding.whole(body)
        assert len(encoding.whole(body)) < len(body) / 4
