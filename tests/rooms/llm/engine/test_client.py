"""The stack around a call: what is kept, shared, reserved, charged and served instead."""

import asyncio
from functools import partial

import msgspec
import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import Unavailable
from holdfast.ports.model import ModelFailed, ModelTimedOut
from holdfast.rooms.llm.engine.client import CHAT, VECTORS
from holdfast.rooms.llm.rules.asking import text_of
from holdfast.rooms.llm.rules.budgets import BudgetSetting
from holdfast.rooms.llm.rules.denials import BudgetExceeded
from holdfast.rooms.llm.rules.failures import Kind
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.rules.problems import UnknownModel
from holdfast.rooms.llm.rules.settings import CacheSettings, Config, Deployment, ModelSettings
from tests.rooms.llm.engine.scripted import HANG, Scripted, answer, chunk, fails
from tests.rooms.llm.engine.world import World, request, told, words

PAID = 7 * 1_000 + 3 * 2_000
"""Nano-dollars of a scripted answer: 7 tokens in at 1 dollar a million, 3 out at 2."""


async def turns():
    for _ in range(30):
        await asyncio.sleep(0)


# -- the exact cache -------------------------------------------------------------------------------


async def test_an_answer_is_kept_told_again_and_costs_once():
    world = World(a=Scripted("하나", "둘"))
    first = await world.client.whole(request(), CHAT)
    second = await world.client.whole(request(), CHAT)
    assert [text_of(each.body) for each in (first, second)] == ["하나", "하나"]
    assert (first.source, first.cost, first.attempts) == ("fresh", PAID, 1)
    assert (second.source, second.cost, second.attempts) == ("cached", 0, 0)
    assert world.rows.outcomes() == ["ok"]
    assert len(world.rows.free) == 1


async def test_whole_and_streamed_share_what_is_kept():
    world = World(a=Scripted("서울의 봄"))
    assert words(await told(await world.client.stream(request()))) == "서울의 봄"
    assert text_of((await world.client.whole(request(), CHAT)).body) == "서울의 봄"
    again = await world.client.stream(request())
    assert again.answered.source == "cached"
    assert words(await told(again)) == "서울의 봄"
    assert len(world.providers["a"].calls) == 1


async def test_a_kept_answer_whose_choices_have_no_index_is_streamed_all_the_same():
    bare = answer("", choices=[{"message": {"content": "하나"}, "finish_reason": "stop"}])
    world = World(a=Scripted(bare))
    await world.client.whole(request(), CHAT)
    chunks = await told(await world.client.stream(request()))
    assert words(chunks) == "하나"
    assert {choice["index"] for each in chunks for choice in each["choices"]} == {0}


@pytest.mark.parametrize(
    "other",
    [
        {"payer": Payer(tenant="을")},
        {"template": "v2"},
        {"body": {"top_p": 0.5}},
        {"body": {"tools": [{"type": "function", "function": {"name": "f"}}]}},
    ],
)
async def test_another_question_has_another_answer(other):
    world = World(a=Scripted("하나", "둘"))
    await world.client.whole(request(), CHAT)
    assert text_of((await world.client.whole(request(**other), CHAT)).body) == "둘"


@pytest.mark.parametrize(
    "line",
    [
        answer("절반", choices=[{"index": 0, "message": {"content": "절반"}, "finish_reason": "length"}]),
        answer("", choices=[{"index": 0, "message": {"content": None}, "finish_reason": "content_filter"}]),
        answer("누구", model="another-model"),
        answer("모름", refused=True),
    ],
)
async def test_what_is_not_whole_and_good_is_passed_on_and_never_kept(line):
    world = World(a=Scripted(line, "둘"))
    assert (await world.client.whole(request(), CHAT)).body is not None
    assert world.cache.kept == {}
    assert text_of((await world.client.whole(request(), CHAT)).body) == "둘"
    assert len(world.cache.kept) == 1


async def test_answers_in_another_name_are_told_of_once(caplog):
    world = World(a=Scripted(answer("누구", model="another-model")))
    for number in range(3):
        await world.client.whole(request(f"질문 {number}"), CHAT)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "answers_as" in caplog.text


async def test_a_deployment_may_answer_in_the_names_that_it_is_allowed():
    settings = Deployment(base_url="x", serves=("m",), answers_as=("another-model",))
    world = World(Config(deployments={"a": settings}), a=Scripted(answer("누구", model="another-model")))
    await world.client.whole(request(), CHAT)
    assert len(world.cache.kept) == 1


async def test_the_caller_may_ask_for_a_new_answer_and_that_nothing_is_kept():
    world = World(a=Scripted("하나", "둘", "셋"))
    await world.client.whole(request(writes_cache=False, reads_cache=False), CHAT)
    assert world.cache.kept == {}
    await world.client.whole(request(), CHAT)
    assert text_of((await world.client.whole(request(reads_cache=False), CHAT)).body) == "셋"
    assert text_of((await world.client.whole(request(), CHAT)).body) == "셋"


async def test_an_answer_of_another_version_is_as_good_as_none():
    world = World(a=Scripted("하나", "둘"))
    await world.client.whole(request(), CHAT)
    for key in world.cache.kept:
        world.cache.kept[key] = {"at": "yesterday"}
    assert text_of((await world.client.whole(request(), CHAT)).body) == "둘"


async def test_what_is_kept_travels_as_bytes_and_what_cannot_be_read_is_asked_anew():
    world = World(a=Scripted("하나", "둘"))
    await world.client.whole(request(), CHAT)
    assert [type(kept) for kept in world.cache.kept.values()] == [bytes]
    assert (await world.client.whole(request(), CHAT)).source == "cached"
    for poison in (b"{", b'{"at": "gestern"}', {"at": 1}):
        world.cache.kept = dict.fromkeys(world.cache.kept, poison)
        assert (await world.client.whole(request(), CHAT)).source == "fresh"


async def test_an_old_answer_is_served_while_a_new_one_is_made_behind_the_callers_back():
    config = Config(cache=CacheSettings(ttl_s=60, stale_s=60))
    world = World(config, a=Scripted("하나", "둘"))
    await world.client.whole(request(), CHAT)
    world.clock.advance(90)
    stale = await world.client.whole(request(), CHAT)
    assert (text_of(stale.body), stale.source, stale.age_s) == ("하나", "stale", 90)
    await turns()
    assert text_of((await world.client.whole(request(), CHAT)).body) == "둘"
    assert world.rows.outcomes() == ["ok", "cached", "ok"]
    assert len(world.rows.free) == 1


async def test_when_no_new_answer_can_be_had_the_old_one_is_served_and_marked():
    cache = CacheSettings(ttl_s=60, stale_s=0, stale_if_error_s=600)
    # Without retries: enough failures would open the breaker, and the last call would wait for it.
    world = World(Config(cache=cache, retries=0, retries_floor=0), a=Scripted("하나", fails(Kind.SERVER)))
    await world.client.whole(request(), CHAT)
    world.clock.advance(100)
    assert (await world.client.whole(request(), CHAT)).source == "stale"
    assert words(await told(await world.client.stream(request()))) == "하나"
    world.clock.advance(1_000)
    with pytest.raises(ModelFailed):
        await world.client.whole(request(), CHAT)


async def test_what_the_caller_must_change_is_not_answered_from_the_past():
    config = Config(cache=CacheSettings(ttl_s=0, stale_s=0))
    world = World(config, a=Scripted("하나", fails(Kind.CONTENT_FILTER)))
    await world.client.whole(request(), CHAT)
    with pytest.raises(ModelFailed) as caught:
        await world.client.whole(request(), CHAT)
    assert caught.value.status == 400


# -- one flight for all ----------------------------------------------------------------------------


async def test_equal_questions_at_once_are_one_call_billed_once_and_attributed_to_all():
    world = World(a=Scripted("하나", "둘"))
    payers = [Payer(user=name) for name in ("지민", "수아", "도윤")]
    found = await asyncio.gather(*(world.client.whole(request(payer=payer), CHAT) for payer in payers))
    assert {text_of(each.body) for each in found} == {"하나"}
    assert sorted(each.source for each in found) == ["coalesced", "coalesced", "fresh"]
    assert sum(each.cost for each in found) == PAID
    assert {row.user: row.outcome for row in world.rows} == {
        "지민": "ok",
        "수아": "coalesced",
        "도윤": "coalesced",
    }
    assert {row.paid_by for row in world.rows if row.outcome == "coalesced"} == {world.rows[0].id}


async def test_sampled_questions_share_nothing():
    world = World(a=Scripted("하나", "둘"))
    both = [request(body={"temperature": 1.0}) for _ in range(2)]
    found = await asyncio.gather(*(world.client.whole(each, CHAT) for each in both))
    assert {text_of(each.body) for each in found} == {"하나", "둘"}


async def test_a_leader_that_leaves_takes_nobody_along_and_the_last_one_stops_it_all():
    world = World(a=Scripted([chunk(), chunk("하"), HANG]))
    first, second = [await world.client.stream(request()) for _ in range(2)]
    assert (first.answered.source, second.answered.source) == ("fresh", "coalesced")
    await first.aclose()
    await turns()
    assert world.providers["a"].stopped == 0
    await second.aclose()
    await turns()
    assert (world.providers["a"].stopped, world.client.under_way) == (1, 0)
    assert world.rows.outcomes() == ["coalesced", "cancelled"]
    assert world.rows[-1].tokens_out > 0


async def test_a_stop_ends_what_is_under_way_with_its_rows():
    world = World(a=Scripted(HANG))
    waiting = asyncio.create_task(world.client.whole(request(), CHAT))
    await world.providers["a"].hanging.wait()
    await world.client.close()
    assert world.rows.outcomes() == ["cancelled"]
    with pytest.raises(Unavailable):
        await waiting


# -- budgets and accounts --------------------------------------------------------------------------

FOR_ONE = (BudgetSetting("user", "day", tokens=1_200),)


async def test_of_eight_first_calls_with_a_budget_for_one_one_passes_and_refusals_cost_nothing():
    world = World(budgets=FOR_ONE, a=Scripted("하나"))
    bodies = [request(f"질문 {number}") for number in range(8)]
    found = await asyncio.gather(*(world.client.whole(each, CHAT) for each in bodies), return_exceptions=True)
    assert sum(isinstance(each, BudgetExceeded) for each in found) == 7
    assert len(world.providers["a"].calls) == len(world.rows) == 1


async def test_a_refused_leader_refuses_nobody_who_may():
    used = {"prompt_tokens": 500, "completion_tokens": 500, "total_tokens": 1_000}
    world = World(budgets=FOR_ONE, a=Scripted(answer("하나", usage=used), "둘"))
    poor, rich = Payer(user="지민", model="m"), Payer(user="수아", model="m")
    await world.client.whole(request("다 썼다", payer=poor), CHAT)
    found = await asyncio.gather(
        *(
            world.client.whole(request("같은", payer=payer, body={"max_tokens": 1_000}), CHAT)
            for payer in (poor, rich)
        ),
        return_exceptions=True,
    )
    assert isinstance(found[0], BudgetExceeded)
    assert text_of(found[1].body) == "둘"


async def test_what_was_reserved_and_not_used_is_given_back():
    world = World(budgets=FOR_ONE, a=Scripted(fails(Kind.BAD_REQUEST), "하나", "둘"))
    with pytest.raises(ModelFailed):
        await world.client.whole(request("틀렸다"), CHAT)
    for prompt in ("하나", "둘"):
        await world.client.whole(request(prompt), CHAT)
    assert world.rows.outcomes() == ["failed:bad_request", "ok", "ok"]


async def test_a_stream_over_its_budget_is_refused_before_it_begins():
    world = World(budgets=FOR_ONE, a=Scripted("하나"))
    with pytest.raises(BudgetExceeded):
        await world.client.stream(request(body={"max_tokens": 5_000}))


# -- streams ---------------------------------------------------------------------------------------


async def test_a_stream_that_fails_before_its_first_content_is_answered_by_another_unseen():
    world = World(a=Scripted([chunk(), fails(Kind.CUT)]), b=Scripted("여기"))
    streamed = await world.client.stream(request())
    assert (streamed.answered.deployment, streamed.answered.attempts) == ("b", 2)
    assert words(await told(streamed)) == "여기"


async def test_a_stream_that_breaks_off_later_raises_behind_what_came_and_is_charged_for_it():
    world = World(a=Scripted([chunk(), chunk("하나 "), fails(Kind.CUT)]), b=Scripted("여기"))
    streamed = await world.client.stream(request())
    assert [words([await anext(streamed)]) for _ in range(2)] == ["", "하나 "]
    with pytest.raises(ModelFailed) as caught:
        await anext(streamed)
    await streamed.aclose()
    assert caught.value.members["kind"] == "cut"
    assert world.cache.kept == {}
    assert (world.rows.outcomes(), world.rows[0].estimated) == (["failed:cut"], True)
    assert world.rows[0].tokens_out > 0


async def test_a_rescued_stream_is_held_until_it_is_whole():
    deployments = {name: Deployment(base_url="x", serves=("m",), priority=at) for at, name in enumerate("ab")}
    config = Config(deployments=deployments, models={"m": ModelSettings(rescue="restart")})
    world = World(config, a=Scripted([chunk(), chunk("하나 "), fails(Kind.CUT)]), b=Scripted("전부"))
    streamed = await world.client.stream(request())
    assert words(await told(streamed)) == "전부"
    assert world.rows.outcomes() == ["failed:cut", "ok"]
    assert streamed.answered.cost == PAID


# -- models, vectors, stand-ins --------------------------------------------------------------------


async def test_names_of_models():
    deployed = Config(deployments={"a": Deployment(base_url="x", serves=("m",))}, default_model="m")
    client = World(deployed, a=Scripted("x")).client
    assert (client.model_of("m"), client.model_of("")) == ("m", "m")
    with pytest.raises(UnknownModel):
        client.model_of("gpt-4o")
    bare = World(Config()).client
    assert (bare.model_of("gpt-4o"), bare.model_of("")) == ("extractive", "extractive")


async def test_vectors_are_kept_too():
    world = World(a=Scripted("unused"))
    asked = request(body={"input": ["서울"], "messages": None})
    asked = msgspec.structs.replace(asked, body={"input": ["서울"]})
    assert [(await world.client.whole(asked, VECTORS)).source for _ in range(2)] == ["fresh", "cached"]


@pytest.mark.parametrize(("how", "said"), [("extractive", "940만"), ("잠시 후 다시요", "잠시 후 다시요")])
async def test_when_nobody_can_answer_a_stand_in_does_and_says_so(how, said):
    settings = Deployment(base_url="x", serves=("m",), attempts=1)
    config = Config(deployments={"a": settings}, models={"m": ModelSettings(degraded=how)})
    world = World(config, a=Scripted(fails(Kind.SERVER)))
    passages = [{"id": "1", "text": "서울의 인구는 약 940만 명이다."}]
    asked = request("서울의 인구는 얼마입니까?", body={"passages": passages})
    found = await world.client.whole(asked, CHAT)
    assert said in text_of(found.body)
    assert (found.source, found.body["degraded"], found.cost) == ("degraded", True, 0)
    assert said in words(await told(await world.client.stream(asked)))
    assert world.cache.kept == {}


async def test_the_callers_own_deadline_ends_the_wait():
    world = World(clock=SystemClock(), a=Scripted(HANG))
    for ask in (partial(world.client.whole, work=CHAT), world.client.stream):
        with pytest.raises(ModelTimedOut):
            await ask(request(total_s=0.05))
        await turns()
    assert world.providers["a"].stopped == 2
    assert world.client.under_way == 0
    # So little time says nothing of the provider: impatient callers hold nobody back.
    assert world.rows.outcomes() == ["cancelled", "cancelled"]
    assert world.paths.of("m").paths[0].guard.breaker.in_a_row == 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_one_with_little_time_ends_nothing_for_one_with_more(streamed):
    script = [[chunk("하"), HANG]] if streamed else [HANG]
    world = World(clock=SystemClock(), a=Scripted(*script))

    async def ask(total_s):
        if not streamed:
            return await world.client.whole(request(total_s=total_s), CHAT)
        found = await world.client.stream(request(total_s=total_s))
        try:
            return [each async for each in found]
        finally:
            await found.aclose()

    patient = asyncio.create_task(ask(30))
    await world.providers["a"].hanging.wait()
    with pytest.raises(ModelTimedOut):
        await ask(0.05)
    await turns()
    assert not patient.done()
    assert (len(world.providers["a"].calls), world.providers["a"].stopped) == (1, 0)
    patient.cancel()
    await asyncio.gather(patient, return_exceptions=True)
    await turns()
    assert world.providers["a"].stopped == 1


async def test_an_old_answer_stands_in_when_the_time_is_over_too():
    config = Config(cache=CacheSettings(ttl_s=0, stale_s=0))
    world = World(config, clock=SystemClock(), a=Scripted("하나", HANG))
    await world.client.whole(request(), CHAT)
    for _ in range(3):
        assert (await world.client.whole(request(total_s=0.05), CHAT)).source == "stale"


async def test_passages_are_shown_to_the_extractive_model_alone():
    world = World(a=Scripted("하나"))
    await world.client.whole(request(body={"passages": [{"id": "1", "text": "서울"}]}), CHAT)
    assert "passages" not in world.providers["a"].calls[0]
