"""One message and its answer: durable before, whole after, and visible whatever happened between."""

import asyncio

import msgspec
import pytest

from holdfast.kernel.errors import Problem, Unavailable
from holdfast.ports.model import ModelTimedOut, NoModel, Piece, Reply
from holdfast.rooms.conversations.engine.streaming import whole
from holdfast.rooms.conversations.rules.personas import Persona
from holdfast.rooms.conversations.rules.problems import (
    AnswerFailed,
    AnswerTimedOut,
    BadMessage,
    Busy,
    Full,
    KeyReused,
    MessageTooLarge,
    UnknownConversation,
    UnknownPersona,
    why_not_whole,
)
from tests.rooms.conversations.models import Echo, Gated, Quoting, Saying, failing
from tests.waiting import until


async def test_a_turn_is_two_rows_and_a_state(make_on_both):
    world = make_on_both()
    conversation = await world.start("mina")
    answer = await world.say(conversation, "안녕하세요, 제 이름은 민아예요", user="mina")
    assert (answer.status, answer.text) == ("done", "You said: 안녕하세요, 제 이름은 민아예요 ")
    rows = await world.rows(conversation)
    assert [(row.seq, row.role, row.status) for row in rows] == [
        (1, "user", "done"),
        (2, "assistant", "done"),
    ]
    assert rows[1].facts["usage"] == {"input_tokens": 3, "output_tokens": 5, "cost": 0.1, "estimated": False}
    kept = await world.store.open(conversation)
    assert (kept.version, kept.state.seq, kept.state.intent) == (1, 2, "greeting")
    assert kept.state_bytes <= 900
    assert world.meter.count("holdfast_conversations_turns_total", "done") == 1


async def test_the_message_is_durable_before_the_model_is_called(make_on_both):
    world = make_on_both(Gated())
    conversation = await world.start()
    run = await world.engine.say("", conversation, "durable?")
    rows = await world.rows(conversation)
    assert [(row.text, row.status) for row in rows] == [("durable?", "done"), ("", "pending")]
    assert not world.model.asked.is_set(), "nothing has been asked of the model yet"
    world.model.let()
    assert (await whole(run, None)).text == "one two three"


async def test_the_first_token_and_the_whole_answer_have_two_clocks(make_on_both, clock):
    world = make_on_both(Gated(), first_token_s=5.0, total_s=10.0)
    conversation = await world.start()
    silent = asyncio.create_task(world.say(conversation, "first"))
    await world.model.asked.wait()
    clock.advance(4.9)
    world.engine.expiry.sweep()
    await asyncio.sleep(0)
    assert not silent.done()
    clock.advance(0.2)
    world.engine.expiry.sweep()
    answer = await silent
    assert (answer.status, answer.text) == ("timeout", "")
    assert "first token" in answer.facts["error"]["detail"]
    assert world.model.closed.is_set()

    world.model = Gated()
    slow = asyncio.create_task(world.say(conversation, "second"))
    world.model.let(0, 1)
    run = None
    while run is None or run.length < 8:
        await asyncio.sleep(0)
        run = world.engine.runs.get(conversation, 4)
    clock.advance(9.9)
    world.engine.expiry.sweep()
    await asyncio.sleep(0)
    assert not slow.done(), "the first token came in time, so only the whole answer's clock counts"
    clock.advance(0.2)
    world.engine.expiry.sweep()
    answer = await slow
    assert (answer.status, answer.text) == ("timeout", "one two ")
    rows = await world.rows(conversation)
    assert [row.status for row in rows] == ["done", "timeout", "done", "timeout"]
    problem = why_not_whole(rows[3])
    assert isinstance(problem, AnswerTimedOut)
    assert (problem.status, problem.members["text"], problem.members["message_id"]) == (504, "one two ", "m4")
    world.model = Echo()
    await world.say(conversation, "third")
    said = [turn.content for turn in world.model.asks[0].messages]
    assert "one two  (cut off: timeout)" in said
    assert "(no answer: timeout)" in said


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        (failing(), "failed", "model-failed"),
        (Saying(error=ModelTimedOut("late")), "timeout", "model-timeout"),
        (Saying(error=RuntimeError("a bug")), "failed", "internal"),
        (Saying("half an ans"), "failed", "model-failed"),
        (Saying(), "failed", "model-failed"),
        (NoModel(), "failed", "no-model"),
    ],
)
async def test_an_answer_that_fails_leaves_a_visible_turn(make, model, status, code):
    world = make(model)
    conversation = await world.start()
    answer = await world.say(conversation, "질문이에요")
    assert (answer.status, answer.facts["error"]["code"]) == (status, code)
    assert [row.status for row in await world.rows(conversation)] == ["done", status]
    assert why_not_whole(answer).hint
    world.model = Echo()
    assert (await world.say(conversation, "다시")).status == "done", "the conversation goes on"
    assert (await world.state(conversation)).digests[0][1].startswith(f"({status})")


async def test_what_a_database_cannot_take_is_replaced_in_answers(make_on_both):
    pieces = ("zero\0 ", "\ud83d", "\ude00 ", "half \ud83d", Piece(reply=Reply(text="")))
    world = make_on_both(Saying(*pieces))
    conversation = await world.start()
    answer = await world.say(conversation, "say something odd")
    assert answer.text == "zero\ufffd 😀 half \\ud83d"
    assert (await world.rows(conversation))[1].text == answer.text


async def test_a_reply_without_pieces_and_one_that_goes_further(make):
    world = make(Saying(Piece(reply=Reply(text="all at once"))))
    conversation = await world.start()
    assert (await world.say(conversation, "a")).text == "all at once"
    world.model = Saying("all ", Piece(reply=Reply(text="all of it")))
    assert (await world.say(conversation, "b")).text == "all of it"
    world.model = Saying("seen", Piece(reply=Reply(text="something else")))
    assert (await world.say(conversation, "c")).text == "seen"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", BadMessage),
        (" \n ", BadMessage),
        ("NUL \0 inside", BadMessage),
        ("half \ud83d pair", BadMessage),
        ("가" * 400, MessageTooLarge),
        ("x" * 10_000_000, MessageTooLarge),
    ],
)
async def test_messages_that_cannot_be_taken_change_nothing(make, text, kind):
    world = make(max_message_bytes=1000)
    conversation = await world.start()
    with pytest.raises(kind) as refused:
        await world.engine.say("", conversation, text)
    assert refused.value.hint
    assert await world.rows(conversation) == []
    assert (await world.say(conversation, "가" * 333)).status == "done"


async def test_a_conversation_has_an_end(make):
    world = make(max_messages=4)
    conversation = await world.start()
    for text in ("a", "b"):
        await world.say(conversation, text)
    with pytest.raises(Full) as refused:
        await world.engine.say("", conversation, "c")
    assert refused.value.status == 409
    assert world.meter.count("holdfast_conversations_refused_total", "full") == 1


async def test_it_belongs_to_who_started_it(make):
    world = make()
    mine, anyones = await world.start("mina"), await world.start()
    for caller in ("", "juno"):
        with pytest.raises(UnknownConversation):
            await world.engine.say(caller, mine, "hello")
        with pytest.raises(UnknownConversation):
            await world.engine.erase(caller, mine)
    assert (await world.say(mine, "hello", user="mina")).status == "done"
    assert (await world.say(anyones, "hello", user="juno")).status == "done", "its id is what gives access"
    for odd in ("", "no-such", "가나다", "x" * 200, "nul\0"):
        with pytest.raises(UnknownConversation):
            await world.engine.open("mina", odd)


async def test_two_at_once_never_interleave(make_on_both):
    worlds = [make_on_both(Gated()) for _ in range(3)]
    conversation = await worlds[0].start()
    asked = await asyncio.gather(
        *(world.engine.say("", conversation, f"message {n}") for n in range(4) for world in worlds),
        return_exceptions=True,
    )
    runs = [one for one in asked if not isinstance(one, Exception)]
    refused = [one for one in asked if isinstance(one, Exception)]
    assert len(runs) == 1
    assert {type(one) for one in refused} == {Busy}
    assert refused[0].hint
    assert refused[0].retry_after_s
    assert len(await worlds[0].rows(conversation)) == 2
    for world in worlds:
        world.model.let()
    assert (await whole(runs[0], None)).status == "done"


async def test_queued_messages_are_answered_one_after_the_other(make_on_both):
    worlds = [make_on_both(Echo(""), on_concurrent="queue", queue_s=120.0) for _ in range(2)]
    conversation = await worlds[0].start()
    answers = await asyncio.gather(
        *(
            world.say(conversation, f"{name}{n}")
            for n in range(4)
            for name, world in zip("ab", worlds, strict=True)
        )
    )
    assert {answer.status for answer in answers} == {"done"}
    rows = await worlds[0].rows(conversation)
    assert [row.seq for row in rows] == list(range(1, 17))
    for message, answer in zip(rows[::2], rows[1::2], strict=True):
        assert (message.role, answer.role, answer.text.strip()) == ("user", "assistant", message.text)
    for name in "ab":
        own = [row.text for row in rows[::2] if row.text.startswith(name)]
        assert own == sorted(own), "within a process in the order in which they came"


async def test_the_queue_is_bounded_in_length(make):
    world = make(Gated(), on_concurrent="queue", queue=1, queue_s=600)
    conversation = await world.start()
    run = await world.engine.say("", conversation, "first")
    waiting = asyncio.create_task(world.engine.say("", conversation, "second"))
    await until(lambda: world.engine._lines.waiting(conversation) == 1)
    with pytest.raises(Busy, match="wait already"):
        await world.engine.say("", conversation, "third")
    world.model.let()
    assert (await whole(run, None)).status == "done"
    assert (await whole(await waiting, None)).status == "done"


async def test_the_queue_is_bounded_in_time(make):
    world = make(Gated(), on_concurrent="queue", queue_s=0.05)
    conversation = await world.start()
    run = await world.engine.say("", conversation, "first")
    with pytest.raises(Busy):
        await world.engine.say("", conversation, "second")
    world.model.let()
    assert (await whole(run, None)).status == "done"
    assert (await world.say(conversation, "later")).status == "done", "who gave up does not hold the line"


async def test_a_key_gives_the_stored_answer_again(make_on_both):
    here, there = make_on_both(), make_on_both()
    conversation = await here.start()
    first = await here.say(conversation, "hello", key="k")
    again = await here.say(conversation, "hello", key="k")
    elsewhere = await there.engine.say("", conversation, "hello", "k")
    assert elsewhere.replayed
    assert (await whole(elsewhere, None)).text == again.text == first.text
    assert len(here.model.asks) == 1
    assert there.model.asks == []
    with pytest.raises(KeyReused) as refused:
        await there.engine.say("", conversation, "another", "k")
    assert refused.value.status == 422
    other = await here.start()
    assert (await here.say(other, "another", key="k")).status == "done", "keys are a conversation's own"
    assert len(await here.rows(conversation)) == 2


async def test_a_repeat_in_flight_joins_here_and_from_another_process(make_on_both):
    here, there = make_on_both(Gated()), make_on_both()
    conversation = await here.start()
    run = await here.engine.say("", conversation, "hello", "k")
    joined = await here.engine.say("", conversation, "hello", "k")
    assert joined is run
    following = asyncio.create_task(there.say(conversation, "hello", key="k"))
    answers = asyncio.gather(whole(run, None), whole(joined, None), following)
    here.model.let()
    assert {answer.text for answer in await answers} == {"one two three"}
    assert len(here.model.asks) == 1


async def test_a_repeat_in_flight_may_be_a_conflict_instead(make):
    world = make(Gated(), on_repeat="conflict")
    conversation = await world.start()
    run = await world.engine.say("", conversation, "hello", "k")
    with pytest.raises(Busy, match="this very message"):
        await world.engine.say("", conversation, "hello", "k")
    world.model.let()
    await whole(run, None)
    assert (await world.say(conversation, "hello", key="k")).text == "one two three"


async def test_many_repeats_at_once_are_one_turn(make_on_both):
    worlds = [make_on_both(on_concurrent=how) for how in ("queue", "conflict", "queue")]
    conversation = await worlds[0].start()
    answers = await asyncio.gather(
        *(world.say(conversation, "hello", key="k") for _ in range(3) for world in worlds)
    )
    assert len({answer.text for answer in answers}) == 1
    assert len(await worlds[0].rows(conversation)) == 2
    assert sum(len(world.model.asks) for world in worlds) == 1


async def test_a_dead_process_does_not_block_the_conversation(make_on_both, clock):
    dead, here = make_on_both(Gated()), make_on_both()
    conversation = await dead.start()
    await dead.engine.say("", conversation, "then it died", "k")
    with pytest.raises(Busy):
        await here.engine.say("", conversation, "hello?")
    clock.advance(dead.engine.config.lease_s + 1)
    assert (await here.say(conversation, "hello?")).status == "done"
    rows = await here.rows(conversation)
    assert [row.status for row in rows] == ["done", "interrupted", "done", "done"]
    assert rows[1].facts["error"]["code"] == "conversation-stopped"
    repeated = await here.say(conversation, "then it died", key="k")
    assert repeated.status == "interrupted"
    state = await here.state(conversation)
    assert [user for user, _ in state.digests] == ["then it died", "hello?"]


async def test_who_comes_back_after_its_claim_changes_nothing(make, clock):
    late, here = make(Gated()), make()
    conversation = await late.start()
    run = await late.engine.say("", conversation, "slow")
    clock.advance(late.engine.config.lease_s + 1)
    await here.say(conversation, "mine")
    late.model.let()
    answer = await whole(run, None)
    assert (answer.status, answer.text) == ("interrupted", "one two three")
    assert [row.text for row in await here.rows(conversation)][1] == ""


async def test_a_state_that_could_not_be_stored_catches_up(make_on_both):
    world = make_on_both(summarise_every=0)
    conversation = await world.start()
    held = world.store.keep_state

    async def broken(*_):
        raise Unavailable("no database", retry_after_s=1)

    world.store.keep_state = broken
    for n in range(9):
        assert (await world.say(conversation, f"my number is {n}")).status == "done"
    assert (await world.state(conversation)).seq == 0
    world.store.keep_state = held
    await world.say(conversation, "my number is 9")
    state = await world.state(conversation)
    assert (state.seq, state.folded, len(state.digests)) == (20, 5, 5)
    assert "my number is 0" in " ".join(state.summary)


async def test_what_cannot_be_written_down_is_no_success(make):
    world = make()
    conversation = await world.start()

    async def broken(*_):
        raise Unavailable("no database", retry_after_s=1)

    world.store.finish = broken
    answer = await world.say(conversation, "hello")
    assert answer.status == "failed"
    assert answer.facts["error"]["code"] == "unavailable"
    assert isinstance(why_not_whole(answer), AnswerFailed)


async def test_persona_language_and_limits(make):
    personas = {
        "농부": {"style_ko": "농부처럼 답하세요.", "language": "ko", "max_message_bytes": 30, "max_tokens": 7}
    }
    world = make(personas=msgspec.convert(personas, dict[str, Persona]))
    conversation = await world.start(persona="농부")
    await world.say(conversation, "감자는?")
    ask = world.model.asks[0]
    assert ask.messages[0].content.startswith("농부처럼 답하세요.")
    assert "한국어로 답하세요" in ask.messages[0].content
    assert ask.max_tokens == 7
    with pytest.raises(MessageTooLarge):
        await world.engine.say("", conversation, "감자는 언제 심어야 좋을까요?")
    with pytest.raises(UnknownPersona) as refused:
        await world.start(persona="nobody")
    assert "tutor" in refused.value.hint


async def test_citations_are_checked_against_the_passages(make):
    model = Quoting()
    model.lies = True
    world = make(model)
    conversation = await world.start()
    await world.say(conversation, "우리 강아지 이름은 초코예요.")
    answer = await world.say(conversation, "강아지 이름이 뭐였지?")
    assert answer.text == '"우리 강아지 이름은 초코예요."'
    assert [quote["quote"] for quote in answer.facts["citations"]] == ["우리 강아지 이름은 초코예요."]
    assert list(answer.facts["recalled"]) == ["m1"]
    assert (await world.rows(conversation))[3].terms == "", "what only quotes is no source itself"


async def test_the_deadline_of_the_request_is_tighter_than_the_settings(make, request_ctx):
    world = make()
    conversation = await world.start()
    request_ctx.deadline = request_ctx.sources.clock.monotonic() + 3.0
    await world.say(conversation, "hurry")
    assert world.model.asks[0].total_s <= 3.0
    assert world.model.asks[0].first_token_s <= 3.0


async def test_a_stop_ends_what_is_on_its_way_and_writes_it_down(make_on_both):
    world = make_on_both(Gated())
    conversation = await world.start()
    run = await world.engine.say("", conversation, "long story")
    ending = asyncio.create_task(whole(run, None))
    world.model.let(0)
    await until(lambda: run.length)
    await world.engine.stop()
    answer = await ending
    assert (answer.status, answer.text) == ("interrupted", "one ")
    assert [row.status for row in await world.rows(conversation)] == ["done", "interrupted"]
    assert world.model.closed.is_set()
    assert isinstance(why_not_whole(answer), Problem)


async def test_a_claim_that_nobody_begins_is_given_up(make):
    world = make(on_concurrent="queue")
    conversation = await world.start()
    run = await world.engine.say("", conversation, "never begun")
    world.engine.answering.give_up(run)
    assert (await world.say(conversation, "next in line")).status == "done"
    assert [row.status for row in await world.rows(conversation)] == ["done", "cancelled", "done", "done"]
    world.engine.answering.give_up(run)
