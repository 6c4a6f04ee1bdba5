"""The Anthropic provider over a real socket: what goes out, what comes back, what is refused."""

import json

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.llm.providers.anthropic import AnthropicProvider
from holdfast.rooms.llm.providers.endpoint import Options
from holdfast.rooms.llm.providers.lane import Lane
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

from .upstream import Upstream, always, chunked, plain

BODY = {"model": "claude", "messages": [{"role": "user", "content": "안녕하세요"}]}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-1",
    "content": [{"type": "text", "text": "반갑습니다"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 4, "output_tokens": 3},
}
EVENTS = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "claude-1", "usage": {"input_tokens": 4}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "반갑"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "습니다"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]


def sse(*values):
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (value["type"].encode(), json.dumps(value).encode()) for value in values
    )


def provider(upstream, **options):
    return AnthropicProvider(Lane(upstream.url + "/v1"), Options(**options), clock=ManualClock())


async def gathered(made, body=BODY):
    try:
        return [chunk async for chunk in made.stream(body, "sk-ant")]
    finally:
        await made.close()


async def test_a_chat_and_what_was_sent_for_it():
    async with Upstream(always(plain(json.dumps(MESSAGE).encode()))) as upstream:
        made = provider(upstream, max_tokens=99, extra_headers={"anthropic-beta": "x"})
        answer = await made.chat(BODY, "sk-ant")
        await made.close()
    assert answer["choices"][0]["message"]["content"] == "반갑습니다"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["created"] == int(ManualClock().wall())
    (seen,) = upstream.requests
    assert seen.line == "POST /v1/messages HTTP/1.1"
    assert seen.headers["x-api-key"] == "sk-ant"
    assert seen.headers["anthropic-version"] == "2023-06-01"
    assert seen.headers["anthropic-beta"] == "x"
    assert json.loads(seen.body)["max_tokens"] == 99


async def test_a_bearer_instead_of_a_key():
    async with Upstream(always(plain(json.dumps(MESSAGE).encode()))) as upstream:
        for auth in ("bearer", "none"):
            made = provider(upstream, auth=auth)
            await made.chat(BODY, "tok")
            await made.close()
    bearer, none = upstream.requests
    assert bearer.headers["authorization"] == "Bearer tok"
    assert not {"authorization", "x-api-key"} & set(none.headers)


async def test_a_stream_becomes_chunks_and_ends_with_its_usage():
    async with Upstream(always(chunked(sse(*EVENTS)))) as upstream:
        found = await gathered(provider(upstream))
    assert "".join(c["delta"].get("content", "") for each in found for c in each["choices"]) == "반갑습니다"
    assert found[-2]["choices"][0]["finish_reason"] == "stop"
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["total_tokens"] == 7
    assert {(each["id"], each["model"], each["object"]) for each in found} == {
        ("msg_1", "claude-1", "chat.completion.chunk")
    }
    assert json.loads(upstream.requests[0].body)["stream"] is True


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (chunked(sse(*EVENTS[:5])), Kind.CUT),
        (chunked(sse(*EVENTS[:5]), end=b""), Kind.CUT),
        (chunked(), Kind.GARBLED),
        (chunked(sse(EVENTS[0], {"type": "error", "error": {"type": "overloaded_error"}})), Kind.OVERLOADED),
        (plain(b'{"type":"error","error":{"type":"overloaded_error"}}', "529 Overloaded"), Kind.OVERLOADED),
        (plain(b'{"type":"error","error":{"type":"rate_limit_error"}}', "429 Slow"), Kind.RATE_LIMITED),
        (plain(b'{"type":"error","error":{"type":"permission_error"}}', "403 No"), Kind.AUTH),
        (plain(b'{"type":"error","error":{"type":"api_error"}}'), Kind.GARBLED),
    ],
)
async def test_a_stream_that_fails(answer, kind):
    async with Upstream(always(answer, keep=False)) as upstream:
        with pytest.raises(ProviderFailed) as caught:
            await gathered(provider(upstream))
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (plain(b"{}"), Kind.GARBLED),
        (plain(json.dumps({**MESSAGE, "stop_reason": None}).encode()), Kind.CUT),
        (plain(b'{"type":"error","error":{"type":"invalid_request_error"}}', "400 Bad"), Kind.BAD_REQUEST),
        (plain(b'{"error":{"message":"prompt is too long: 3 tokens > 2"}}', "400 Bad"), Kind.CONTEXT_LENGTH),
    ],
)
async def test_a_chat_that_fails(answer, kind):
    async with Upstream(always(answer)) as upstream:
        made = provider(upstream)
        with pytest.raises(ProviderFailed) as caught:
            await made.chat(BODY, "sk-ant")
        await made.close()
    assert caught.value.kind is kind


async def test_there_are_no_embeddings():
    async with Upstream(always(plain(b"{}"))) as upstream:
        made = provider(upstream)
        with pytest.raises(ProviderFailed) as caught:
            await made.embed({"input": "x"}, "sk-ant")
        await made.close()
    assert caught.value.kind is Kind.NOT_FOUND


async def test_a_client_that_leaves_stops_the_upstream():
    async def play(peer, request):
        await peer.send(chunked(sse(*EVENTS[:4]), end=b""))
        await peer.until_gone()

    async with Upstream(play) as upstream:
        made = provider(upstream)
        chunks = made.stream(BODY, "sk-ant")
        await anext(chunks)
        await chunks.aclose()
        await upstream.peers[0].gone.wait()
        await made.close()


@pytest.mark.parametrize(
    "odd",
    [
        {"stop": 5},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": [1]},
        {"tools": 5},
        {"messages": [{"role": "assistant", "content": "안녕", "tool_calls": 5}]},
    ],
)
async def test_what_cannot_be_translated_is_the_caller_s_fault_and_not_sent(odd):
    async with Upstream(always(plain(json.dumps(MESSAGE).encode()))) as upstream:
        made = provider(upstream)
        for ask in (made.chat({**BODY, **odd}, "k"), gathered(made, {**BODY, **odd})):
            with pytest.raises(ProviderFailed) as caught:
                await ask
            assert caught.value.kind is Kind.BAD_REQUEST
        await made.close()
    assert upstream.requests == []
