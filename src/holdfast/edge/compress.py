"""Response compression: which encoding, whether at all, what the headers then say, and the encoders.

Sources: RFC 9110 (12.5.3 Accept-Encoding, 12.5.5 Vary, 8.8.1 weak validators), RFC 8878 and RFC 9659
(zstd and its window on the web), RFC 7932 (brotli), RFC 1952 (gzip).
"""

import asyncio
import re
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from holdfast.edge.encoders import Encoder, Encoding, load_encodings

Headers = list[tuple[bytes, bytes]]

_QUALITY = re.compile(rb"q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)").fullmatch
_MEMO_ENTRIES = 512
_MEMO_BYTES = 256
VARY = (b"vary", b"Accept-Encoding")
"""What every variant of a compressible answer says, the uncompressed one too."""
# Statements about the exact bytes, which an encoding would make false.
_BYTE_STATEMENTS = frozenset({b"content-range", b"content-md5", b"digest", b"content-digest", b"repr-digest"})
_NOT_ENCODED = frozenset({b"content-length", b"accept-ranges"})

_COMPRESSIBLE = frozenset(
    b"application/" + name
    for name in (
        b"json xml javascript x-javascript ecmascript graphql graphql-response rtf sql toml yaml x-yaml wasm "
        b"x-ndjson ndjson jsonl json-seq problem+json manifest+json openmetrics-text x-www-form-urlencoded "
        b"vnd.ms-fontobject x-font-ttf x-font-otf"
    ).split()
) | {b"image/svg+xml", b"image/bmp", b"image/x-icon", b"image/vnd.microsoft.icon", b"font/ttf", b"font/otf"}


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The `[compression]` settings."""

    enabled: Annotated[bool, Meta(description="compress answers for callers that accept it")] = True
    minimum_bytes: Annotated[int, Meta(ge=0, description="answers shorter than this go out as they are")] = (
        500
    )
    encodings: Annotated[
        tuple[Literal["zstd", "br", "gzip"], ...],
        Meta(description="encodings offered, the preferred first; those not installed are left out"),
    ] = ("zstd", "br", "gzip")
    zstd_level: Annotated[
        int, Meta(ge=1, le=19, description="zstd level; above 19 a browser may refuse the window")
    ] = 3
    brotli_level: Annotated[
        int, Meta(ge=0, le=11, description="brotli quality; 9 and more takes milliseconds an answer")
    ] = 4
    gzip_level: Annotated[
        int,
        Meta(
            ge=1,
            le=9,
            description="gzip level; 2 is two to four times faster than 6 for about 2 points of size",
        ),
    ] = 2
    thread_bytes: Annotated[
        int, Meta(ge=1, description="longer pieces are compressed in a thread, off the event loop")
    ] = 256 * 1024
    event_streams: Annotated[
        bool, Meta(description="compress text/event-stream too, flushed with every message")
    ] = False


def choose(accept_encoding: bytes, available: Sequence[Encoding]) -> Encoding | None:
    """The encoding that the caller likes best; None means the body goes out as it is.

    Quality values decide, and among equals the order of `available`. `*` stands for whatever is not
    named, q=0 refuses, and a caller that prefers `identity` gets it. Members that cannot be read are
    passed over.
    """
    named = _qualities(accept_encoding)
    rest = named.get(b"*", 0)
    best: Encoding | None = None
    best_quality = 0
    for encoding in available:
        quality = named.get(encoding.name, rest)
        if quality > best_quality:
            best, best_quality = encoding, quality
    return best if best_quality >= named.get(b"identity", 0) else None


def _qualities(accept_encoding: bytes) -> dict[bytes, int]:
    """Lower-case coding names and their quality in thousandths; of a coding named twice the higher."""
    named: dict[bytes, int] = {}
    for member in accept_encoding.lower().split(b","):
        coding, *parameters = (part.strip(b" \t") for part in member.split(b";"))
        quality = 1000
        for parameter in parameters:
            found = _QUALITY(parameter)
            if found is not None:
                quality = round(float(found[1]) * 1000)
            elif parameter[:1] == b"q":
                coding = b""
        if coding:
            coding = coding.removeprefix(b"x-")  # RFC 9110 8.4.1.3: x-gzip is gzip
            named[coding] = max(quality, named.get(coding, 0))
    return named


def compressible(content_type: bytes, *, event_streams: bool = False) -> bool:
    """Whether bodies of this media type shrink; event streams only when asked for."""
    media_type = content_type.split(b";", 1)[0].strip().lower()
    if media_type == b"text/event-stream":
        return event_streams
    return (
        media_type.startswith(b"text/")
        or media_type in _COMPRESSIBLE
        or media_type.endswith((b"+json", b"+xml", b"+text", b"+yaml"))
    )


class Plan:
    """How one response will be encoded.

    With `is_whole` the start is to be held until the first body message: then `await whole(body, start)`
    when that is also the last, else `begin_stream(start)` and `encode` for it and every further one.
    Otherwise the start already says what it must and can go out at once, before any body: a stream's
    headers never wait for its first chunk.
    """

    __slots__ = ("_encoder", "_encoding", "_flush", "_thread_bytes", "is_whole")

    def __init__(self, encoding: Encoding, thread_bytes: int, *, is_whole: bool) -> None:
        self.is_whole = is_whole
        self._encoding = encoding
        self._thread_bytes = thread_bytes
        self._encoder: Encoder | None = None
        # A length was announced: nobody waits for single chunks, so they need not be flushed.
        self._flush = not is_whole

    async def whole(self, body: bytes, start: MutableMapping[str, Any]) -> bytes:
        """The one body, encoded, with `start` telling its exact length; as it is when that is no longer."""
        if len(body) > self._thread_bytes:
            encoded = await asyncio.to_thread(self._encoding.whole, body)
        else:
            encoded = self._encoding.whole(body)
        if len(encoded) >= len(body):
            return body
        start["headers"] = encoded_headers(start["headers"], self._encoding.name, len(encoded))
        return encoded

    def begin_stream(self, start: MutableMapping[str, Any]) -> None:
        """Make `start` announce an encoded body of unknown length."""
        start["headers"] = encoded_headers(start["headers"], self._encoding.name, None)

    def encode(self, body: bytes, more: bool) -> bytes:
        """The next bytes of the encoded stream; may be empty while an announced length is still to come."""
        encoder = self._encoder
        if encoder is None:
            self._encoder = encoder = self._encoding.stream()
        if not more:
            return encoder.finish(body)
        return encoder.part(body, flush=self._flush) if body else b""

    async def encode_aside(self, body: bytes, more: bool) -> bytes:
        """`encode`, in a thread when the piece is long: every encoder here drops the GIL."""
        if len(body) > self._thread_bytes:
            return await asyncio.to_thread(self.encode, body, more)
        return self.encode(body, more)


class Compression:
    """Decides at `http.response.start`; everything it asks of a small answer is a few look-ups."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.encodings, self.missing = load_encodings(
            config.encodings,
            {"zstd": config.zstd_level, "br": config.brotli_level, "gzip": config.gzip_level},
        )
        """What is offered, the preferred first; and the names that would need the `compress` extra."""
        self.types: dict[bytes, bool] = {}
        """The content types seen so far, and whether they shrink."""
        self._choices: dict[bytes, Encoding | None] = {}

    def plan(self, scope: Mapping[str, Any], start: MutableMapping[str, Any]) -> Plan | None:
        """How to encode this response, or None to leave its body alone.

        `start` is the `http.response.start` message with its headers in a list of lower-case pairs.
        Every variant of a compressible answer gets `Vary: Accept-Encoding`, also the ones that go out
        as they are. Untouched: 1xx, 204, 304, what is already encoded, `no-transform`, event streams
        (unless configured). HEAD and 206 keep everything but `Vary`.
        """
        status = start["status"]
        headers = start["headers"]
        kind = length = None
        for name, value in headers:
            if name == b"content-type":
                kind = value
            elif name == b"content-length":
                length = value
        if kind is None or status < 200 or status == 204 or status == 304:
            return None
        known = self.types.get(kind)
        if not (self._is_compressible(kind) if known is None else known):
            return None
        if len(headers) == 2 and length is not None:
            # The ordinary answer of a framework: no other header has a say.
            headers.append(VARY)
        elif not _lets_encode(headers):
            return None
        if length is not None and length.isdigit() and int(length) < self.config.minimum_bytes:
            return None
        if status == 206 or scope["method"] == "HEAD" or (len(headers) > 3 and _speaks_of_bytes(headers)):
            return None
        encoding = self._choose(scope["headers"])
        if encoding is None:
            return None
        plan = Plan(encoding, self.config.thread_bytes, is_whole=length is not None)
        if length is None:
            plan.begin_stream(start)
        return plan

    def _is_compressible(self, kind: bytes) -> bool:
        found = self.types.get(kind)
        if found is None:
            found = compressible(kind, event_streams=self.config.event_streams)
            _remember(self.types, kind, found)
        return found

    def _choose(self, request_headers: Sequence[tuple[bytes, bytes]]) -> Encoding | None:
        given = [value for name, value in request_headers if name == b"accept-encoding"]
        if not given:
            return None
        accepted = given[0] if len(given) == 1 else b",".join(given)
        try:
            return self._choices[accepted]
        except KeyError:
            found = choose(accepted, self.encodings)
            _remember(self._choices, accepted, found)
            return found


def _remember(memo: dict[bytes, Any], key: bytes, value: Any) -> None:
    """Keep an answer, within bounds: a caller may send any header it likes."""
    if len(key) > _MEMO_BYTES:
        return
    if len(memo) >= _MEMO_ENTRIES:
        memo.clear()
    memo[key] = value


def _lets_encode(headers: Headers) -> bool:
    """Whether the other headers leave room for an encoding; then `Vary` says that there may be one."""
    head = dict(headers)
    if b"content-encoding" in head or (b"cache-control" in head and _forbids_transforming(headers)):
        return False
    if b"vary" in head:
        _merge_vary(headers)
    else:
        headers.append(VARY)
    return True


def _speaks_of_bytes(headers: Headers) -> bool:
    return any(name in _BYTE_STATEMENTS for name, _ in headers)


def _forbids_transforming(headers: Headers) -> bool:
    return any(name == b"cache-control" and b"no-transform" in value.lower() for name, value in headers)


def _merge_vary(headers: Headers) -> None:
    """Add Accept-Encoding to the last `Vary`, unless one of them already says it or says `*`."""
    last = 0
    for position, (name, value) in enumerate(headers):
        if name == b"vary":
            last = position
            told = {part.strip() for part in value.lower().split(b",")}
            if b"*" in told or b"accept-encoding" in told:
                return
    before = headers[last][1].strip(b" \t,")
    headers[last] = (b"vary", before + b", Accept-Encoding") if before else VARY


def encoded_headers(headers: Headers, encoding: bytes, length: int | None) -> Headers:
    """The headers of the encoded variant: a strong ETag weakened, ranges withdrawn, the length exact or gone.

    `length` is the number of encoded bytes, or None when nobody knows it yet.
    """
    told = [pair for pair in headers if pair[0] not in _NOT_ENCODED]
    for position, (name, value) in enumerate(told):
        # RFC 9110 8.8.1: a strong validator names one sequence of bytes, and this is now another.
        if name == b"etag" and value.startswith(b'"'):
            told[position] = (name, b"W/" + value)
    told.append((b"content-encoding", encoding))
    if length is not None:
        told.append((b"content-length", b"%d" % length))
    return told
