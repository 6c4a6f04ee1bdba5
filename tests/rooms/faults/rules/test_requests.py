"""Requests from bytes, however they come."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.faults.rules.masking import key_mark, masked
from holdfast.rooms.faults.rules.requests import MOST_BODY, BadRequest, Dechunker, parse_head


def test_what_a_head_says():
    head = parse_head(
        b"POST /v1/messages?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length:  12\r\nX-Api-Key: k\r\n"
        b"X-Fault: 429\r\nAccept: a\r\naccept: b\r\nConnection: Keep-Alive, Close\r\nExpect: 100-Continue"
    )
    assert (head.method, head.path, head.query) == ("POST", "/v1/messages", "x=1")
    assert (head.length, head.chunked, head.close, head.expects) == (12, False, True, True)
    assert (head.fault, head.key) == ("429", "k")
    assert head.headers["accept"] == "a, b"


def test_a_bare_head():
    head = parse_head(b"GET / HTTP/1.0")
    assert head.close
    assert head.headers == {}
    assert head.key == ""


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
def test_each_way_to_say_a_key(name):
    assert parse_head(f"GET / HTTP/1.1\r\n{name}: one".encode()).key == "one"


@pytest.mark.parametrize(
    "raw", [b"", b"GET /", b"GET / HTTP/2", b"GET / HTTP/1.1\r\ncontent-length: x", b"\xff \xff \xff"]
)
def test_what_is_no_head(raw):
    with pytest.raises(BadRequest):
        parse_head(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(raw):
    with contextlib.suppress(BadRequest):
        assert parse_head(raw).length >= 0


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 17), st.binary(max_size=10))
def test_chunks_come_together_however_they_are_cut(chunks, step, behind):
    wire = b"".join(b"%X\r\n%b\r\n" % (len(one), one) for one in chunks) + b"0\r\nt: 1\r\n\r\n"
    dechunker, buffer, done = Dechunker(), bytearray(), False
    for at in range(0, len(wire), step):
        assert not done
        buffer += wire[at : at + step]
        done = dechunker.feed(buffer)
    assert done
    assert not buffer
    assert bytes(dechunker.body) == b"".join(chunks)


@pytest.mark.parametrize(
    "wire", [b"\r\n", b"-1\r\n", b"123456789\r\n", b"%x\r\n" % (MOST_BODY + 1), b"1" * 70_000]
)
def test_what_is_no_chunk(wire):
    with pytest.raises(BadRequest):
        Dechunker().feed(bytearray(wire))


def test_secrets_are_hidden():
    given_ = {"authorization": "Bearer sk-1", "cookie": "a=b", "x-api-key": "sk 2", "accept": "*/*"}
    assert masked(given_) == {
        "authorization": "Bearer ***",
        "cookie": "***",
        "x-api-key": "sk ***",
        "accept": "*/*",
    }
    assert key_mark("") == ""
    assert key_mark("a") != key_mark("b")
    assert "sk-1" not in key_mark("sk-1")
