"""Filling the memory before the first request."""

import asyncio

import pytest

from holdfast.rooms.cache.engine.warmup import Warmup
from holdfast.rooms.cache.rules.problems import UnknownKind

from .making import make_engine


def make_warmup(engine, file=None, **rest):
    return Warmup(engine, file=file, **{"limit": 100, "concurrency": 3, **rest})


async def test_declared_keys_are_loaded_a_few_at_a_time_and_failures_passed_over():
    engine = make_engine()
    warmup = make_warmup(engine)
    running, most = 0, 0

    async def load(key):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if key == "farm:3":
            raise OSError("away")
        return key.upper()

    async def more():
        return ["late"]

    async def broken():
        raise OSError("no list")

    warmup.loader("farm_list", lambda: [f"farm:{n}" for n in range(10)], load, tags=lambda key: [f"t:{key}"])
    warmup.loader("dashboard", more, load)
    warmup.loader("dashboard", broken, load)
    done = await warmup.run()
    assert (done.loaded, done.failed) == (10, 2)
    assert warmup.last is done
    assert 1 < most <= 3
    assert await engine.get("farm:1") == "FARM:1"
    assert engine.peek("farm:1").tags == ("t:farm:1",)
    assert engine.peek("late").kind == "dashboard"


async def test_what_was_hot_in_the_last_run_is_loaded_again(tmp_path):
    file = tmp_path / "hot.json"
    engine = make_engine()

    async def load(key):
        return key

    for number in range(20):
        key = f"농장:{number}"
        await engine.get_or_set(key, lambda key=key: load(key), kind="farm_list")
        for _ in range(number):
            await engine.get_or_set(key, lambda key=key: load(key), kind="farm_list")
    await engine.set("secret", 1, kind="session")
    await engine.get("secret")
    assert await make_warmup(engine, file, limit=5).remember() == 5
    assert "secret" not in file.read_text("utf-8")

    fresh = make_engine()
    warmup = make_warmup(fresh, file)
    warmup.loader("farm_list", list, load)
    assert (await warmup.run()).loaded == 5
    assert sorted(fresh.keeper.memory.entries) == sorted(f"농장:{number}" for number in range(15, 20))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 9, "keys": {"default": ["a"]}}', "\ud800"])
async def test_a_file_that_cannot_be_read_warms_nothing(tmp_path, text):
    file = tmp_path / "hot.json"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    warmup = make_warmup(make_engine(), file)

    async def load(key):
        return key

    warmup.loader("default", list, load)
    assert (await warmup.run()).loaded == 0


async def test_nothing_is_written_where_it_cannot_be(tmp_path):
    engine = make_engine()
    await engine.set("k", 1)
    await engine.get("k")
    await make_warmup(engine, tmp_path / "missing" / "hot.json").remember()
    assert not (tmp_path / "missing").exists()
    assert await make_warmup(engine, None).remember() == 0


def test_a_loader_of_an_unknown_kind_is_refused():
    with pytest.raises(UnknownKind):
        make_warmup(make_engine()).loader("nope", list, lambda key: None)
