"""Server-sent events: one before the model, every character once, and an end that says what it was."""

import asyncio
import json

import pytest

from holdfast.rooms.conversations.engine.streaming import EventStream, whole
from holdfast.rooms.conversations.rules.events import HEARTBEAT, Place, place_of
from holdfast.rooms.conversations.rules.problems import AnswerStopped, UnknownMessage
from tests.rooms.conversations.models import Echo, Gated, Saying, failing
from tests.waiting import until


def parsed(chunks):
    """`(event, id, data)` of each event in these bytes; comments are left out."""
    found = []
    for block in b"".join(chunks).decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            fields = dict(line.split(": ", 1) for line in lines)
            found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


async def read(stream):
    return parsed([chunk async for chunk in stream])


def text_of(events):
    return "".join(data["text"] for name, _, data in events if name == "token")


async def stream_of(world, conversation, text="hello", *, key="", last="", ctx=None):
    run = await world.engine.say("", conversation, text, key)
    return EventStream(run, world.engine, place_of(last), ctx)


async def resumed(world, conversation, name, last=""):
    run = await world.engine.listen("", conversation, name)
    return await read(EventStream(run, world.engine, place_of(last), None))


async def test_start_tokens_done(make):
    world = make()
    conversation = await world.start()
    events = await read(await stream_of(world, conversation, "안녕 세상"))
    assert [name for name, _, _ in events] == ["start", *["token"] * (len(events) - 2), "done"]
    assert events[0][2]["message_id"] == "m2"
    assert text_of(events) == events[-1][2]["text"] == "You said: 안녕 세상 "
    assert events[-1][2]["usage"]["output_tokens"] == 5
    assert events[-1][2]["status"] == "done"
    length = len(text_of(events))
    assert events[0][1] == "0"
    assert events[-1][1] == f"{length}.end"
    assert sum(world.meter.values("holdfast_conversations_active_streams")) == 0


async def test_the_first_event_is_out_before_the_model_is_called(make):
    world = make(Gated())
    conversation = await world.start()
    stream = await stream_of(world, conversation)
    assert (await anext(stream)).startswith(b"id: 0\nevent: start\n")
    assert not world.model.asked.is_set()
    world.model.let()
    assert text_of(await read(stream)) == "one two three"


async def test_silence_is_broken_by_comments(make):
    world = make(Gated(), heartbeat_s=0.01)
    conversation = await world.start()
    stream = await stream_of(world, conversation)
    await anext(stream)
    assert await anext(stream) == HEARTBEAT
    assert await anext(stream) == HEARTBEAT
    world.model.let()
    assert text_of(await read(stream)) == "one two three"


@pytest.mark.parametrize(
    ("model", "code"), [(failing(), "conversation-failed"), (Saying("cut "), "conversation-failed")]
)
async def test_a_failure_is_an_error_in_band_and_then_done(make, model, code):
    world = make(model)
    conversation = await world.start()
    events = await read(await stream_of(world, conversation))
    assert [name for name, _, _ in events][-2:] == ["error", "done"]
    assert events[-2][2]["code"] == code
    assert events[-2][2]["cause"] == "model-failed"
    assert events[-2][2]["hint"]
    assert (events[-1][2]["status"], events[-1][2]["text"]) == ("failed", text_of(events))


async def test_a_stream_goes_on_where_it_broke_off(make):
    world = make(Gated("one ", "둘 ", "three"), on_disconnect="finish")
    conversation = await world.start()
    stream = await stream_of(world, conversation)
    world.model.let(0, 1)
    first = parsed([await anext(stream), await anext(stream)])
    await until(lambda: world.engine.runs.get(conversation, 2).length == 6)
    await stream.aclose()
    world.model.let()
    seen = text_of(first)
    events = await resumed(world, conversation, "m2", first[-1][1])
    assert seen + text_of(events) == "one 둘 three"
    assert events[-1][2]["status"] == "done"
    assert text_of(await resumed(world, conversation, "m2")) == "one 둘 three"
    assert [name for name, _, _ in await resumed(world, conversation, "m2", events[-1][1])] == [
        "start",
        "done",
    ]


async def test_the_same_post_with_its_key_goes_on_as_well(make):
    world = make(Gated(), on_disconnect="finish")
    conversation = await world.start()
    stream = await stream_of(world, conversation, key="k")
    world.model.let(0)
    first = parsed([await anext(stream), await anext(stream)])
    await stream.aclose()
    world.model.let()
    events = await read(await stream_of(world, conversation, key="k", last=first[-1][1]))
    assert text_of(first) + text_of(events) == "one two three"
    assert len(world.model.asks) == 1


async def test_an_ended_answer_comes_from_the_database_when_memory_has_let_it_go(make_on_both):
    world, other = make_on_both(keep_answers=1), make_on_both()
    conversation = await world.start()
    for text in ("first", "second"):
        await world.say(conversation, text)
    assert world.engine.runs.kept == 1
    for process in (world, other):
        events = await resumed(process, conversation, "m2", "4")
        assert text_of(events) == "You said: first "[4:]
        assert events[0][2]["replayed"]
        assert events[-1][2]["replayed"]
        assert events[-1][1] == "16.end"


async def test_memory_for_ended_answers_is_bounded_in_bytes(make):
    world = make(keep_answers_bytes=50)
    conversation = await world.start()
    for n in range(6):
        await world.say(conversation, f"some words {n}")
    assert world.engine.runs.kept == 2
    assert world.engine.runs._bytes <= 50


async def test_an_answer_of_another_process_is_followed(make_on_both):
    here, there = make_on_both(Gated()), make_on_both()
    conversation = await here.start()
    run = await here.engine.say("", conversation, "hello")
    ours = asyncio.create_task(whole(run, None))
    theirs = asyncio.create_task(resumed(there, conversation, "m2"))
    here.model.let()
    assert text_of(await theirs) == (await ours).text
    for name in ("m1", "m4", "x", "", "m٣", "m" + "9" * 30):
        with pytest.raises(UnknownMessage):
            await there.engine.listen("", conversation, name)


async def test_the_last_listener_to_leave_ends_the_model(make_on_both):
    world = make_on_both(Gated())
    conversation = await world.start()
    one = await stream_of(world, conversation, key="k")
    other = await stream_of(world, conversation, key="k")
    world.model.let(0)
    for stream in (one, other):
        await anext(stream)
        await anext(stream)
    await one.aclose()
    await one.aclose()
    assert not world.model.closed.is_set(), "somebody still listens"
    await other.aclose()
    await world.model.closed.wait()
    await until(lambda: not world.engine.runs.going)
    answer = (await world.rows(conversation))[1]
    assert (answer.status, answer.text) == ("cancelled", "one ")
    events = await resumed(world, conversation, "m2")
    assert [name for name, _, _ in events][-2:] == ["error", "done"]
    world.model = Echo()
    assert (await world.say(conversation, "again")).status == "done"


async def test_a_stream_that_nobody_reads_is_ended_when_it_is_closed(make):
    world = make(Gated())
    conversation = await world.start()
    stream = await stream_of(world, conversation)
    await stream.aclose()
    await until(lambda: not world.engine.runs.going)
    assert [row.status for row in await world.rows(conversation)] == ["done", "cancelled"]
    assert not world.model.asked.is_set()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_gone_ends_the_stream_and_the_model(make, request_ctx):
    world = make(Gated())
    conversation = await world.start()
    stream = await stream_of(world, conversation, ctx=request_ctx)
    await anext(stream)
    reading = asyncio.create_task(read(stream))
    await world.model.asked.wait()
    request_ctx.event.ended = "client_disconnect"
    request_ctx.leave()
    assert await reading == []
    await world.model.closed.wait()
    await until(lambda: not world.engine.runs.going)
    assert (await world.rows(conversation))[1].status == "cancelled"


async def test_the_stop_of_the_server_says_so(make, request_ctx):
    world = make(Gated())
    conversation = await world.start()
    stream = await stream_of(world, conversation, ctx=request_ctx)
    world.model.let(0)
    await anext(stream)
    await anext(stream)
    reading = asyncio.create_task(read(stream))
    await asyncio.sleep(0)
    request_ctx.event.ended = "shutdown"
    request_ctx.leave()
    ((name, at, data),) = await reading
    assert (name, at, data["code"]) == ("error", "4", "conversation-stopped")
    assert "Last-Event-ID 4" in data["hint"]
    await until(lambda: not world.engine.runs.going)
    assert (await world.rows(conversation))[1].status == "interrupted"


async def test_who_waits_for_json_and_leaves_ends_the_model(make, request_ctx):
    world = make(Gated())
    conversation = await world.start()
    run = await world.engine.say("", conversation, "hello")
    waiting = asyncio.create_task(whole(run, request_ctx))
    await world.model.asked.wait()
    request_ctx.leave()
    with pytest.raises(AnswerStopped):
        await waiting
    await world.model.closed.wait()
    world.model = second = Gated()
    await until(lambda: not world.engine.runs.going)
    run = await world.engine.say("", conversation, "again")
    waiting = asyncio.create_task(whole(run, None))
    await second.asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await second.closed.wait()


@pytest.mark.parametrize("how", ["json", "stream", "shutdown"])
async def test_who_has_left_before_the_answer_begins_does_not_hold_the_conversation(make, request_ctx, how):
    world = make(Gated(), on_concurrent="queue")
    conversation = await world.start()
    run = await world.engine.say("", conversation, "hello")
    request_ctx.event.ended = "shutdown" if how == "shutdown" else "client_disconnect"
    request_ctx.leave()
    if how == "json":
        with pytest.raises(AnswerStopped):
            await whole(run, request_ctx)
    else:
        stream = EventStream(run, world.engine, Place(), request_ctx)
        await read(stream)
        await stream.aclose()
    await until(lambda: not world.engine.runs.going)
    assert not world.model.asked.is_set()
    ended = "interrupted" if how == "shutdown" else "cancelled"
    assert [row.status for row in await world.rows(conversation)] == ["done", ended]
    world.model = Echo()
    assert (await world.say(conversation, "again")).status == "done"


async def test_who_leaves_while_the_answer_is_written_down_cuts_nothing_off(make):
    world = make()
    conversation = await world.start()
    finish, written, let = world.store.finish, asyncio.Event(), asyncio.Event()

    async def slow(*given):
        written.set()
        await let.wait()
        return await finish(*given)

    world.store.finish = slow
    waiting = asyncio.create_task(whole(await world.engine.say("", conversation, "hello"), None))
    await written.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    let.set()
    await until(lambda: not world.engine.runs.going)
    assert [row.status for row in await world.rows(conversation)] == ["done", "done"]
    assert (await world.say(conversation, "again")).status == "done"


async def test_an_answer_may_be_finished_without_listeners(make):
    world = make(Gated(), on_disconnect="finish")
    conversation = await world.start()
    stream = await stream_of(world, conversation)
    await stream.aclose()
    world.model.let()
    await until(lambda: not world.engine.runs.going)
    assert (await world.rows(conversation))[1].text == "one two three"


async def test_a_slow_reader_gets_several_parts_in_one(make):
    world = make(Gated("a", "b", "c", "d"))
    conversation = await world.start()
    stream = await stream_of(world, conversation)
    await anext(stream)
    world.model.let()
    events = await read(stream)
    assert text_of(events) == "abcd"
    run = world.engine.runs.get(conversation, 2)
    late = await read(EventStream(run, world.engine, Place(), None))
    assert [data["text"] for name, _, data in late if name == "token"] == ["abcd"]
