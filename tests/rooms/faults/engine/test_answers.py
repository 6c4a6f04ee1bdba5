"""The healthy provider: chat, messages, embeddings and models over a real socket."""

import base64
import json
import struct

import pytest

from tests.rooms.faults.asking import QUESTION, Line, ask, chat, deltas

TOOL = {
    "type": "function",
    "function": {
        "name": "book",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "nights": {"type": "integer", "minimum": 2}},
        },
    },
}


async def test_a_chat_answer_is_whole_and_its_usage_adds_up(server):
    got = await ask(server, chat("ok"))
    assert got.status == 200
    assert got.complete
    assert QUESTION in got.text
    assert "가짜 제공자" in got.text
    assert got.json["object"] == "chat.completion"
    assert got.json["model"] == "ok"
    assert got.json["choices"][0]["finish_reason"] == "stop"
    usage = got.json["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_the_same_request_gets_the_same_bytes_and_another_one_others(server):
    first, again = await ask(server, chat("ok")), await ask(server, chat("ok"))
    other = await ask(server, chat("ok", content="How are you?"))
    assert first.raw == again.raw
    assert other.json["id"] != first.json["id"]
    assert "How are you?" in other.text
    assert "fake provider" in other.text


async def test_a_stream_says_the_same_as_the_body_in_one(server):
    plain = await ask(server, chat("ok"))
    stream = await ask(server, chat("ok", stream=True))
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert stream.complete
    assert stream.text == plain.text
    assert stream.events[-1] == "data: [DONE]"
    assert stream.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [one["choices"][0]["finish_reason"] for one in stream.chunks] == [None] * (
        len(stream.chunks) - 1
    ) + ["stop"]
    assert all("usage" not in one for one in stream.chunks)


async def test_a_stream_reports_its_usage_when_asked_to(server):
    plain = await ask(server, chat("ok"))
    stream = await ask(server, chat("ok", stream=True, stream_options={"include_usage": True}))
    assert stream.chunks[-1]["choices"] == []
    assert stream.chunks[-1]["usage"] == plain.json["usage"]
    assert all(one["usage"] is None for one in stream.chunks[:-1])
    assert plain.json["usage"]["completion_tokens"] == len(deltas(stream.chunks, "content"))


async def test_several_choices(server):
    plain = await ask(server, chat("ok", n=3))
    texts = [one["message"]["content"] for one in plain.json["choices"]]
    assert len(set(texts)) == 3
    stream = await ask(server, chat("ok", n=3, stream=True))
    for index, text in enumerate(texts):
        mine = [one["choices"][0] for one in stream.chunks if one["choices"][0]["index"] == index]
        assert "".join(one["delta"].get("content", "") for one in mine) == text
        assert mine[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "book"}}])
async def test_tools_with_a_choice_are_called(server, choice):
    got = await ask(server, chat("ok", tools=[TOOL], tool_choice=choice))
    assert got.json["choices"][0]["finish_reason"] == "tool_calls"
    message = got.json["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["name"] == "book"
    arguments = json.loads(message["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"city": QUESTION, "nights": 2}
    stream = await ask(server, chat("ok", tools=[TOOL], tool_choice=choice, stream=True))
    calls = [call for part in deltas(stream.chunks, "tool_calls") for call in part]
    assert calls[0]["id"]
    assert calls[0]["function"]["name"] == "book"
    assert len(calls) > 3
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == arguments


@pytest.mark.parametrize("choice", [None, "none"])
async def test_tools_without_a_choice_get_text(server, choice):
    got = await ask(server, chat("ok", tools=[TOOL], tool_choice=choice))
    assert QUESTION in got.text


async def test_a_tool_s_result_ends_the_turn(server):
    messages = [
        {"role": "user", "content": "서울?"},
        {"role": "tool", "tool_call_id": "1", "content": "맑음"},
    ]
    body = {"model": "ok", "messages": messages, "tools": [TOOL], "tool_choice": "auto"}
    assert "서울?" in (await ask(server, body)).text


async def test_json_is_answered_with_json(server):
    free = await ask(server, chat("ok", response_format={"type": "json_object"}))
    assert QUESTION in json.loads(free.text)["answer"]
    schema = {
        "type": "object",
        "properties": {
            "mood": {"enum": ["좋음", "나쁨"]},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/T"}},
        },
        "$defs": {"T": {"type": "string", "maxLength": 3}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    bound = await ask(server, chat("ok", response_format=form))
    answered = json.loads(bound.text)
    assert answered["mood"] == "좋음"
    assert [len(tag) for tag in answered["tags"]] == [3]


async def test_max_tokens_cuts_the_answer(server):
    got = await ask(server, chat("ok", max_tokens=2))
    assert got.json["usage"]["completion_tokens"] == 2
    assert got.json["choices"][0]["finish_reason"] == "length"


async def test_embeddings_are_unit_vectors_that_follow_from_the_text(server):
    body = {"model": "ok", "input": ["안녕하세요", "hello", "안녕하세요!"]}
    got = await ask(server, body, "/v1/embeddings")
    vectors = [one["embedding"] for one in got.json["data"]]
    assert [one["index"] for one in got.json["data"]] == [0, 1, 2]
    assert {len(one) for one in vectors} == {256}
    assert all(abs(sum(x * x for x in one) - 1) < 1e-5 for one in vectors)

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert cosine(vectors[0], vectors[2]) > cosine(vectors[0], vectors[1])
    assert got.json["usage"]["prompt_tokens"] == got.json["usage"]["total_tokens"] > 0
    assert (await ask(server, body, "/v1/embeddings")).raw == got.raw


async def test_embeddings_in_base64_are_the_same_numbers(server):
    plain = await ask(server, {"model": "ok", "input": "안녕", "dimensions": 8}, "/v1/embeddings")
    packed = await ask(
        server,
        {"model": "ok", "input": "안녕", "dimensions": 8, "encoding_format": "base64"},
        "/v1/embeddings",
    )
    raw = base64.b64decode(packed.json["data"][0]["embedding"])
    assert list(struct.unpack("<8f", raw)) == plain.json["data"][0]["embedding"]


async def test_a_message_and_its_stream(server):
    plain = await ask(server, chat("ok", max_tokens=100), "/v1/messages", x_api_key="k")
    assert plain.json["type"] == "message"
    assert plain.json["stop_reason"] == "end_turn"
    text = plain.json["content"][0]["text"]
    assert QUESTION in text
    stream = await ask(server, chat("ok", max_tokens=100, stream=True), "/v1/messages")
    kinds = [event.split("\n")[0].removeprefix("event: ") for event in stream.events]
    assert kinds == [one["type"] for one in stream.chunks]
    pieces = kinds.count("content_block_delta")
    assert kinds == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * pieces,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    said = [one["delta"]["text"] for one in stream.chunks if one["type"] == "content_block_delta"]
    assert "".join(said) == text
    assert stream.chunks[-2]["usage"]["output_tokens"] == plain.json["usage"]["output_tokens"] == pieces


async def test_a_message_calls_a_tool(server):
    tool = {"name": "book", "input_schema": TOOL["function"]["parameters"]}
    body = chat("ok", tools=[tool], tool_choice={"type": "any"}, max_tokens=100)
    plain = await ask(server, body, "/v1/messages")
    assert plain.json["stop_reason"] == "tool_use"
    assert plain.json["content"][0]["input"] == {"city": QUESTION, "nights": 2}
    stream = await ask(server, {**body, "stream": True}, "/v1/messages")
    parts = [one["delta"]["partial_json"] for one in stream.chunks if one["type"] == "content_block_delta"]
    assert json.loads("".join(parts)) == plain.json["content"][0]["input"]


async def test_the_models_are_the_faults(server):
    got = await ask(server, path="/v1/models")
    names = [one["id"] for one in got.json["data"]]
    assert "cut-mid-stream:3" in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/chat/completions", b"{", 400, "cannot be read"),
        ("/v1/chat/completions", b'{"messages": []}', 400, "a model"),
        ("/v1/chat/completions", b'{"model": "ok", "messages": "no"}', 400, "messages"),
        ("/v1/chat/completions", b'{"model": "ok", "n": 1000}', 400, "n is 1000"),
        ("/v1/chat/completions", b'{"model": "ok", "messages": [{"content": "\\ud800"}]}', 400, "be read"),
        ("/v1/chat/completions", b'{"model": "ok", "tool_choice": ' + b"[" * 100_000, 400, "be read"),
        ("/v1/embeddings", b'{"model": "ok", "input": []}', 400, "empty"),
        ("/v1/embeddings", b'{"model": "ok", "input": "a", "dimensions": 1}', 400, "dimensions"),
        ("/v1/embeddings", b'{"model": "ok", "input": "a", "encoding_format": "x"}', 400, "base64"),
        ("/v1/nothing", b"{}", 404, "POST /v1/chat/completions"),
        ("/v1/chat/completions", b'{"model": "gpt-4o"}', 404, "cut-mid-stream"),
    ],
)
async def test_a_wrong_request_is_told_in_openai_s_shape(server, path, body, status, said):
    got = await ask(server, body, path)
    assert got.status == status
    assert said in got.json["error"]["message"]
    assert set(got.json["error"]) == {"message", "type", "param", "code"}


async def test_a_wrong_message_is_told_in_anthropic_s_shape(server):
    got = await ask(server, chat("nosuch"), "/v1/messages")
    assert got.status == 404
    assert got.json["type"] == "error"
    assert got.json["error"]["type"] == "not_found_error"


async def test_one_connection_takes_request_after_request(server):
    line = await Line.to(server)
    for content in ("하나", "둘"):
        for model in ("ok", "503", "gpt-4o+wrong-model"):
            line.send("POST", "/v1/chat/completions", chat(model, content=content))
            got = await line.one()
            assert got.status == (503 if model == "503" else 200)
    line.leave()


async def test_requests_may_come_in_any_pieces_and_ahead_of_their_turn(server):
    line = await Line.to(server)
    body = json.dumps(chat("ok")).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    for at in range(len(request)):
        line.writer.write(request[at : at + 1])
        await line.writer.drain()
    line.writer.write(request * 3)
    for _ in range(4):
        assert QUESTION in (await line.one()).text
    line.leave()


async def test_a_body_in_chunks_that_waits_to_be_asked_for(server):
    line = await Line.to(server)
    body = json.dumps(chat("ok")).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n"
    line.writer.write(head)
    assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    for at in range(0, len(body), 7):
        piece = body[at : at + 7]
        line.writer.write(b"%x;x=y\r\n%b\r\n" % (len(piece), piece))
    line.writer.write(b"0\r\ntrailer: no\r\n\r\n")
    assert QUESTION in (await line.one()).text
    line.leave()


@pytest.mark.parametrize(
    "raw",
    [
        b"hello\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000,
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(server, raw):
    line = await Line.to(server)
    line.writer.write(raw)
    got = await line.rest()
    assert got.status == 400
    assert got.json["error"]["message"]


async def test_ten_megabytes_of_prompt(server):
    got = await ask(server, chat("ok", content="긴 글 " * 1_000_000))
    assert got.status == 200
    assert len(got.body) < 10_000
    assert got.json["usage"]["prompt_tokens"] > 900_000
