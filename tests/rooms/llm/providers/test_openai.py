"""The OpenAI-compatible provider against an upstream that answers and misbehaves over a real socket."""

import asyncio
import base64
import json
import struct

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.llm.providers.endpoint import Options
from holdfast.rooms.llm.providers.lane import Lane
from holdfast.rooms.llm.providers.openai import OpenAIProvider
from holdfast.rooms.llm.providers.transport import Limits
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

from .speech import ANSWER, BODY, KEY, WHOLE, delta, sse, vectors, words
from .upstream import Upstream, always, chunk, chunked, plain


def provider(upstream, *, path="", first_byte_s=10.0, **options):
    options.setdefault("linger_s", 0.05)
    transport = Lane(upstream.url + path, Limits(first_byte_s=first_byte_s))
    return OpenAIProvider(transport, Options(**options), clock=ManualClock())


async def chat(upstream, body=BODY, **options):
    made = provider(upstream, **options)
    try:
        return await made.chat(body, KEY)
    finally:
        await made.close()


async def fails(upstream, ask=chat, **options):
    with pytest.raises(ProviderFailed) as caught:
        await ask(upstream, **options)
    return caught.value


async def stream(upstream, body=BODY, into=None, **options):
    made = provider(upstream, **options)
    found = [] if into is None else into
    try:
        async for each in made.stream(body, KEY):
            found.append(each)
    finally:
        await made.close()
    return found


async def test_a_chat_comes_back_as_it_was_sent_and_the_body_arrives_unchanged():
    body = {**BODY, "stream": True, "stream_options": {}, "seed": 7}
    async with Upstream(always(plain(json.dumps(ANSWER).encode()))) as upstream:
        assert await chat(upstream, body, path="/v1") == ANSWER
    (seen,) = upstream.requests
    assert seen.line == "POST /v1/chat/completions HTTP/1.1"
    assert json.loads(seen.body) == {**BODY, "seed": 7}
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert body["stream"] is True


async def test_azure_organisations_and_headers_of_a_deployment():
    async with Upstream(always(plain(json.dumps(ANSWER).encode()))) as upstream:
        more = {"X-Team": "검색".encode().hex(), "Accept": "application/json"}
        given = {"auth": "api-key", "api_version": "2025-01-01 preview", "extra_headers": more}
        await chat(upstream, path="/openai/deployments/d", organization="o", project="p", **given)
        await chat(upstream, auth="none")
    azure, open_one = upstream.requests
    assert azure.line.split()[1] == "/openai/deployments/d/chat/completions?api-version=2025-01-01%20preview"
    assert azure.headers["api-key"] == KEY
    assert "authorization" not in azure.headers
    assert (azure.headers["openai-organization"], azure.headers["openai-project"]) == ("o", "p")
    assert azure.headers["accept"] == "application/json"
    assert not {"authorization", "api-key"} & set(open_one.headers)


async def test_each_call_has_its_own_key():
    async with Upstream(always(plain(json.dumps(ANSWER).encode()))) as upstream:
        made = provider(upstream)
        for key in ("one", "two", "one", ""):
            await made.chat(BODY, key)
        await made.close()
    keys = [request.headers.get("authorization") for request in upstream.requests]
    assert keys == ["Bearer one", "Bearer two", "Bearer one", None]


async def test_a_prompt_of_ten_megabytes_with_what_utf8_cannot_hold():
    body = {**BODY, "messages": [{"role": "user", "content": "가\ud800\0" * 2_000_000}]}
    async with Upstream(always(plain(json.dumps(ANSWER).encode()))) as upstream:
        assert await chat(upstream, body) == ANSWER
    assert json.loads(upstream.requests[0].body)["messages"][0]["content"].startswith("가\\ud800\0")


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (plain(b"<html>Welcome</html>", kind="text/html"), Kind.GARBLED, "html"),
        (plain(b""), Kind.GARBLED, "empty"),
        (plain(b"{"), Kind.GARBLED, "not_json"),
        (plain(json.dumps(ANSWER).encode(), kind="text/plain"), Kind.GARBLED, "content_type"),
        (plain(b'{"error":{"message":"x","code":"server_error"}}'), Kind.GARBLED, "server_error"),
        (plain(b'{"error":"boom"}'), Kind.GARBLED, "error_in_200"),
        (plain(b'{"error":{"code":"content_filter"}}'), Kind.CONTENT_FILTER, "content_filter"),
        (plain(b'{"choices":[]}'), Kind.GARBLED, "no_choices"),
        (plain(b"", "204 No Content"), Kind.GARBLED, "empty"),
        (plain(b"", "302 Found", "text/html", "location: https://x/?key=1"), Kind.NOT_FOUND, ""),
        (plain(b'{"error":{"code":"quota_exceeded"}}', "400 Bad"), Kind.QUOTA, "quota_exceeded"),
        (plain(b"<html>", "502 Bad Gateway", "text/html"), Kind.SERVER, ""),
        (plain(b"", "503 No", "text/html", "retry-after: 7"), Kind.OVERLOADED, ""),
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_a_failure_of_its_kind(answer, kind, code):
    async with Upstream(always(answer)) as upstream:
        error = await fails(upstream)
        streamed = await fails(upstream, stream)
    assert (error.kind, error.code) == (kind, code)
    assert error.retry_after_s == (7.0 if kind is Kind.OVERLOADED else None)
    # Of a stream only the last may differ: it may come as JSON and is still no stream.
    assert streamed.kind is kind or (kind, streamed.kind) == (Kind.GARBLED, Kind.GARBLED)


async def test_a_failure_shows_neither_key_nor_prompt():
    prompt = BODY["messages"][0]["content"]
    said = json.dumps({"error": {"message": f"key {KEY} may not ask {prompt}", "code": "invalid_api_key"}})
    async with Upstream(always(plain(said.encode(), "401 No"))) as upstream:
        error = await fails(upstream)
    assert error.kind is Kind.AUTH
    for secret in (KEY, prompt, prompt[:8]):
        assert secret not in str(error) + repr(error.__dict__)


async def test_a_stream_comes_whole_with_its_usage_asked_for():
    async with Upstream(always(chunked(sse(*WHOLE), sse(b"[DONE]")))) as upstream:
        made = provider(upstream)
        for _ in range(3):
            assert [each async for each in made.stream({**BODY, "stream_options": {"x": 1}}, KEY)] == list(
                WHOLE
            )
        await made.close()
    sent = json.loads(upstream.requests[0].body)
    assert sent["stream"] is True
    assert sent["stream_options"] == {"x": 1, "include_usage": True}
    assert len(upstream.peers) == 1, "a stream that was read to its end leaves its connection"


async def test_a_server_that_refuses_stream_options_is_not_sent_any():
    async with Upstream(always(chunked(sse(*WHOLE)))) as upstream:
        await stream(upstream, {**BODY, "stream_options": {"include_usage": True}}, include_usage=False)
    assert "stream_options" not in json.loads(upstream.requests[0].body)


async def test_every_byte_of_a_stream_may_come_alone():
    data = "\ufeff: hi\r\n".encode() + sse(*WHOLE, b"[DONE]").replace(b"\n", b"\r\n")
    answer = chunked(*(data[at : at + 1] for at in range(len(data))))

    async def play(peer, request):
        for at in range(0, len(answer), 7):
            await peer.send(answer[at : at + 7])
            await asyncio.sleep(0)
        return True

    async with Upstream(play) as upstream:
        assert words(await stream(upstream)) == "파리"


async def test_malformed_events_are_passed_over_and_counted():
    parts = [
        b": comment\n\n",
        sse(b"<<< broken", WHOLE[0]),
        b"\xff\xfe garbage\n\n",
        sse(b"[1]", b"\xff", *WHOLE[1:]),
    ]
    async with Upstream(always(chunked(*parts))) as upstream:
        made = provider(upstream)
        assert words([each async for each in made.stream(BODY, KEY)]) == "파리"
        assert made.malformed == 3
        await made.close()


async def test_a_stream_of_garbage_is_garbled():
    async with Upstream(always(chunked(sse(*([b"["] * 200))))) as upstream:
        assert (await fails(upstream, stream)).kind is Kind.GARBLED


async def test_a_stream_with_a_damaged_chunk_never_passes_for_whole():
    async with Upstream(
        always(chunked(sse(WHOLE[0], b'{"id": "x", "choices": [{"del', *WHOLE[1:])))
    ) as upstream:
        assert (await fails(upstream, stream)).kind is Kind.GARBLED


@pytest.mark.parametrize(
    ("answer", "kind", "before"),
    [
        (chunked(sse(*WHOLE[:2])), Kind.CUT, "파리"),
        (chunked(sse(*WHOLE[:2], b"[DONE]")), Kind.CUT, "파리"),
        (chunked(sse(*WHOLE[:2]), end=b""), Kind.CUT, "파리"),
        (chunked(sse(WHOLE[0]), b'data: {"id":"x","cho', end=b""), Kind.CUT, "파"),
        (chunked(), Kind.GARBLED, ""),
        (chunked(sse(b"[DONE]")), Kind.GARBLED, ""),
        (chunked(b"just text, no events\n\n"), Kind.GARBLED, ""),
        (chunked(sse(WHOLE[0], {"error": {"message": "x", "code": "overloaded"}})), Kind.OVERLOADED, "파"),
        (chunked(sse({"error": {"message": "x", "type": "server_error"}})), Kind.SERVER, ""),
        (chunked(sse({"error": {"code": 429, "message": "x"}})), Kind.RATE_LIMITED, ""),
        (chunked(b'event: error\ndata: {"code":"content_filter"}\n\n'), Kind.CONTENT_FILTER, ""),
        (chunked(sse(WHOLE[0]), kind="text/html"), Kind.GARBLED, ""),
        (chunked(sse({"choices": [{"index": 0, "delta": "파"}]}, *WHOLE)), Kind.GARBLED, ""),
        (chunked(sse(WHOLE[0], {"choices": [{"delta": ["리"]}]}, *WHOLE[1:])), Kind.GARBLED, "파"),
        (plain(json.dumps(ANSWER).encode()), Kind.GARBLED, ""),
    ],
)  # fmt: skip
async def test_a_stream_that_does_not_come_to_its_end_is_a_failure(answer, kind, before):
    found = []
    async with Upstream(always(answer, keep=False)) as upstream:
        error = await fails(upstream, stream, into=found)
    assert error.kind is kind
    assert words(found) == before


@pytest.mark.parametrize("end", [b"", b"0\r\n\r\n", sse(b"[DONE]")], ids=["cut", "no [DONE]", "no chunk end"])
async def test_after_its_finish_reason_a_stream_is_finished_whatever_comes(end):
    end = chunk(end) if end.startswith(b"data") else end
    async with Upstream(always(chunked(sse(*WHOLE[:3]), end=end), keep=False)) as upstream:
        assert words(await stream(upstream)) == "파리"


async def test_after_its_finish_reason_a_silent_stream_is_finished():
    async def play(peer, request):
        await peer.send(chunked(sse(*WHOLE[:3]), end=b""))
        await peer.until_gone()

    async with Upstream(play) as upstream:
        assert words(await stream(upstream)) == "파리"
        await upstream.peers[0].gone.wait()


async def test_of_several_choices_each_has_to_end():
    both = [delta("a"), delta("b", index=1), delta(finish="stop"), delta(finish="length", index=1)]
    async with Upstream(always(chunked(sse(*both, b"[DONE]")))) as upstream:
        assert len(await stream(upstream, {**BODY, "n": 2})) == 4
    async with Upstream(always(chunked(sse(*both[:3], b"[DONE]")))) as upstream:
        assert (await fails(upstream, stream, body={**BODY, "n": 2})).kind is Kind.CUT


async def test_a_silent_upstream_is_over_in_time_and_left():
    async def play(peer, request):
        await peer.until_gone()

    async with Upstream(play) as upstream:
        error = await fails(upstream, stream, first_byte_s=0.05)
        whole = await fails(upstream, whole_s=0.05)
        for peer in upstream.peers:
            await peer.gone.wait()
    for failed in (error, whole):
        assert (failed.kind, failed.phase) == (Kind.SILENT, "first byte")


@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_a_client_that_leaves_stops_the_upstream(how):
    async def play(peer, request):
        await peer.send(chunked(sse(WHOLE[0]), end=b""))
        await peer.until_gone()

    async with Upstream(play) as upstream:
        made = provider(upstream)
        chunks = made.stream(BODY, KEY)
        await anext(chunks)
        if how == "closed":
            await chunks.aclose()
        else:
            waiting = asyncio.create_task(anext(chunks))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await upstream.peers[0].gone.wait()
        await made.close()


async def embed(upstream, body, **options):
    made = provider(upstream, **options)
    try:
        return await made.embed(body, KEY)
    finally:
        await made.close()


async def test_vectors_come_back_and_bad_ones_do_not():
    packed = base64.b64encode(struct.pack("<2f", 1.0, 2.0)).decode()
    async with Upstream(always(vectors([1.0, 2.0], packed))) as upstream:
        found = await embed(upstream, {"model": "e", "input": ["가", "나"]}, path="/v1")
        assert [row["embedding"] for row in found["data"]] == [[1.0, 2.0], [1.0, 2.0]]
        with pytest.raises(ProviderFailed) as caught:
            await embed(upstream, {"model": "e", "input": ["가"]})
    assert caught.value.kind is Kind.GARBLED
    assert upstream.requests[0].line.split()[1] == "/v1/embeddings"


async def test_a_refusal_says_when_to_come_back_by_the_clock_that_was_passed_in():
    at = "Sun, 15 Jun 2025 15:07:40 GMT"  # a minute after the manual clock
    answer = plain(b"{}", "429 Slow Down", "application/json", f"retry-after: {at}")
    async with Upstream(always(answer)) as upstream:
        error = await fails(upstream)
    assert (error.kind, error.retry_after_s) == (Kind.RATE_LIMITED, pytest.approx(60.0))
