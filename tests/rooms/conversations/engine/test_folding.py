"""States: one exchange at a time, within the budget, never behind for good, and a model's summary on top."""

import asyncio

import pytest

from holdfast.ports.model import ModelFailed, Reply
from holdfast.rooms.conversations.rules.state import WINDOW, Exchange
from tests.rooms.conversations.models import Echo, Gated, Quoting
from tests.waiting import until

FACTS = [
    "My daughter Mina is allergic to peanuts.",
    "내 생일은 3월 14일이에요.",
    "I work at Hanbit Farm in Jeonju.",
    "예산은 250만원으로 정했어요.",
]


async def filled(world, conversation, count, first=0):
    for n in range(first, first + count):
        await world.say(conversation, f"chapter {n} is number {n} of my book")


async def test_what_leaves_the_window_is_folded_and_nothing_is_overwritten(make_on_both):
    world = make_on_both(Echo(""), summarise_every=0)
    conversation = await world.start()
    for fact in FACTS:
        await world.say(conversation, fact)
    state = await world.state(conversation)
    assert (state.folded, state.summary, len(state.digests)) == (0, (), 4)
    await filled(world, conversation, WINDOW)
    state = await world.state(conversation)
    assert (state.folded, len(state.digests)) == (4, WINDOW)
    assert all(fact in " ".join(state.summary) for fact in FACTS)
    await filled(world, conversation, 3, 5)
    summary = " ".join((await world.state(conversation)).summary)
    assert all(fact in summary for fact in FACTS), "a later fold keeps what the earlier ones told"
    assert sum(world.meter.values("holdfast_conversations_folds_total", "extractive")) == 7


async def test_the_state_keeps_its_budget_whatever_is_said(make):
    world = make(Echo(""), state_bytes=300)
    conversation = await world.start()
    for text in (
        "가나다라마바사아자차카타파하" * 60,
        "👩‍👩‍👧‍👦" * 300,
        "中文維基百科" * 200,
        "e\u0301" * 900,
        "x" * 5000,
    ):
        for n in range(3):
            await world.say(conversation, f"{n} {text}")
            kept = await world.store.open(conversation)
            assert kept.state_bytes <= 300
    assert max(world.meter.values("holdfast_conversations_state_bytes")) <= 300


async def test_a_model_writes_the_summary_later_and_never_blocks_a_turn(make_on_both):
    asked, held = asyncio.Event(), asyncio.Event()

    class Slow(Echo):
        async def complete(self, ask):
            asked.set()
            await held.wait()
            return await super().complete(ask)

    world = make_on_both(Slow(""), summarise_every=2, summarise_after_s=0)
    conversation = await world.start("mina")
    for fact in FACTS:
        await world.say(conversation, fact, user="mina")
    for n in range(3):
        await world.say(conversation, f"filling number {n}", user="mina")
    before = await world.state(conversation)
    assert (before.folded, before.modelled) == (2, 0)
    await asked.wait()
    # Two more exchanges are folded while the model still writes: they stay, behind what it writes.
    for n in range(3, 5):
        await world.say(conversation, f"filling number {n}", user="mina")
    held.set()
    await until(lambda: world.meter.count("holdfast_conversations_folds_total", "model"))
    state = await world.state(conversation)
    assert state.summary[:2] == ("The user likes tea.", "사용자는 차를 좋아한다.")
    assert FACTS[2] in state.summary
    assert FACTS[3] in state.summary
    assert (state.folded, state.modelled) == (4, 2)
    ask = world.model.summaries[0]
    assert (ask.purpose, ask.user) == ("summary", "mina")
    assert FACTS[0] in ask.messages[1].content
    assert [row.text for row in (await world.rows(conversation))[0:1]] == [FACTS[0]], "the log is untouched"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(text="a quote", generated_by="extractive"),
        Reply(text="half a", generated_by="m", finish_reason="length"),
        Reply(text="stand-in", generated_by="m", degraded=True),
        Reply(text="  \n ", generated_by="m"),
        ModelFailed("gone"),
        RuntimeError("a bug"),
    ],
)
async def test_what_a_model_does_not_write_well_leaves_the_extractive_summary(make, reply):
    class Bad(Echo):
        async def complete(self, ask):
            if isinstance(reply, Exception):
                raise reply
            return reply

    world = make(Bad(""), summarise_every=1, summarise_after_s=0)
    conversation = await world.start()
    for text in (*FACTS, "next number 5", "next number 6"):
        await world.say(conversation, text)
    await until(lambda: world.meter.count("holdfast_conversations_folds_total", "none"))
    state = await world.state(conversation)
    assert state.summary == (FACTS[0],)
    assert state.modelled == 0


async def test_writers_at_the_same_time_lose_no_exchange(make_on_both):
    one, other = make_on_both(Echo(""), summarise_every=0), make_on_both(Echo(""), summarise_every=0)
    conversation = await one.start()
    stale = await one.store.open(conversation)
    await other.say(conversation, FACTS[0])
    await one.say(conversation, FACTS[1])
    await one.engine.folding.advance(stale, Exchange(4, FACTS[1], FACTS[1]))
    state = await one.state(conversation)
    assert [user for user, _ in state.digests] == FACTS[:2]
    assert state.seq == 4


async def test_an_extractive_answer_is_never_remembered_again(make):
    world = make(Quoting(), summarise_every=0)
    conversation = await world.start()
    await world.say(conversation, "우리 강아지 이름은 초코예요.")
    for n in range(7):
        await world.say(conversation, f"강아지 이름이 뭐였지? {n}")
    state = await world.state(conversation)
    assert state.summary.count("우리 강아지 이름은 초코예요.") == 1
    assert not any(sentence.startswith('"') for sentence in state.summary)


async def test_erased_while_it_was_answered_it_stays_erased(make_on_both):
    here, there = make_on_both(Gated()), make_on_both()
    conversation = await here.start("mina")
    run = await here.engine.say("mina", conversation, "secret")
    run.begin()
    await here.model.asked.wait()
    await there.engine.erase("mina", conversation)
    here.model.let()
    await until(lambda: run.ended is not None)
    assert run.ended.status == "interrupted"
    assert await here.rows(conversation) == []
    assert await here.store.open(conversation) is None
