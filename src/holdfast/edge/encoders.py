"""The encoders behind `Accept-Encoding`: gzip from the standard library, zstd and brotli when installed."""

import threading
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

_GZIP_WINDOW = 31
"""zlib's way to ask for the gzip wrapper (16) around the largest window (15)."""

_STREAM_WINDOW_LOG = 17
"""128 KiB of history a stream, and tables to match: open streams are many, their messages small."""
_STREAM_TABLE_LOG = 15


class Encoder(Protocol):
    """One stream being encoded; used by one caller at a time."""

    def part(self, chunk: bytes, *, flush: bool) -> bytes:
        """What can go out after `chunk`; with `flush` the receiver can decode all of it."""
        ...

    def finish(self, chunk: bytes) -> bytes:
        """The rest, `chunk` included. Nothing may follow."""
        ...


class Encoding(Protocol):
    """One content coding at one level; from any thread."""

    name: bytes
    """As `Content-Encoding` says it."""

    def whole(self, body: bytes) -> bytes: ...

    def stream(self) -> Encoder: ...


class Gzip:
    """RFC 1952, from the standard library; always there."""

    name = b"gzip"

    def __init__(self, level: int) -> None:
        self._level = level

    def whole(self, body: bytes) -> bytes:
        return zlib.compress(body, self._level, wbits=_GZIP_WINDOW)

    def stream(self) -> Encoder:
        return GzipEncoder(self._level)


class GzipEncoder:
    """One gzip stream."""

    __slots__ = ("_inner",)

    def __init__(self, level: int) -> None:
        self._inner = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)

    def part(self, chunk: bytes, *, flush: bool) -> bytes:
        encoded = self._inner.compress(chunk)
        return encoded + self._inner.flush(zlib.Z_SYNC_FLUSH) if flush else encoded

    def finish(self, chunk: bytes) -> bytes:
        return self._inner.compress(chunk) + self._inner.flush()


class Brotli:
    """RFC 7932, from the package brotli."""

    name = b"br"

    def __init__(self, level: int) -> None:
        import brotli

        self._level = level
        self._brotli = brotli

    def whole(self, body: bytes) -> bytes:
        encoded: bytes = self._brotli.compress(body, quality=self._level)
        return encoded

    def stream(self) -> Encoder:
        return BrotliEncoder(self._brotli.Compressor(quality=self._level, lgwin=_STREAM_WINDOW_LOG))


class BrotliEncoder:
    """One brotli stream."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def part(self, chunk: bytes, *, flush: bool) -> bytes:
        encoded: bytes = self._inner.process(chunk)
        return encoded + self._inner.flush() if flush else encoded

    def finish(self, chunk: bytes) -> bytes:
        encoded: bytes = self._inner.process(chunk)
        rest: bytes = self._inner.finish()
        return encoded + rest


class Zstd:
    """RFC 8878, from the package zstandard."""

    name = b"zstd"

    def __init__(self, level: int) -> None:
        import zstandard

        self._level = level
        self._zstd = zstandard
        # Its tables cost more to set up than a small answer to compress, and belong to one thread.
        self._own = threading.local()
        self._stream_parameters = zstandard.ZstdCompressionParameters.from_level(
            level, window_log=_STREAM_WINDOW_LOG, hash_log=_STREAM_TABLE_LOG, chain_log=_STREAM_TABLE_LOG
        )

    def whole(self, body: bytes) -> bytes:
        compressor = getattr(self._own, "compressor", None)
        if compressor is None:
            self._own.compressor = compressor = self._zstd.ZstdCompressor(level=self._level)
        encoded: bytes = compressor.compress(body)
        return encoded

    def stream(self) -> Encoder:
        compressor = self._zstd.ZstdCompressor(compression_params=self._stream_parameters)
        return ZstdEncoder(compressor.compressobj(), self._zstd.COMPRESSOBJ_FLUSH_BLOCK)


class ZstdEncoder:
    """One zstd stream."""

    __slots__ = ("_flush_block", "_inner")

    def __init__(self, inner: Any, flush_block: int) -> None:
        self._inner = inner
        self._flush_block = flush_block

    def part(self, chunk: bytes, *, flush: bool) -> bytes:
        encoded: bytes = self._inner.compress(chunk)
        return encoded + self._inner.flush(self._flush_block) if flush else encoded

    def finish(self, chunk: bytes) -> bytes:
        encoded: bytes = self._inner.compress(chunk)
        rest: bytes = self._inner.flush()
        return encoded + rest


_KNOWN: dict[str, type[Zstd] | type[Brotli] | type[Gzip]] = {"zstd": Zstd, "br": Brotli, "gzip": Gzip}


def load_encodings(
    names: Sequence[str], levels: Mapping[str, int]
) -> tuple[tuple[Encoding, ...], tuple[str, ...]]:
    """The encodings of `names` in that order, and the names whose package is not installed."""
    found: list[Encoding] = []
    missing: list[str] = []
    for name in names:
        try:
            found.append(_KNOWN[name](levels[name]))
        except ImportError:
            missing.append(name)
    return tuple(found), tuple(missing)
