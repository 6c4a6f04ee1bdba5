"""Each user is answered by its arm, and the use stands on the record of the request that asked."""

import asyncio

from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.rooms.conversations.engine.release import Release
from holdfast.rooms.conversations.engine.streaming import EventStream, whole
from holdfast.rooms.conversations.rules.events import Place
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.rules.variants import Variant
from tests.given_flags import GivenFlags
from tests.kept_log import KeptLog
from tests.rooms.conversations.models import Echo, failing

KIND = Variant(style="Be kind.", model="next", context_bytes=256, recall="off")


async def test_prompt_model_and_context_are_those_of_the_users_arm(make):
    flags = GivenFlags(mina="kind", juno="control")
    world = make(flags=flags, variants={"kind": KIND})
    for user in ("mina", "juno"):
        conversation = await world.start(user)
        answer = await world.say(conversation, "안녕하세요", user=user)
        assert answer.facts["variant"] == flags.arms[user]
    mina, juno = world.model.asks
    assert (mina.messages[0].content, mina.model) == ("Be kind.", "next")
    assert "도우미" in juno.messages[0].content
    assert juno.model == ""
    assert set(flags.used) == {("conversations", "mina", "kind"), ("conversations", "juno", "control")}


async def test_whom_nobody_knows_gets_control_and_is_not_counted(make):
    flags = GivenFlags()
    world = make(flags=flags, variants={"kind": KIND})
    answer = await world.say(await world.start(), "hello")
    assert "variant" not in answer.facts
    assert flags.used == []


async def test_a_conversation_goes_on_as_control_once_the_release_has_rolled_back(make):
    flags = GivenFlags(mina="kind")
    world = make(flags=flags, variants={"kind": KIND})
    conversation = await world.start("mina")
    await world.say(conversation, "one", user="mina")
    del flags.arms["mina"]
    await world.say(conversation, "two", user="mina")
    assert [ask.model for ask in world.model.asks] == ["next", ""]


async def test_the_use_stands_on_the_record_of_whoever_asked_though_the_answer_runs_apart(make):
    world = make(flags=GivenFlags(mina="kind"), variants={"kind": KIND})
    conversation = await world.start("mina")
    asking, listening = detached(Event(request_id="1")), detached(Event(request_id="2"))
    token = enter(asking)
    run = await world.engine.say("mina", conversation, "hello")
    leave(token)
    token = enter(listening)
    await whole(run, listening)
    leave(token)
    await run.task
    assert asking.event.facts["exposed"] == "conversations=kind 1 mina"
    assert "exposed" not in (listening.event.facts or {})


async def test_how_often_a_model_summarises_is_the_arms(make):
    flags = GivenFlags(often="often")
    world = make(
        flags=flags, summarise_every=0, summarise_after_s=0, variants={"often": Variant(summarise_every=1)}
    )
    for user in ("often", "juno"):
        conversation = await world.start(user)
        for number in range(8):
            await world.say(conversation, f"my tea number {number} is green", user=user)
    await world.supervisor.stop(1.0)
    assert {ask.user for ask in world.model.summaries} == {"often"}


def test_what_can_be_served_is_offered_by_name():
    flags = GivenFlags()
    Release(Config(variants={"kind": KIND}), flags)
    Release(Config(release="talk"), flags)
    Release(Config(release=""), flags)
    assert flags.offered == {"conversations": ("control", "kind"), "talk": ("control",)}


class Halves(Echo):
    """The next model is broken."""

    async def stream(self, ask):
        if ask.model == "next":
            raise ZeroDivisionError("as broken as they come")
        async for piece in super().stream(ask):
            yield piece


async def test_a_broken_arm_fails_its_own_turns_and_says_so_on_the_record_of_a_stream(make):
    world = make(Halves(), flags=GivenFlags(mina="kind"), variants={"kind": KIND})
    found = {}
    for user in ("mina", "juno"):
        conversation = await world.start(user)
        ctx = detached(Event())
        token = enter(ctx)
        run = await world.engine.say(user, conversation, "hello")
        async for _ in EventStream(run, world.engine, Place(0), ctx):
            pass
        leave(token)
        await run.task
        found[user] = (run.ended.status, ctx.event.error_type)
        again = detached(Event())
        run = await world.engine.listen(user, conversation, "m2")
        async for _ in EventStream(run, world.engine, Place(0), again):
            pass
        assert again.event.error_type == "", "it failed then, not now"
    assert found == {"mina": ("failed", "AnswerFailed"), "juno": ("done", "")}


async def test_turns_are_events_of_their_user_with_the_request_that_asked(make):
    log = KeptLog()
    world = make(log=log, flags=GivenFlags(mina="kind"), variants={"kind": KIND})
    conversation = await world.start("mina")
    ctx = detached(Event(request_id="r"))
    token = enter(ctx)
    await world.say(conversation, "one", user="mina")
    leave(token)
    world.model = failing()
    await world.say(conversation, "two", user="mina")
    first, second, failed = log.records
    assert [one.action for one in log.records] == ["turn", "turn", "turn_failed"]
    assert {one.user_id for one in log.records} == {"mina"}
    assert first.request_id == "r"
    assert (first.facts["outcome"], first.facts["variant"], first.facts["turns"]) == ("done", "kind", 1)
    assert first.facts["value"] >= 0
    assert (second.facts["outcome"], second.facts["turns"], failed.facts["value"]) == ("failed", 2, 1)


async def test_a_score_is_one_event_however_often_it_is_sent(make_on_both):
    log = KeptLog()
    world = make_on_both(log=log)
    conversation = await world.start("mina")
    await world.say(conversation, "hello", user="mina")
    log.records.clear()
    found = await asyncio.gather(
        *(world.engine.rate("mina", conversation, "m2", 1, "고마워요") for _ in range(4))
    )
    assert sorted(known for _, known in found) == [False, True, True, True]
    (event,) = log.records
    assert (event.action, event.user_id, event.facts["value"]) == ("satisfaction", "mina", 1)
    assert event.facts["message_id"] == "m2"
