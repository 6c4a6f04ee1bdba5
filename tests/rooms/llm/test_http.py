"""The gateway's handlers over scripted providers: headers, events, and who may ask."""

import json

import msgspec
import pytest

from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.errors import Unauthorized
from holdfast.kernel.event import Event
from holdfast.kernel.route import Call
from holdfast.rooms.llm.http import Gateway, routes
from holdfast.rooms.llm.rules.denials import ModelNotAllowed, UnknownKey
from holdfast.rooms.llm.rules.failures import Kind
from holdfast.rooms.llm.rules.problems import NotAPrompt, UnknownModel
from holdfast.rooms.llm.rules.settings import Config, Deployment, ModelSettings
from holdfast.rooms.llm.rules.virtual_keys import NewKey
from tests.rooms.llm.engine.scripted import HANG, Scripted, answer, chunk, fails
from tests.rooms.llm.engine.world import World
from tests.rooms.llm.money.conftest import sqlite as sqlite
from tests.rooms.llm.money.test_money import Held

DEPLOYED = Config(
    deployments={
        name: Deployment(base_url="x", model="scripted", serves=(public,), attempts=1)
        for name, public in (("a", "m"), ("b", "other"))
    }
)


@pytest.fixture
async def keys(sqlite):
    async with Held(sqlite) as money:
        yield money.keys


def gateway(world, keys=None, required=False):
    return Gateway(world.client, keys, lambda: None, world.clock, keys_required=required)


def call(body=None, params=None, **headers):
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Call(Event(request_id="req", trace_id="trace"), body=body, params=params, headers=sent)


def asked(prompt="안녕", **more):
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], "temperature": 0, **more}


async def events(found) -> list[str]:
    raw = b"".join([each async for each in found.stream]).decode()
    await found.stream.aclose()
    return [part.removeprefix("data: ") for part in raw.split("\n\n") if part]


async def test_an_answer_with_what_is_told_of_it():
    world = World(DEPLOYED, a=Scripted("하나"), b=Scripted("x"))
    found = [await gateway(world).chat(call(asked())) for _ in range(2)]
    told = [dict(each.headers) for each in found]
    assert [each["x-holdfast-cache"] for each in told] == ["miss", "hit"]
    assert [each["x-holdfast-attempts"] for each in told] == ["1", "0"]
    assert [each["x-holdfast-cost"] for each in told] == ["0.000013000", "0.000000000"]
    assert {each["x-holdfast-provider"] for each in told} == {"a"}
    assert found[0].content["choices"][0]["message"]["content"] == "하나"
    assert (world.rows[0].request_id, world.rows[0].trace_id) == ("req", "trace")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("로컬", "%EB%A1%9C%EC%BB%AC"),
        ("gpt-4o (서울) 50%", "gpt-4o (%EC%84%9C%EC%9A%B8) 50%25"),
        ("a\r\nb", "a%0D%0Ab"),
        ("azure/gpt-4o@2", "azure/gpt-4o@2"),
    ],
)
async def test_whatever_a_deployment_is_called_its_answers_can_be_sent(name, told):
    config = Config(deployments={name: Deployment(base_url="x", model="scripted", serves=("m",))})
    world = World(config, **{name: Scripted("하나")})
    for more in ({}, {"stream": True}):
        found = await gateway(world).chat(call(asked(**more)))
        assert dict(found.headers)["x-holdfast-provider"] == told
        assert all(value.isascii() for _, value in found.headers)
        if found.stream is not None:
            await found.stream.aclose()


async def test_the_age_of_what_was_kept():
    world = World(DEPLOYED, a=Scripted("하나"), b=Scripted("x"))
    await gateway(world).chat(call(asked()))
    world.clock.advance(90)
    assert dict((await gateway(world).chat(call(asked()))).headers)["age"] == "90"


async def test_a_stand_in_is_marked():
    config = msgspec.structs.replace(DEPLOYED, models={"m": ModelSettings(degraded="나중에요")})
    world = World(config, a=Scripted(fails(Kind.SERVER)), b=Scripted("x"))
    found = await gateway(world).chat(call(asked()))
    assert dict(found.headers)["x-holdfast-degraded"] == "true"
    assert found.content["degraded"] is True


@pytest.mark.parametrize(
    ("options", "usages"),
    [({}, 0), ({"stream_options": {"include_usage": True}}, 1), ({"stream_options": None}, 0)],
)
async def test_the_usage_of_a_stream_is_told_to_whoever_asks(options, usages):
    script = [chunk(), chunk("하나"), chunk(finish="stop"), chunk(choices=[], usage=answer("")["usage"])]
    script[-1]["choices"] = []
    world = World(DEPLOYED, a=Scripted(script), b=Scripted("x"))
    for _ in range(2):  # from the provider, and from what was kept
        said = await events(await gateway(world).chat(call(asked(stream=True, **options))))
        assert said[-1] == "[DONE]"
        chunks = [json.loads(each) for each in said[:-1]]
        assert sum(bool(each.get("usage")) for each in chunks) == usages
        assert all(each["choices"] for each in chunks if not each.get("usage"))


async def test_a_stream_that_breaks_off_says_so_in_band_and_is_not_done():
    world = World(DEPLOYED, a=Scripted([chunk(), chunk("하"), fails(Kind.CUT)]), b=Scripted("x"))
    said = await events(await gateway(world).chat(call(asked(stream=True))))
    assert "[DONE]" not in said
    assert json.loads(said[-1])["error"]["code"] == "answer_cut_off"


async def test_events_that_are_closed_stop_upstream():
    world = World(DEPLOYED, a=Scripted([chunk("하"), HANG]), b=Scripted("x"))
    found = await gateway(world).chat(call(asked(stream=True)))
    assert await anext(found.stream)
    await found.stream.aclose()
    await world.client.close()
    assert world.providers["a"].stopped == 1
    assert b"stopped" in found.farewell


async def test_what_the_caller_says_of_the_cache_and_of_the_purpose():
    world = World(DEPLOYED, a=Scripted("하나", "둘", "셋"), b=Scripted("x"))
    one = gateway(world)
    for control in ("no-store", "max-age=0, no-cache", "only-if-cached"):
        await one.chat(call(asked(), cache_control=control))
    assert world.rows.outcomes() == ["ok", "ok"]
    assert len(world.rows.free) == 1
    await one.chat(call(asked("다른"), x_holdfast_purpose="title", x_holdfast_template="v2"))
    assert world.rows[-1].purpose == "title"


async def test_what_is_no_request():
    one = gateway(World(DEPLOYED, a=Scripted("하나"), b=Scripted("x")))
    for body in (asked(model=5), asked(messages=[]), asked(tools=3)):
        with pytest.raises(NotAPrompt):
            await one.chat(call(body))
    with pytest.raises(NotAPrompt):
        await one.embeddings(call({"model": "m", "input": []}))
    with pytest.raises(UnknownModel):
        await one.chat(call(asked(model="gpt-4o")))


async def test_the_models_that_there_are():
    one = gateway(World(DEPLOYED, a=Scripted("하나"), b=Scripted("x")))
    assert [card.id for card in (await one.models(call())).data] == ["m", "other", "extractive"]
    assert (await one.model(call(params={"model": "m"}))).id == "m"
    with pytest.raises(UnknownModel):
        await one.model(call(params={"model": "gpt-4o"}))


async def test_a_key_pays_and_sees_and_asks_no_more_than_it_may(keys):
    world = World(DEPLOYED, a=Scripted("하나"), b=Scripted("x"))
    one = gateway(world, keys, required=True)
    key, secret = await keys.create(NewKey(name="김 대리", user="kim", tenant="갑", models=["m"]))
    for header in ({"authorization": f"Bearer {secret}"}, {"api_key": secret}):
        assert (await one.chat(call(asked(), **header))).status == 200
    row = world.rows[0]
    assert (row.user, row.tenant, row.key_id) == ("kim", "갑", key.id)
    allowed = {"authorization": f"Bearer {secret}"}
    with pytest.raises(ModelNotAllowed):
        await one.chat(call(asked(model="other"), **allowed))
    assert [card.id for card in (await one.models(call(**allowed))).data] == ["m"]
    with pytest.raises(UnknownModel) as caught:
        await one.model(call(params={"model": "other"}, **allowed))
    assert "extractive" not in caught.value.hint


@pytest.mark.parametrize(("own", "pays"), [("", ["을", "병"]), ("갑", ["갑"])])
async def test_a_key_without_a_tenant_is_used_by_the_one_whom_the_door_has_identified(keys, own, pays):
    world = World(DEPLOYED, a=Scripted("하나", "둘"), b=Scripted("x"))
    one = gateway(world, keys, required=True)
    _, secret = await keys.create(NewKey(name="나눠 쓰는 열쇠", tenant=own))
    for identified in ("을", "병"):
        ctx = detached(Event())
        ctx.tenant = identified
        token = enter(ctx)
        try:
            await one.chat(call(asked(), authorization=f"Bearer {secret}"))
        finally:
            leave(token)
    paid = [row.tenant for row in world.rows]
    assert paid == pays, "what is kept for one tenant is never another's"


async def test_who_has_no_key_learns_nothing(keys):
    one = gateway(World(DEPLOYED, a=Scripted("하나"), b=Scripted("x")), keys, required=True)
    for header in ({}, {"authorization": "Bearer sk-somebody"}, {"authorization": "Basic eDp5"}):
        for ask in (
            one.chat(call(asked(model="gpt-4o"), **header)),
            one.embeddings(call({"model": "gpt-4o", "input": "x"}, **header)),
            one.models(call(**header)),
            one.model(call(params={"model": "gpt-4o"}, **header)),
        ):
            with pytest.raises(Unauthorized):
                await ask
    with pytest.raises(UnknownKey):
        await one.models(call(authorization="Bearer hf-" + "0" * 38))


def test_every_address_of_openai_heeds_a_client_that_leaves():
    found = routes(gateway(World(DEPLOYED, a=Scripted("x"), b=Scripted("x"))))
    assert all(route.heeds and route.problem for route in found if route.path.startswith("/v1/"))
