"""Every fault over a real socket, streamed and not."""

import asyncio
import json
import math
from email.utils import parsedate_to_datetime

import pytest

from holdfast.rooms.faults import FaultServer
from holdfast.rooms.faults.rules.table import FAULTS
from tests.rooms.faults.asking import QUESTION, Line, ask, chat, deltas
from tests.waiting import until

BOTH = pytest.mark.parametrize("stream", [False, True])


def broken(read):
    """Whether the JSON cannot be read; cut in the middle of a character, it is not even text."""
    try:
        read()
    except ValueError:
        return True
    return False


async def left_alone(server, model, stream, received):
    """Ask, wait until so much has come and the script has nothing more to do, and leave."""
    line = await Line.to(server)
    line.send("POST", "/v1/chat/completions", chat(model, stream=stream))
    raw = b""
    while not received(raw):
        raw += await line.reader.read(65_536)
    await until(lambda: server.calls.of(model))
    await ask(server, chat("ok"))  # a whole answer elsewhere: nothing more came here meanwhile
    assert not line.reader._buffer
    assert server.calls.of(model)[0].ended_s is None
    line.leave()
    await until(lambda: server.calls.of(model)[0].ended_s is not None)
    assert server.calls.of(model)[0].left_early
    return raw


@BOTH
async def test_silent(server, stream):
    assert await left_alone(server, "silent", stream, lambda raw: True) == b""
    assert server.calls.of("silent")[0].status is None


@BOTH
async def test_silent_after_headers(server, stream):
    raw = await left_alone(server, "silent-after-headers", stream, lambda raw: raw.endswith(b"\r\n\r\n"))
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_stall_mid_stream(server):
    raw = await left_alone(server, "stall-mid-stream:2", True, lambda raw: raw.count(b'"content":"') == 3)
    assert b'finish_reason":"stop' not in raw
    raw = await left_alone(
        server, "stall-mid-stream:3", False, lambda raw: len(raw.partition(b"\r\n\r\n")[2]) > 90
    )
    assert b"usage" not in raw


@BOTH
@pytest.mark.parametrize("name", ["slow-headers:2.5", "slow-first-token:3", "role-only-first:2"])
async def test_late_answers_are_whole(server, naps, name, stream):
    got = await ask(server, chat(name, stream=stream))
    assert QUESTION in got.text
    assert naps.taken == [float(name.partition(":")[2])]


async def test_where_the_late_answers_wait(naps):
    gate = asyncio.Event()

    async def wait(seconds):
        await gate.wait()

    async with FaultServer(sleep=wait) as server:
        lines = {}
        for name in ("slow-headers", "slow-first-token", "role-only-first"):
            lines[name] = await Line.to(server)
            lines[name].send("POST", "/v1/chat/completions", chat(name, stream=True), connection="close")
        early = await lines["slow-first-token"].reader.readuntil(b"\r\n\r\n")
        assert early.startswith(b"HTTP/1.1 200")
        early = await lines["role-only-first"].reader.readuntil(b'"role":"assistant"')
        assert b"finish" not in early
        assert not lines["slow-headers"].reader._buffer
        gate.set()
        for line in lines.values():
            assert (await line.reader.read()).endswith(b"0\r\n\r\n")
            line.leave()


@BOTH
async def test_slow_drip(server, naps, stream):
    got = await ask(server, chat("slow-drip:0.01", stream=stream))
    assert QUESTION in got.text
    assert set(naps.taken) == {0.01}
    assert len(naps.taken) == math.ceil(len(got.raw) / 16) - 1


@BOTH
async def test_paced(server, naps, stream):
    got = await ask(server, chat("paced:0.2", stream=stream))
    assert QUESTION in got.text
    assert set(naps.taken) == {0.2}


REFUSALS = {
    "401": (401, "invalid_api_key"),
    "403": (403, "model_not_allowed"),
    "404": (404, "model_not_found"),
    "408": (408, "timeout"),
    "429": (429, "rate_limit_exceeded"),
    "429-retry-after": (429, "rate_limit_exceeded"),
    "429-retry-after-ms": (429, "rate_limit_exceeded"),
    "429-retry-after-date": (429, "rate_limit_exceeded"),
    "429-long": (429, "rate_limit_exceeded"),
    "429-quota": (429, "insufficient_quota"),
    "500": (500, None),
    "503": (503, None),
    "529": (529, None),
    "status:502": (502, None),
    "context-length": (400, "context_length_exceeded"),
    "content-filter-400": (400, "content_filter"),
}


@BOTH
@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals(server, name, stream):
    got = await ask(server, chat(f"gpt-4o+{name}", stream=stream))
    assert (got.status, got.json["error"]["code"]) == REFUSALS[name]
    assert got.json["error"]["message"]
    assert got.complete
    assert ("retry-after" in got.headers) == (name in ("429-retry-after", "429-retry-after-date", "429-long"))


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals_of_messages(server, name):
    got = await ask(server, chat(name), "/v1/messages")
    assert got.status == REFUSALS[name][0]
    assert got.json["type"] == "error"
    assert got.json["error"]["type"].endswith(("_error", "_limit"))


async def test_the_hints_of_a_rate_limit(server, clock):
    assert (await ask(server, chat("429-retry-after:2.5"))).headers["retry-after"] == "2.5"
    assert (await ask(server, chat("429-retry-after"))).headers["retry-after"] == "2"
    assert (await ask(server, chat("429-long"))).headers["retry-after"] == "3600"
    assert (await ask(server, chat("429-retry-after-ms:250"))).headers["retry-after-ms"] == "250"
    clock.advance(0.4)
    got = await ask(server, chat("429-retry-after-date:2"))
    later = parsedate_to_datetime(got.headers["retry-after"]).timestamp()
    assert clock.wall() + 2 <= later <= clock.wall() + 3


@BOTH
async def test_a_burst_ends_and_each_key_has_its_own(server, stream):
    async def statuses(name, key, times=4):
        body = chat(name, stream=stream)
        return [(await ask(server, body, authorization=f"Bearer {key}")).status for _ in range(times)]

    assert await statuses("500-burst:2", "a") == [500, 500, 200, 200]
    assert await statuses("500-burst:2", "b") == [500, 500, 200, 200]
    assert await statuses("gpt-4o+500-burst:2", "a", 3) == [500, 500, 200]
    assert await statuses("outage:3", "a") == [503, 503, 503, 200]
    assert await statuses("outage-reset:3", "a") == [None, None, None, 200]


async def test_an_outage_of_seconds_ends_by_the_clock(server, clock):
    assert (await ask(server, chat("outage:2.5s"))).status == 503
    clock.advance(2.4)
    assert (await ask(server, chat("outage:2.5s"))).status == 503
    clock.advance(0.2)
    assert (await ask(server, chat("outage:2.5s"))).status == 200
    assert (await ask(server, chat("outage:2.5s"), authorization="Bearer other")).status == 503


async def test_flaky_follows_from_the_seed():
    async def statuses(seed, name="flaky:0.5"):
        async with FaultServer(seed=seed) as server:
            return [(await ask(server, chat(name))).status for _ in range(24)]

    first = await statuses(1)
    assert set(first) == {200, 503}
    assert await statuses(1) == first
    assert await statuses(2) != first
    assert set(await statuses(1, "flaky:0")) == {200}
    assert set(await statuses(1, "flaky:1")) == {503}


@BOTH
async def test_html_with_status_200(server, stream):
    got = await ask(server, chat("html-200", stream=stream))
    assert got.status == 200
    assert got.headers["content-type"].startswith("text/html")
    assert got.body.startswith(b"<!DOCTYPE html>")


@BOTH
async def test_nothing_with_status_200(server, stream):
    got = await ask(server, chat("empty-200", stream=stream))
    assert (got.status, got.body, got.complete) == (200, b"", True)


@BOTH
async def test_an_error_with_status_200(server, stream):
    got = await ask(server, chat("error-200", stream=stream))
    assert got.status == 200
    assert got.headers["content-type"] == "application/json"
    assert got.json["error"]["type"] == "server_error"


async def test_an_error_in_the_stream(server):
    got = await ask(server, chat("error-in-stream:2", stream=True))
    assert (got.status, got.complete) == (200, True)
    assert len(deltas(got.chunks, "content")) == 2
    assert got.chunks[-1]["error"]["type"] == "overloaded_error"
    first = await ask(server, chat("error-first-in-stream", stream=True))
    assert [list(one) for one in first.chunks] == [["error"]]
    named = await ask(server, chat("error-in-stream:2", stream=True), "/v1/messages")
    assert named.events[-1].startswith("event: error\n")
    for name in ("error-in-stream", "error-first-in-stream"):
        assert "error" in (await ask(server, chat(name))).json


@BOTH
async def test_wrong_content_type(server, stream):
    got = await ask(server, chat("wrong-content-type", stream=stream))
    assert got.headers["content-type"] == "text/plain"
    assert b"chatcmpl" in got.body


async def test_bad_json(server):
    plain = await ask(server, chat("bad-json"))
    assert plain.complete
    assert broken(lambda: plain.json)
    stream = await ask(server, chat("bad-json", stream=True))
    assert stream.complete
    assert broken(lambda: stream.chunks)
    assert stream.events[-1] == "data: [DONE]"


async def test_malformed_sse(server):
    stream = await ask(server, chat("malformed-sse", stream=True))
    assert [event for event in stream.events if not event.startswith("data: ")] == [
        "<<< this line is no event >>>"
    ]
    assert QUESTION in stream.text
    plain = await ask(server, chat("malformed-sse"))
    assert broken(lambda: plain.json)


async def test_crlf_sse(server):
    stream = await ask(server, chat("crlf-sse", stream=True))
    assert b"\n" not in stream.body.replace(b"\r\n", b"")
    assert b"data: " not in stream.body
    assert QUESTION in stream.text
    assert QUESTION in (await ask(server, chat("crlf-sse"))).text


async def test_keepalive_comments(server, naps):
    stream = await ask(server, chat("keepalive-comments:0.5", stream=True))
    assert stream.events[0::2] == [": keep-alive"] * (len(stream.events) // 2)
    assert QUESTION in stream.text
    assert set(naps.taken) == {0.5}
    plain = await ask(server, chat("keepalive-comments"))
    assert plain.body.startswith(b"\n\n\n")
    assert QUESTION in plain.text


@BOTH
async def test_reset(server, stream):
    got = await ask(server, chat("reset", stream=stream))
    assert got.raw == b""
    assert got.error is not None
    assert not server.calls.of("reset")[0].left_early


@BOTH
async def test_reset_mid_body(server, stream):
    got = await ask(server, chat("reset-mid-body", stream=stream))
    assert got.error is not None
    assert not got.complete


async def test_cut_mid_stream(server):
    got = await ask(server, chat("cut-mid-stream:3", stream=True))
    assert got.error is None
    assert len(deltas(got.chunks, "content")) == 3
    assert not got.complete
    plain = await ask(server, chat("cut-mid-stream:3"))
    assert plain.wire
    assert not plain.complete
    late = await ask(server, chat("cut-mid-stream:1000", stream=True))
    assert QUESTION in late.text
    assert not late.complete
    assert all(one["choices"][0]["finish_reason"] is None for one in late.chunks)
    none = await ask(server, chat("cut-mid-stream:0", stream=True))
    assert deltas(none.chunks, "role") == ["assistant"]
    assert none.text == ""


async def test_streams_that_end_too_early_in_good_order(server):
    usage = {"include_usage": True}
    got = await ask(server, chat("no-done", stream=True, stream_options=usage))
    assert got.complete
    assert b"[DONE]" not in got.body
    assert got.chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert got.chunks[-1]["usage"]
    got = await ask(server, chat("no-finish", stream=True, stream_options=usage))
    assert got.complete
    assert b"[DONE]" not in got.body
    assert all(one["choices"][0]["finish_reason"] is None for one in got.chunks)
    named = await ask(server, chat("no-finish", stream=True), "/v1/messages")
    assert named.chunks[-1]["type"] == "content_block_stop"
    assert (await ask(server, chat("no-finish"))).json["choices"][0]["finish_reason"] is None
    assert QUESTION in (await ask(server, chat("no-done"))).text


@BOTH
@pytest.mark.parametrize(
    ("name", "finish"), [("truncated-length", "length"), ("content-filter", "content_filter")]
)
async def test_half_answers(server, name, finish, stream):
    whole = await ask(server, chat("ok", stream=stream))
    got = await ask(server, chat(name, stream=stream))
    assert got.text
    assert whole.text.startswith(got.text)
    last = got.chunks[-1] if stream else got.json
    assert last["choices"][0]["finish_reason"] == finish


@BOTH
async def test_wrong_model(server, stream):
    got = await ask(server, chat("wrong-model", stream=stream))
    assert {one["model"] for one in (got.chunks if stream else [got.json])} == {"another-model"}
    vectors = await ask(server, {"model": "wrong-model", "input": "a"}, "/v1/embeddings")
    assert vectors.json["model"] == "another-model"


async def test_no_usage(server):
    assert "usage" not in (await ask(server, chat("no-usage"))).json
    stream = await ask(server, chat("no-usage", stream=True, stream_options={"include_usage": True}))
    assert all("usage" not in one for one in stream.chunks)
    assert "usage" not in (await ask(server, {"model": "no-usage", "input": "a"}, "/v1/embeddings")).json
    assert b'"usage"' not in (await ask(server, chat("no-usage", stream=True), "/v1/messages")).body


async def test_reasoning(server):
    plain = (await ask(server, chat("reasoning"))).json["choices"][0]["message"]
    stream = await ask(server, chat("reasoning", stream=True))
    assert "먼저" in plain["reasoning_content"]
    assert "".join(deltas(stream.chunks, "reasoning_content")) == plain["reasoning_content"]
    assert stream.text == plain["content"]
    named = await ask(server, chat("reasoning"), "/v1/messages")
    assert [block["type"] for block in named.json["content"]] == ["thinking", "text"]
    streamed = await ask(server, chat("reasoning", stream=True), "/v1/messages")
    kinds = {one["delta"]["type"] for one in streamed.chunks if one["type"] == "content_block_delta"}
    assert kinds == {"thinking_delta", "text_delta"}


async def test_tool_call(server):
    plain = (await ask(server, chat("tool-call"))).json["choices"][0]
    assert plain["finish_reason"] == "tool_calls"
    function = plain["message"]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == {"city": "서울"}
    stream = await ask(server, chat("tool-call", stream=True))
    calls = [call["function"] for part in deltas(stream.chunks, "tool_calls") for call in part]
    assert len(calls) > 2
    assert "".join(call["arguments"] for call in calls) == function["arguments"]


@BOTH
async def test_echo_headers(server, stream):
    got = await ask(
        server, chat("echo-headers", stream=stream), authorization="Bearer sk-secret", x_mine="yes"
    )
    echoed = json.loads(got.text)
    assert echoed["authorization"] == "Bearer ***"
    assert echoed["x-mine"] == "yes"
    assert "sk-secret" not in got.raw.decode()


@BOTH
@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_001])
async def test_huge(server, size, stream):
    got = await ask(server, chat(f"huge:{size}", stream=stream))
    assert got.complete
    assert got.text == "x" * size


async def test_a_client_that_reads_slowly_holds_up_a_huge_answer(server):
    line = await Line.to(server)
    line.send("POST", "/v1/chat/completions", chat("huge:1000000000"))
    await line.reader.readuntil(b"\r\n\r\n")
    call = server.calls.of("huge:1000000000")[0]
    assert call.sent_bytes < 100_000_000
    line.leave()
    await until(lambda: server.calls.of("huge:1000000000")[0].left_early)


async def test_bad_vectors(server):
    body = {"input": ["가", "나"], "dimensions": 16}
    short = await ask(server, {"model": "bad-dimensions", **body}, "/v1/embeddings")
    assert [len(one["embedding"]) for one in short.json["data"]] == [15, 15]
    spoiled = await ask(server, {"model": "nan-embedding", **body}, "/v1/embeddings")
    assert b"NaN" in spoiled.body
    for one in spoiled.json["data"]:
        assert len(one["embedding"]) == 16
        assert math.isnan(one["embedding"][0])
    packed = await ask(
        server, {"model": "nan-embedding", "encoding_format": "base64", **body}, "/v1/embeddings"
    )
    assert packed.json["data"][0]["embedding"].startswith("AADAf")


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/messages", "/v1/models"])
async def test_a_header_selects_the_fault_of_any_address(server, path):
    body = None if path == "/v1/models" else {"model": "gpt-4o", "input": "a", **chat("gpt-4o")}
    body = body and {**body, "model": "gpt-4o"}
    assert (await ask(server, body, path, x_fault="529")).status == 529
    assert (await ask(server, body, path, x_fault="reset")).error is not None
    assert not (await ask(server, body, path, x_fault="cut-mid-stream")).complete
    assert (await ask(server, body, path, x_fault="nosuch")).status == 404


async def test_a_fault_for_models_that_name_none(naps):
    async with FaultServer(fault="503", sleep=naps) as server:
        assert (await ask(server, chat("gpt-4o"))).status == 503
        assert (await ask(server, chat("ok"))).status == 200
        assert (await ask(server, chat("gpt-4o"), x_fault="nosuch")).status == 404


def test_every_fault_has_a_test_here():
    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    assert [kind.name for kind in FAULTS if f'"{kind.name}' not in text] == []
