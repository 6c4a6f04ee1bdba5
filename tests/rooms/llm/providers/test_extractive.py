"""The built-in model as a provider: shapes of OpenAI's, quotes that are true, the same answer every time."""

import asyncio
import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.llm.providers.extractive import Extractive
from holdfast.rooms.llm.providers.provider import Provider
from holdfast.rooms.llm.rules.assembly import assemble
from holdfast.rooms.llm.rules.extract.phrases import NOT_THERE, NOTHING_GIVEN
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.keys import is_storable
from holdfast.rooms.llm.rules.vectors import vector

PASSAGES = [
    {
        "id": "farm",
        "title": "농장",
        "text": "농장은 2015년에 부산에서 문을 열었다. 직원은 12명이다. 딸기를 키운다.",
    },
    {"id": "shop", "text": "The shop opened in 1998. Maria Gomez owns it."},
]


def asking(text, *before, **body):
    return {"model": "m", "messages": [*before, {"role": "user", "content": text}], **body}


@pytest.fixture
def model() -> Provider:
    return Extractive(ManualClock())


def said(completion):
    return completion["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("농장의 직원은 몇 명인가?", "“직원은 12명이다.” [1]"),
        ("농장은 언제 문을 열었나?", "“농장은 2015년에 부산에서 문을 열었다.” [1]"),
        ("Who owns the shop?", "“Maria Gomez owns it.” [1]"),
    ],
)
async def test_it_quotes_the_sentence_that_answers(model, text, wanted):
    completion = await model.chat(asking(text, passages=PASSAGES), "")
    assert wanted.split("” [")[0] in said(completion)
    assert completion["object"] == "chat.completion"
    assert completion["model"] == "m"
    assert completion["generated_by"] == "extractive"
    assert completion["created"] == int(ManualClock().wall())
    assert completion["choices"][0]["finish_reason"] == "stop"
    assert completion["usage"]["estimated"] is True
    assert completion["usage"]["total_tokens"] > completion["usage"]["completion_tokens"] > 0
    assert "refused" not in completion
    assert is_storable(completion)


async def test_every_citation_is_true(model):
    texts = {passage["id"]: passage["text"] for passage in PASSAGES}
    completion = await model.chat(asking("농장의 직원은 몇 명인가?", passages=PASSAGES), "")
    cited = completion["choices"][0]["message"]["citations"]
    assert cited
    assert all(texts[one["passage"]][one["start"] : one["end"]] == one["quote"] for one in cited)


@given(
    st.lists(st.text(alphabet=st.sampled_from("서울은 부산이다. 딸기\n12!?“”abc"), max_size=150), max_size=3),
    st.text(alphabet=st.sampled_from("서울 부산 딸기 12? 요약 abc\n:질문"), max_size=40),
)
def test_no_citation_ever_lies(passages, text):
    body = asking(text, passages=[{"id": str(at), "text": one} for at, one in enumerate(passages)])
    message = asyncio.run(Extractive().chat(body))["choices"][0]["message"]
    for one in message["citations"]:
        place = one["passage"]
        source = text if place.startswith("message-") else passages[int(place)]
        assert source[one["start"] : one["end"]] == one["quote"] != ""
        assert one["quote"] in message["content"]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [("미국의 대통령은 누구인가?", NOT_THERE["ko"]), ("Who won the World Cup in 2010?", NOT_THERE["en"])],
)
async def test_it_refuses_what_the_passages_do_not_tell(model, text, phrase):
    completion = await model.chat(asking(text, passages=PASSAGES), "")
    assert said(completion) == phrase
    assert completion["refused"] is True
    assert completion["choices"][0]["message"]["citations"] == []
    assert completion["choices"][0]["finish_reason"] == "stop"
    assert not is_storable(completion)


@pytest.mark.parametrize(
    ("text", "phrase"), [("안녕하세요", NOTHING_GIVEN["ko"]), ("Hi", NOTHING_GIVEN["en"])]
)
async def test_it_says_so_when_nothing_was_given(model, text, phrase):
    completion = await model.chat(asking(text), "")
    assert (said(completion), completion["refused"]) == (phrase, True)


async def test_it_answers_from_what_was_said_before(model):
    before = {"role": "user", "content": "제 이름은 김민수이고 부산에서 딸기를 키웁니다."}
    completion = await model.chat(asking("제 이름이 뭐였죠?", before), "")
    assert "김민수" in said(completion)
    assert completion["choices"][0]["message"]["citations"][0]["passage"] == "message-0"


async def test_it_answers_from_the_context_of_a_message(model):
    text = (
        "Context:\nThe library opens at 9 am. Ms. Park runs it.\n\nQuestion: Who runs the library?\nAnswer:"
    )
    assert "Ms. Park" in said(await model.chat(asking(text), ""))


async def test_it_summarises(model):
    text = "토마토 값이 떨어졌다. 농가는 토마토 값을 걱정한다. 버스가 늦었다."
    completion = await model.chat(asking(f"요약해줘: {text}"), "")
    assert "토마토" in said(completion)
    assert "버스" not in said(completion)
    by_purpose = await model.chat(asking(text, metadata={"purpose": "summary"}), "")
    assert by_purpose["choices"][0]["message"]["citations"]


async def test_the_same_question_has_the_same_answer(model):
    body = asking("농장의 직원은 몇 명인가?", passages=PASSAGES)
    first, second = await model.chat(body, ""), await model.chat(body, "")
    assert {**first, "id": ""} == {**second, "id": ""}
    assert first["id"] != second["id"]


async def test_tools_are_never_called(model):
    body = asking(
        "농장의 직원은 몇 명인가?", passages=PASSAGES, tools=[{"type": "function"}], tool_choice="required"
    )
    assert "tool_calls" not in (await model.chat(body, ""))["choices"][0]["message"]


async def test_a_json_object_where_it_is_asked_for(model):
    body = asking("농장의 직원은 몇 명인가?", passages=PASSAGES, response_format={"type": "json_object"})
    told = json.loads(said(await model.chat(body, "")))
    assert "12명" in told["answer"]
    assert told["citations"][0]["quote"] == "직원은 12명이다."


async def test_several_choices(model):
    completion = await model.chat(asking("농장의 직원은?", passages=PASSAGES, n=3), "")
    assert [one["index"] for one in completion["choices"]] == [0, 1, 2]


SCHEMA = {
    "type": "json_schema",
    "json_schema": {"schema": {"required": ["price"], "properties": {"price": {}}}},
}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": "x"},
        asking("x", n=0.5),
        asking("x", n=99),
        asking("x", response_format=SCHEMA),
    ],
)
async def test_what_cannot_be_answered_is_a_bad_request(model, body):
    with pytest.raises(ProviderFailed) as failed:
        await model.chat(body, "")
    assert failed.value.kind is Kind.BAD_REQUEST


async def test_a_stream_is_the_same_answer(model):
    body = asking("농장의 직원은 몇 명인가?", passages=PASSAGES)
    chunks = [chunk async for chunk in model.stream(body, "")]
    whole = await model.chat(body, "")
    assert {**assemble(chunks), "id": ""} == {**whole, "id": ""}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], whole["usage"])


async def test_a_stream_that_is_closed_says_no_more(model):
    stream = model.stream(asking("농장의 직원은?", passages=PASSAGES), "")
    await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_others_run_while_a_long_text_is_read_and_a_cancel_ends_it(model):
    turns = 0
    body = asking(
        "딸기는 언제 심는가?", passages=[{"id": "a", "text": "딸기는 봄에 심는다고 한다. " * 20_000}]
    )
    task = asyncio.ensure_future(model.chat(body, ""))
    while turns < 50:
        await asyncio.sleep(0)
        turns += 1
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


ODD = ["\ud800", "\0" * 50, "가\udfff나?", "x" * 1_900_000, "글이다. " * 20_000 + "?", "\n" * 100_000 + "?"]


@pytest.mark.parametrize("number", range(len(ODD)))
async def test_odd_prompts_have_an_answer_that_can_be_encoded(model, number):
    completion = await model.chat(asking(ODD[number]), "")
    json.dumps(completion, ensure_ascii=False).encode()


async def test_odd_passages_are_quoted_so_that_they_can_be_encoded(model):
    passages = [{"id": "a", "text": "딸기\ud800는 봄에 심는다."}]
    completion = await model.chat(asking("딸기는 봄에 언제 심는가?", passages=passages), "")
    assert said(completion).encode()


async def test_embeddings(model):
    found = await model.embed({"model": "m", "input": ["서울의 날씨", "부산"]}, "")
    assert (found["object"], found["model"]) == ("list", "hash-embedding")
    assert [one["index"] for one in found["data"]] == [0, 1]
    assert found["data"][0]["embedding"] == vector("서울의 날씨")
    assert found["usage"]["total_tokens"] > 0


async def test_embeddings_in_base64_as_the_official_client_asks(model):
    body = {"input": "서울의 날씨", "encoding_format": "base64", "dimensions": 64}
    packed = (await model.embed(body, ""))["data"][0]["embedding"]
    assert struct.unpack("<64f", base64.b64decode(packed)) == pytest.approx(
        vector("서울의 날씨", 64), abs=1e-6
    )


@pytest.mark.parametrize(("given", "count"), [("글", 1), ([1, 2, 3], 1), ([[1, 2], [3]], 2), (["a", "b"], 2)])
async def test_what_may_be_embedded(model, given, count):
    assert len((await model.embed({"input": given}, ""))["data"]) == count


@pytest.mark.parametrize(
    "body",
    [{}, {"input": []}, {"input": 3}, {"input": [None]}, {"input": ["a"] * 3_000},
     {"input": "a", "dimensions": 63},
     {"input": "a", "dimensions": 4_096}, {"input": "a", "dimensions": "x"}],
)  # fmt: skip
async def test_what_may_not(model, body):
    with pytest.raises(ProviderFailed) as failed:
        await model.embed(body, "")
    assert failed.value.kind is Kind.BAD_REQUEST


@pytest.mark.parametrize("where", ["message", "passage"])
async def test_more_than_can_be_read_is_refused_before_it_is(where):
    long = "가나다 " * 600_000
    body = {"messages": [{"role": "user", "content": long if where == "message" else "무엇?"}]}
    if where == "passage":
        body["passages"] = [{"id": "p", "text": long}]
    with pytest.raises(ProviderFailed) as found:
        await Extractive().chat(body)
    assert found.value.kind is Kind.TOO_LARGE
