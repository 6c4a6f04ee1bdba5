"""The port that other rooms ask, over the client."""

import pytest

from holdfast.ports.model import Ask, ModelFailed, Passage, Turn
from holdfast.rooms.llm.engine.model import ClientModel
from holdfast.rooms.llm.rules.failures import Kind
from holdfast.rooms.llm.rules.problems import UnknownModel
from holdfast.rooms.llm.rules.settings import Config, Deployment
from tests.rooms.llm.engine.scripted import HANG, Scripted, chunk, fails
from tests.rooms.llm.engine.world import World


def ask(prompt="안녕", **more):
    return Ask(messages=(Turn("system", "짧게"), Turn("user", prompt)), **more)


def deployed(*script):
    settings = Deployment(base_url="x", model="scripted", serves=("m",))
    world = World(Config(deployments={"a": settings}, default_model="m"), a=Scripted(*script))
    return ClientModel(world.client), world


async def test_a_reply_says_who_wrote_it_what_it_took_and_whether_it_was_kept():
    model, world = deployed("하나", "둘")
    first, second = [await model.complete(ask(user="지민", tenant="갑")) for _ in range(2)]
    assert (first.text, first.model, first.provider, first.generated_by) == (
        "하나", "scripted", "scripted", "scripted",
    )  # fmt: skip
    assert (first.usage.input_tokens, first.usage.output_tokens, first.usage.estimated) == (7, 3, False)
    assert first.usage.cost == pytest.approx(13e-6)
    assert (first.cached, second.cached, second.text) == (False, True, "하나")
    assert (world.rows[0].user, world.rows[0].tenant) == ("지민", "갑")
    sent = world.providers["a"].calls[0]
    assert sent["messages"] == [{"role": "system", "content": "짧게"}, {"role": "user", "content": "안녕"}]
    assert sent["temperature"] == 0


async def test_what_is_asked_of_the_model_travels_along():
    model, world = deployed("하나")
    await model.complete(ask(max_tokens=9, temperature=0.5, model="m", purpose="title"))
    sent = world.providers["a"].calls[0]
    assert (sent["max_tokens"], sent["temperature"]) == (9, 0.5)
    assert world.rows[0].purpose == "title"
    with pytest.raises(UnknownModel):
        await model.complete(ask(model="없는 것"))


async def test_a_stream_gives_text_and_at_last_the_reply():
    model, _ = deployed([chunk(), chunk("하나 "), chunk("둘"), chunk(finish="stop")])
    pieces = [piece async for piece in model.stream(ask())]
    assert [piece.text for piece in pieces] == ["하나 ", "둘", ""]
    assert pieces[-1].reply.text == "하나 둘"
    assert pieces[-1].reply.finish_reason == "stop"


async def test_a_stream_that_is_cut_off_raises_and_gives_no_reply():
    model, _ = deployed([chunk(), chunk("하나 "), fails(Kind.CUT)])
    seen = []
    with pytest.raises(ModelFailed):
        seen.extend([piece async for piece in _noting(model.stream(ask()), seen)])
    assert [piece.text for piece in seen] == ["하나 "]


async def _noting(pieces, seen):
    async for piece in pieces:
        seen.append(piece)
        yield piece


async def test_a_stream_that_is_closed_stops_upstream():
    model, world = deployed([chunk("하나 "), HANG])
    stream = model.stream(ask())
    assert (await anext(stream)).text == "하나 "
    await stream.aclose()
    await world.client.close()
    assert world.providers["a"].stopped == 1


async def test_citations_of_the_extractive_model_can_be_verified():
    text = "서울의 인구는 약 940만 명이다."
    world = World(Config())
    world.providers["extractive"].script = [
        {
            "object": "chat.completion",
            "model": "extractive",
            "generated_by": "extractive",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "940만",
                        "citations": [{"passage": "p", "start": 8, "end": 15, "quote": text[8:15]}],
                    },
                    "finish_reason": "stop",
                }
            ],
        }
    ]
    reply = await ClientModel(world.client).complete(ask(passages=(Passage("p", text),)))
    (cited,) = reply.citations
    assert (cited.passage, text[cited.start : cited.end]) == ("p", cited.quote)
    assert (reply.generated_by, reply.usage.estimated) == ("extractive", True)
    assert world.providers["extractive"].calls[0]["passages"] == [{"id": "p", "title": "", "text": text}]


async def test_vectors_come_in_the_order_of_their_texts():
    model, world = deployed("unused")
    embedded = await model.embed(["서울"], tenant="갑")
    assert (embedded.vectors, embedded.model) == ([[1.0, 0.0]], world.rows[0].upstream_model)
    assert embedded.usage.input_tokens == world.rows[0].tokens_in > 0
    assert world.rows[0].purpose == "embedding"
    with pytest.raises(ModelFailed):
        await model.embed(["서울", "부산"])
