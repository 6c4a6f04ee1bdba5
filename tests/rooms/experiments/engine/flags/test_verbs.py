"""The commands of flags, as somebody types them."""

import argparse
import io
import json
import sys

import pytest

from holdfast.kernel.errors import Problem
from holdfast.rooms.experiments.engine.flags.verbs import FlagVerbs
from tests.rooms.experiments.world import Process, rolled


@pytest.fixture
def process(sqlite_database):
    return Process(sqlite_database)


@pytest.fixture
def run(process, capsys):
    async def typed(name, *words):
        verb = next(verb for verb in FlagVerbs(process.editor).all() if verb.name == f"flag {name}")
        parser = argparse.ArgumentParser()
        verb.arguments(parser)
        assert await verb.run(parser.parse_args(words)) == 0
        return capsys.readouterr().out

    return typed


async def test_a_share_of_units_is_a_flag_and_grows(run, process):
    assert "there is no flag yet" in await run("list")
    assert await run("set", "banner", "--percent", "5") == "banner  on  flag  treatment 5%, else control\n"
    await run("set", "banner", "--percent", "12.5%")
    assert "treatment 12.5%" in await run("list")
    assert process.rulebook.ruleset.flags["banner"].generation == 2


async def test_what_show_prints_is_what_set_takes(run, tmp_path, monkeypatch):
    await run("set", "banner", "--percent", "100")
    shown = json.loads(await run("show", "banner"))
    file = tmp_path / "flag.json"
    file.write_text(json.dumps({**shown, "description": "봄"}))
    await run("set", "banner", "--file", str(file))
    assert json.loads(await run("show", "banner"))["description"] == "봄"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    with pytest.raises(Problem, match="generation 2"):
        await run("set", "banner", "--file", "-")


async def test_kill_restore_override_and_explain(run):
    await run("set", "banner", "--percent", "0")
    assert await run("override", "banner", "7", "treatment") == "7 gets treatment of banner\n"
    assert (await run("explain", "banner", "7")).splitlines()[
        0
    ] == "7 gets treatment: override (TARGETING_MATCH)"
    assert await run("kill", "banner") == "banner is off: everybody gets control\n"
    assert (await run("explain", "banner", "7")).startswith("7 gets control: disabled")
    assert "OFF" in await run("list")
    await run("restore", "banner")
    await run("override", "banner", "7", "--remove")
    said = await run("explain", "banner", "7", "--attr", "tier=pro")
    assert said.startswith("7 gets control: rule 1 (SPLIT)\nbucket ")
    assert said.endswith("in the lane of treatment; phase 1\nnot counted\n")


async def test_a_flag_that_nobody_needs_is_deleted(run, process):
    await run("set", "banner", "--percent", "5")
    assert await run("delete", "banner") == "banner is gone\n"
    assert "banner" not in process.rulebook.ruleset.flags
    await process.put(rolled(kind="experiment"))
    with pytest.raises(Problem, match="belongs to the experiment"):
        await run("delete", "ranker")


async def test_an_attribute_nested_too_deep_for_json_is_text(run):
    await run("set", "banner", "--percent", "0")
    deep = "[" * 3000 + "]" * 3000
    assert "rule 1" in await run("explain", "banner", "7", "--attr", f"deep={deep}")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("set", "banner"), "what is the flag to be"),
        (("set", "banner", "--percent", "101"), "no share"),
        (("set", "banner", "--percent", "1.234"), "no share"),
        (("set", "banner", "--percent", "many"), "no share"),
        (("set", "banner", "--percent", "nan"), "no share"),
        (("set", "banner", "--file", "/nowhere"), "cannot be read"),
        (("set", "새 배너", "--percent", "5"), "cannot be taken"),
        (("kill", "banner"), "no flag 'banner'"),
        (("override", "banner", "7"), "which variant"),
        (("explain", "banner", "7"), "no flag 'banner'"),
    ],
)
async def test_what_cannot_be_meant_says_why(run, words, why):
    with pytest.raises(Problem, match=why):
        await run(*words)
