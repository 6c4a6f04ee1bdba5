"""What was said long ago comes back when it matters, and only then."""

import pytest

from holdfast.rooms.conversations.rules.state import WINDOW
from tests.rooms.conversations.models import Echo, Quoting

PAIRS = [
    ("우리 강아지 이름은 초코이고 세 살이에요.", "강아지 이름이 뭐였지?"),
    ("I planted forty tomatoes in the north greenhouse.", "How many tomatoes did I plant?"),
    ("회의는 다음 주 목요일 오후 3시에 부산에서 해요.", "부산 회의가 언제라고 했지?"),
    ("My passport number starts with M391.", "what does the passport start with?"),
    ("저는 땅콩 알레르기가 있어서 견과류를 못 먹어요.", "내가 무슨 알레르기가 있다고 했지?"),
]


@pytest.mark.parametrize(("fact", "question"), PAIRS)
async def test_an_archived_message_is_given_as_a_passage(make_on_both, fact, question):
    world = make_on_both(Echo("ok "), recall="archived")
    conversation = await world.start()
    await world.say(conversation, fact)
    for n in range(12):
        await world.say(conversation, f"그리고 {n}번째 잡담입니다. some chatter {n}")
    await world.say(conversation, question)
    ask = world.model.asks[-1]
    assert fact in [passage.text for passage in ask.passages]
    assert ask.passages[0].id == "m1"
    assert ask.passages[0].title.startswith("user, ")
    assert len([turn for turn in ask.messages if turn.role == "user"]) == WINDOW + 1
    assert fact not in [turn.content for turn in ask.messages]


async def test_what_does_not_matter_is_not_recalled(make):
    world = make(Echo("ok "))
    conversation = await world.start()
    for fact, _ in PAIRS:
        await world.say(conversation, fact)
    for n in range(8):
        await world.say(conversation, f"잡담 {n}")
    for question in ("양자역학을 설명해 주세요", "zxqv?", "!!!", "ok"):
        await world.say(conversation, question)
        assert world.model.asks[-1].passages == (), question


async def test_settings_bound_it_and_turn_it_off(make):
    world = make(Echo("ok "), recall_messages=2, recall_bytes=100)
    conversation = await world.start()
    for n in range(9):
        await world.say(conversation, f"토마토 {n}번 밭에는 토마토 모종이 {n}개 있어요. " + "긴 설명 " * 20)
    await world.say(conversation, "토마토 모종이 몇 개였지?")
    passages = world.model.asks[-1].passages
    assert 1 <= len(passages) <= 2
    assert sum(len(passage.text.encode()) for passage in passages) <= 100
    off = make(Echo("ok "), recall="off")
    await off.say(conversation, "토마토 모종이 몇 개였지?")
    assert off.model.asks[-1].passages == ()


async def test_the_extractive_model_answers_from_what_was_just_said(make):
    world = make(Quoting())
    conversation = await world.start()
    await world.say(conversation, "My greenhouse is 40 metres long.")
    answer = await world.say(conversation, "How long is the greenhouse?")
    assert answer.text == '"My greenhouse is 40 metres long."'
    await world.say(conversation, "고구마는 창고에 있어요")
    assert (await world.say(conversation, "고구마가 어디 있지?")).text == '"고구마는 창고에 있어요"'
    assert not [row for row in await world.rows(conversation) if row.role == "assistant" and row.terms]


async def test_recall_stays_within_its_conversation(make_on_both):
    world = make_on_both(Echo("ok "))
    first, second = await world.start("mina"), await world.start("juno")
    await world.say(first, PAIRS[0][0], user="mina")
    for n in range(7):
        await world.say(first, f"chatter {n}", user="mina")
        await world.say(second, f"chatter {n}", user="juno")
    await world.say(second, PAIRS[0][1], user="juno")
    assert world.model.asks[-1].passages == ()


async def test_signs_that_a_pattern_gives_a_meaning_are_only_signs(make_on_both):
    world = make_on_both(Echo("ok "), recall="archived")
    conversation = await world.start()
    await world.say(conversation, "the discount is 100% with code a_b")
    for n in range(8):
        await world.say(conversation, f"chatter {n}")
    for odd in ("%", "_ _ _", "' OR 1=1 --", "\\", "100%_%"):
        assert (await world.say(conversation, odd)).status == "done"
    await world.say(conversation, "which discount code?")
    assert world.model.asks[-1].passages[0].id == "m1"
