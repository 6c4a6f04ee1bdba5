"""The room as it is composed: life, health, commands, and what it leaves behind."""

import argparse
import json

import msgspec
import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.model import NoModel
from holdfast.ports.services import NoMeter
from holdfast.rooms.conversations.engine.streaming import whole
from holdfast.rooms.conversations.room import SECRET, Config, ConversationsRoom
from tests.rooms.conversations.models import Echo, Gated
from tests.waiting import until


def room_on(sql, *, model=None, clock=None, config=None):
    return ConversationsRoom(
        config or Config(),
        sql=sql,
        clock=clock or SystemClock(),
        meter=NoMeter(),
        supervisor=Supervisor(),
        model=model or Echo(),
    )


async def say(room, conversation, text, user=""):
    run = await room.engine.say(user, conversation, text)
    message = await whole(run, None)
    await run.task
    return message


async def test_it_starts_twice_stops_twice_and_writes_down_what_was_on_its_way(sqlite):
    room = room_on(sqlite, model=Gated())
    await room.start()
    await room.start()
    kept = await room.engine.start("")
    run = await room.engine.say("", kept.id, "hello")
    run.begin()
    await room._supervisor.stop(1)
    await room.stop()
    await room.stop()
    assert run.ended.status == "interrupted"


async def test_health(sqlite):
    room = room_on(sqlite)
    (check,) = room.checks()
    assert check.engine
    assert (await check.probe()).status == "down"
    await room.start()
    await room.engine.start("")
    found = await check.probe()
    assert (found.status, found.facts["conversations"]) == ("ok", 1)
    room.engine.model = NoModel()
    assert (await check.probe()).status == "degraded"
    await room._supervisor.stop(1)
    await room.stop()


def test_ids_cannot_be_guessed():
    found = {SECRET() for _ in range(1000)}
    assert len(found) == 1000
    assert all(len(one) == 24 for one in found), "144 bits"


async def test_expired_conversations_are_gone_at_once_and_swept(sqlite, clock):
    room = room_on(sqlite, clock=clock, config=Config(ttl_days=1.0))
    old, young = await room.engine.start("mina"), await room.engine.start("mina")
    await say(room, old.id, "hello", "mina")
    clock.advance(80_000)
    await say(room, young.id, "hello", "mina")
    clock.advance(10_000)
    with pytest.raises(Exception, match="no such conversation"):
        await room.engine.open("mina", old.id)
    assert await room.engine.store.count() == 2
    await room.start()
    while await room.engine.store.count() != 1:
        pass
    assert await room.engine.store.messages(old.id, 0, 9) == []
    assert (await say(room, young.id, "still here", "mina")).status == "done", (
        "a message makes it young again"
    )
    await room._supervisor.stop(1)
    await room.stop()


async def test_export_and_erase(sqlite, capsys):
    room = room_on(sqlite)
    for n in range(3):
        kept = await room.engine.start("민아")
        await say(room, kept.id, f"비밀 {n}", "민아")
    other = await room.engine.start("juno")
    verbs = {verb.name: verb for verb in room.verbs()}
    parser = argparse.ArgumentParser()
    verbs["conversations export"].arguments(parser)
    options = parser.parse_args(["민아"])
    assert await verbs["conversations export"].run(options) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["messages"][0]["text"] for line in lines} == {"비밀 0", "비밀 1", "비밀 2"}
    assert await verbs["conversations erase"].run(options) == 0
    assert "erased 3" in capsys.readouterr().out
    assert await verbs["conversations export"].run(options) == 0
    assert capsys.readouterr().out == ""
    assert (await room.engine.open("juno", other.id)).id == other.id


async def test_erasing_ends_the_answers_on_their_way(sqlite):
    room = room_on(sqlite, model=Gated())
    kept = await room.engine.start("mina")
    run = await room.engine.say("mina", kept.id, "hello")
    run.begin()
    await room.engine.model.asked.wait()
    assert await room.engine.erase_user("mina") == 1
    await room.engine.model.closed.wait()
    await until(lambda: run.ended is not None)
    assert await room.engine.store.messages(kept.id, 0, 9) == []
    await room.stop()


def test_settings_of_personas():
    given = {
        "conversations": {
            "personas": {"농부": {"style_ko": "농부처럼", "max_tokens": 5}},
            "on_concurrent": "queue",
        }
    }
    config = load_settings(
        {"holdfast": msgspec.defstruct("Top", []), "conversations": Config}, overrides=given
    ).section("conversations", Config)
    assert config.personas["농부"].max_tokens == 5
    for wrong in ({"on_concurrent": "drop"}, {"state_bytes": 2000}, {"personas": {"x": {"stile": ""}}}):
        with pytest.raises(Misconfigured):
            load_settings(
                {"holdfast": msgspec.defstruct("Top", []), "conversations": Config},
                overrides={"conversations": wrong},
            )
