"""Negotiation and headers as tables; bodies decoded back by the real decoders."""

import gzip
import threading
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from holdfast.edge.compress import Compression, Config, Plan, choose, compressible
from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured

TEXT = b'{"name": "holdfast", "kind": "layer"}, ' * 40
DECODE = {
    b"gzip": gzip.decompress,
    b"br": brotli.decompress,
    b"zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}
ALL = Compression(Config())
GZIP_ONLY = Compression(Config(encodings=("gzip",)))


def request(accept: bytes | None = b"gzip, br, zstd", method: str = "GET") -> dict[str, Any]:
    headers = [(b"host", b"example.org")]
    if accept is not None:
        headers.append((b"accept-encoding", accept))
    return {"type": "http", "method": method, "headers": headers}


def start(*headers: tuple[bytes, bytes], status: int = 200, length: int | None = len(TEXT)) -> dict[str, Any]:
    given = [(b"content-type", b"application/json"), *headers]
    if length is not None:
        given.append((b"content-length", b"%d" % length))
    return {"type": "http.response.start", "status": status, "headers": given}


def values(message: dict[str, Any], name: bytes) -> list[bytes]:
    return [value for key, value in message["headers"] if key == name]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (b"gzip, deflate, br, zstd", b"zstd"),
        (b"gzip, deflate, br", b"br"),
        (b"gzip", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"br;q=1.0, gzip;q=0.8, *;q=0.1", b"br"),
        (b"zstd;q=0.5, br;q=0.5, gzip;q=0.9", b"gzip"),
        (b"zstd;q=0.5,br;q=0.501,gzip;q=0.5", b"br"),
        (b"gzip ; q=0.5 , br ; Q=0.4", b"gzip"),
        (b"gzip;q=0.5;level=1", b"gzip"),
        (b"*", b"zstd"),
        (b"*;q=0.1", b"zstd"),
        (b"zstd;q=0, *", b"br"),
        (b"*;q=0, gzip", b"gzip"),
        (b"gzip;q=1.000", b"gzip"),
        (b"gzip, identity;q=0", b"gzip"),
        (b"gzip;q=0.5, identity;q=0.5", b"gzip"),
        (b"gzip;q=0, gzip;q=0.3", b"gzip"),
        (b",, gzip ,", b"gzip"),
        (b"br;q=2, gzip", b"gzip"),
        (b"br;q=high, gzip;q=0.1", b"gzip"),
        (b"br;q=, gzip;q=0.1", b"gzip"),
    ],
)
def test_the_best_encoding_is_chosen(accept: bytes, chosen: bytes) -> None:
    found = choose(accept, ALL.encodings)
    assert found is not None
    assert found.name == chosen


@pytest.mark.parametrize(
    "accept",
    [
        b"",
        b"identity",
        b"deflate, compress",
        b"gzip;q=0",
        b"gzip;q=0.000",
        b"*;q=0",
        b"identity;q=0",
        b"identity, gzip;q=0.5",
        b"identity;q=1, *;q=0.9",
        b"gzip;q=1.5",
        b"gzip;q=-1",
        b"gzip;q=0.1234",
        b"gzipped",
        b"\xff\xfe",
    ],
)
def test_the_body_goes_out_as_it_is(accept: bytes) -> None:
    assert choose(accept, ALL.encodings) is None


@given(st.binary(max_size=60))
def test_no_header_breaks_the_choice(accept: bytes) -> None:
    found = choose(accept, ALL.encodings)
    assert found is None or found in ALL.encodings


@given(st.permutations(["gzip", "br", "zstd"]), st.lists(st.integers(0, 1000), min_size=3, max_size=3))
def test_the_highest_quality_wins_in_any_order(names: list[str], thousandths: list[int]) -> None:
    accept = ", ".join(f"{name};q={q / 1000:.3f}" for name, q in zip(names, thousandths, strict=True))
    found = choose(accept.encode(), ALL.encodings)
    quality = dict(zip(names, thousandths, strict=True))
    best = max(quality.values())
    preferred = [name for name in ("zstd", "br", "gzip") if quality[name] == best]
    assert (found.name.decode() if found else None) == (preferred[0] if best else None)


@pytest.mark.parametrize(
    ("content_type", "shrinks"),
    [
        (b"application/json", True),
        (b"application/json; charset=utf-8", True),
        (b"Application/JSON", True),
        (b"application/problem+json", True),
        (b"application/vnd.api+json", True),
        (b"text/html; charset=utf-8", True),
        (b"text/plain", True),
        (b"image/svg+xml", True),
        (b"application/x-ndjson", True),
        (b"application/openmetrics-text; version=1.0.0", True),
        (b"application/wasm", True),
        (b"text/event-stream", False),
        (b"text/event-stream; charset=utf-8", False),
        (b"image/png", False),
        (b"application/zip", False),
        (b"application/octet-stream", False),
        (b"video/mp4", False),
        (b"font/woff2", False),
        (b"", False),
    ],
)
def test_what_shrinks(content_type: bytes, shrinks: bool) -> None:
    assert compressible(content_type) is shrinks


@pytest.mark.parametrize("name", [b"zstd", b"br", b"gzip"])
async def test_a_whole_body_is_encoded_with_its_exact_length(name: bytes) -> None:
    message = start((b"etag", b'"abc"'), (b"accept-ranges", b"bytes"))
    plan = ALL.plan(request(name), message)
    assert plan is not None
    assert plan.is_whole
    body = await plan.whole(TEXT, message)
    assert DECODE[name](body) == TEXT
    assert values(message, b"content-encoding") == [name]
    assert values(message, b"content-length") == [b"%d" % len(body)]
    assert values(message, b"etag") == [b'W/"abc"']
    assert values(message, b"accept-ranges") == []
    assert values(message, b"vary") == [b"Accept-Encoding"]
    assert values(message, b"content-type") == [b"application/json"]


async def test_a_body_that_does_not_shrink_goes_out_as_it_is() -> None:
    noise = __import__("random").Random(7).randbytes(2000)
    message = start((b"etag", b'"abc"'), length=len(noise))
    plan = ALL.plan(request(), message)
    assert plan is not None
    assert await plan.whole(noise, message) == noise
    assert values(message, b"content-encoding") == []
    assert values(message, b"content-length") == [b"2000"]
    assert values(message, b"etag") == [b'"abc"']
    assert values(message, b"vary") == [b"Accept-Encoding"]


async def test_long_pieces_are_compressed_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    compression = Compression(Config(encodings=("gzip",), thread_bytes=1000))
    inner, threads = compression.encodings[0].whole, []

    def watched(body: bytes) -> bytes:
        threads.append(threading.current_thread())
        return inner(body)

    monkeypatch.setattr(compression.encodings[0], "whole", watched)
    for size in (1000, 1001):
        message = start(length=size)
        plan = compression.plan(request(), message)
        assert plan is not None
        assert gzip.decompress(await plan.whole(b"a" * size, message)) == b"a" * size
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threading.current_thread()
    plan = compression.plan(request(), start(length=None))
    assert plan is not None
    encoded = await plan.encode_aside(b"b" * 5000, True) + await plan.encode_aside(b"c", False)
    assert gzip.decompress(encoded) == b"b" * 5000 + b"c"


@pytest.mark.parametrize("name", [b"zstd", b"br", b"gzip"])
def test_a_stream_says_at_once_that_it_is_encoded(name: bytes) -> None:
    message = start((b"etag", b'"abc"'), length=None)
    plan = ALL.plan(request(name), message)
    assert plan is not None
    assert not plan.is_whole
    assert values(message, b"content-encoding") == [name]
    assert values(message, b"content-length") == []
    assert values(message, b"etag") == [b'W/"abc"']
    first = plan.encode(b"first, ", True)
    assert first, "a chunk that the app flushed must not wait in the encoder"
    assert DECODE[name](first + plan.encode(b"", True) + plan.encode(b"last", False)) == b"first, last"


@given(st.lists(st.binary(max_size=700), min_size=1, max_size=8), st.sampled_from([b"zstd", b"br", b"gzip"]))
def test_a_body_announced_whole_may_still_come_in_chunks(chunks: list[bytes], name: bytes) -> None:
    message = start(length=9_999)
    plan = ALL.plan(request(name), message)
    assert plan is not None
    plan.begin_stream(message)
    assert values(message, b"content-length") == []
    encoded = b"".join(plan.encode(chunk, n + 1 < len(chunks)) for n, chunk in enumerate(chunks))
    assert DECODE[name](encoded) == b"".join(chunks)


UNTOUCHED = [
    pytest.param(start(status=103), request(), id="early hints"),
    pytest.param(start(status=204), request(), id="no content"),
    pytest.param(start(status=304), request(), id="not modified"),
    pytest.param(start((b"content-encoding", b"gzip")), request(), id="already encoded"),
    pytest.param(start((b"cache-control", b"public, No-Transform")), request(), id="no-transform"),
    pytest.param(
        start((b"cache-control", b"no-transform"), (b"cache-control", b"private")),
        request(),
        id="two headers",
    ),
    pytest.param({"status": 200, "headers": [(b"content-type", b"image/png")]}, request(), id="an image"),
    pytest.param(
        {"status": 200, "headers": [(b"content-type", b"text/event-stream")]}, request(), id="an event stream"
    ),
    pytest.param({"status": 200, "headers": []}, request(), id="no content type"),
]


@pytest.mark.parametrize(("message", "scope"), UNTOUCHED)
def test_nothing_is_touched(message: dict[str, Any], scope: dict[str, Any]) -> None:
    before = list(message["headers"])
    assert ALL.plan(scope, message) is None
    assert message["headers"] == before


ONLY_VARY = [
    pytest.param(start(length=499), request(), id="below the minimum"),
    pytest.param(start(length=0), request(), id="empty"),
    pytest.param(start(), request(None), id="no Accept-Encoding"),
    pytest.param(start(), request(b""), id="empty Accept-Encoding"),
    pytest.param(start(), request(b"identity"), id="identity"),
    pytest.param(start(), request(b"*;q=0"), id="everything refused"),
    pytest.param(start(), request(method="HEAD"), id="HEAD"),
    pytest.param(start((b"content-range", b"bytes 0-9/99"), status=206), request(), id="a part"),
    pytest.param(start((b"content-range", b"bytes 0-9/99")), request(), id="a range with another status"),
    pytest.param(start((b"repr-digest", b"sha-256=:AAA=:")), request(), id="a digest of the bytes"),
]


@pytest.mark.parametrize(("message", "scope"), ONLY_VARY)
def test_variants_that_go_out_as_they_are_say_vary(message: dict[str, Any], scope: dict[str, Any]) -> None:
    before = list(message["headers"])
    assert ALL.plan(scope, message) is None
    assert message["headers"] == [*before, (b"vary", b"Accept-Encoding")]


@pytest.mark.parametrize(
    ("given_vary", "told"),
    [
        ([b"Origin"], [b"Origin, Accept-Encoding"]),
        ([b"Origin, Cookie"], [b"Origin, Cookie, Accept-Encoding"]),
        ([b"Origin", b"Cookie"], [b"Origin", b"Cookie, Accept-Encoding"]),
        ([b"accept-encoding"], [b"accept-encoding"]),
        ([b"Origin,Accept-Encoding"], [b"Origin,Accept-Encoding"]),
        ([b"Accept-Encoding", b"Origin"], [b"Accept-Encoding", b"Origin"]),
        ([b"*"], [b"*"]),
        ([b"Origin", b"*"], [b"Origin", b"*"]),
        ([b""], [b"Accept-Encoding"]),
        ([b"X-Accept-Encoding"], [b"X-Accept-Encoding, Accept-Encoding"]),
    ],
)
@pytest.mark.parametrize("length", [10, 5000])
def test_vary_is_merged(given_vary: list[bytes], told: list[bytes], length: int) -> None:
    message = start(*((b"vary", value) for value in given_vary), length=length)
    ALL.plan(request(), message)
    assert values(message, b"vary") == told


@pytest.mark.parametrize("etag", [b'W/"abc"', b"unquoted"])
async def test_a_weak_etag_stays(etag: bytes) -> None:
    message = start((b"etag", etag))
    plan = ALL.plan(request(), message)
    assert plan is not None
    await plan.whole(TEXT, message)
    assert values(message, b"etag") == [etag]


def test_several_accept_encoding_headers_count_as_one() -> None:
    scope = {"method": "GET", "headers": [(b"accept-encoding", b"br;q=0.1"), (b"accept-encoding", b"gzip")]}
    message = start(length=None)
    assert ALL.plan(scope, message) is not None
    assert values(message, b"content-encoding") == [b"gzip"]


def test_event_streams_are_flushed_per_message_when_configured() -> None:
    compression = Compression(Config(event_streams=True))
    message = {"status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    plan = compression.plan(request(), message)
    assert isinstance(plan, Plan)
    read = zstandard.ZstdDecompressor().decompressobj().decompress
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        assert read(plan.encode(event, True)) == event


def test_only_what_is_offered_is_used() -> None:
    assert GZIP_ONLY.plan(request(b"br, zstd"), start()) is None
    message = start(length=None)
    assert GZIP_ONLY.plan(request(b"br, zstd, gzip;q=0.1"), message) is not None
    assert values(message, b"content-encoding") == [b"gzip"]


def test_the_memo_stays_bounded() -> None:
    compression = Compression(Config())
    for n in range(2000):
        scope = request(b"gzip, x%d" % n)
        compression.plan(scope, {"status": 200, "headers": [(b"content-type", b"text/x-%d" % n)]})
    compression.plan(request(b"gzip, " + b"a" * 1000), start())
    assert len(compression._choices) <= 512
    assert len(compression.types) <= 512
    assert max(map(len, compression._choices)) <= 256


def test_a_bad_setting_is_named() -> None:
    with pytest.raises(Misconfigured, match=r"compression\.encodings"):
        load_settings(
            {"holdfast": Config, "compression": Config}, overrides={"compression": {"encodings": ["lzma"]}}
        )
