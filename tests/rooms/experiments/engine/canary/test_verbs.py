"""The commands of releases."""

import argparse
import json

import pytest
from msgspec.structs import replace

from holdfast.kernel.errors import BadInput
from holdfast.rooms.experiments.engine.canary.verbs import ReleaseVerbs, seconds
from holdfast.rooms.experiments.rules.releases import Gate
from tests.rooms.experiments.engine.canary.lives import NAME, Process, Site, broken, release


@pytest.fixture
async def run(sqlite_database):
    process = await Process(sqlite_database).start()
    verbs = {verb.name: verb for verb in ReleaseVerbs(process.releases).all()}

    async def command(name, *given):
        verb = verbs[f"release {name}"]
        parser = argparse.ArgumentParser()
        verb.arguments(parser)
        return await verb.run(parser.parse_args(given))

    command.process = process
    return command


async def test_a_release_started_by_flags(run, capsys):
    await run(
        "start", NAME, "--stages", "5,25%,100", "--dwell", "30m", "--gate", "errors", "--latency", "800ms"
    )
    definition = (await run.process.standing()).definition
    assert [(stage.share, stage.dwell_s) for stage in definition.stages] == [
        (500, 1800.0),
        (2500, 1800.0),
        (10_000, 1800.0),
    ]
    assert [(gate.name, gate.of, gate.target_s) for gate in definition.gates] == [
        ("errors", "errors", None),
        ("latency", "latency", 0.8),
    ]
    assert "running  stage 1/3  5 %" in capsys.readouterr().out
    await run("pause", NAME, "--reason", "점심")
    await run("resume", NAME)
    await run("promote", NAME)
    await run("promote", NAME, "--full")
    await run("rollback", NAME, "--reason", "아니요")
    await run("list")
    assert "rolled back  stage 2/3  0 %" in capsys.readouterr().out
    audit = await run.process.store.audit(NAME)
    assert {line.actor.partition(":")[0] for line in audit} == {"cli"}
    assert audit[-1].reason == "아니요"


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".toml", 'name = "ranker"\nversion = "v2"\n[[stages]]\nshare = 1000\ndwell_s = 60\n'),
        (".json", '{"name": "ranker", "version": "v2", "stages": [{"share": 1000, "dwell_s": 60}]}'),
    ],
)
async def test_a_release_started_from_a_file(run, tmp_path, suffix, text):
    path = tmp_path / f"release{suffix}"
    path.write_text(text)
    await run("start", "--file", str(path))
    definition = (await run.process.standing()).definition
    assert (definition.version, definition.stages[0].share) == ("v2", 1000)


async def test_what_is_defined_already_is_started_by_its_name(run):
    await run("start", NAME, "--dwell", "10m", "--version", "v1", "--measure", "call")
    await run("rollback", NAME)
    await run("start", NAME, "--force")
    standing = await run.process.standing()
    assert (standing.run, standing.definition.measure, standing.definition.stages[0].dwell_s) == (
        2,
        "call",
        600,
    )


async def test_flags_change_what_is_stored_and_leave_the_rest_alone(run):
    stored = release(
        description="새 엔진",
        gates=(
            Gate("latency", of="latency", target_s=2.0, limit=0.2),
            Gate("votes", of="event", action="vote"),
        ),
        measure="call",
        alpha=0.05,
        values={"control": 1, "treatment": 2},
    )
    await run.process.store.tracked({"vote": 1})
    await run.process.releases.operating.define(stored)
    await run("start", NAME, "--version", "3.1")
    assert (await run.process.standing()).definition == replace(stored, version="3.1")
    await run("rollback", NAME)
    await run(
        "start", NAME, "--version", "3.2", "--stages", "10,100", "--latency", "800ms", "--gate", "errors"
    )
    found = (await run.process.standing()).definition
    first, second = stored.stages[:2]
    assert found.stages == (replace(first, share=1000), replace(second, share=10_000))
    slow, votes = stored.gates
    assert found.gates == (replace(slow, target_s=0.8), votes, Gate("errors"))
    assert replace(found, version="v2", stages=stored.stages, gates=stored.gates) == stored
    await run("rollback", NAME)
    await run("start", NAME, "--version", "3.3", "--stages", "1,5,100", "--dwell", "10m")
    found = (await run.process.standing()).definition
    assert [(stage.share, stage.dwell_s) for stage in found.stages] == [(100, 600), (500, 600), (10_000, 600)]
    assert {stage.samples for stage in found.stages} == {200}


async def test_flags_change_what_code_declares(run):
    run.process.releases.define(release(measure="call"))
    await run("start", NAME, "--version", "3.1")
    assert (await run.process.standing()).definition == release(measure="call", version="3.1")


async def test_a_draft_is_removed(run, capsys):
    await run.process.releases.operating.define(release())
    await run("delete", NAME)
    assert capsys.readouterr().out == f"{NAME} is gone\n"
    assert await run.process.store.one(NAME) is None


async def test_the_report_in_a_file(run, tmp_path, capsys):
    await run("start", NAME, "--stages", "50,100")
    await Site(run.process).until("rolled_back", broken)
    await run("report", NAME, "--out", str(tmp_path / "report.html"), "--lang", "en")
    assert "Rolled back" in (tmp_path / "report.html").read_text("utf-8")
    capsys.readouterr()
    await run("report", NAME, "--json")
    assert json.loads(capsys.readouterr().out)["status"] == "rolled_back"
    await run("show", NAME)
    assert json.loads(capsys.readouterr().out)["brief"]["share_percent"] == 0
    await run("list", "--json")
    assert json.loads(capsys.readouterr().out)["name"] == NAME


async def test_bad_flags_say_what_to_do(run, tmp_path):
    for given in (
        ("--stages", "5,x"),
        ("--stages", "5,1e400"),
        ("--stages", "5,200"),
        ("--stages", "5", "--dwell", "9" * 400 + "h"),
        ("--stages", "5", "--dwell", "soon"),
        ("--gate", "eror"),
        ("--file", str(tmp_path / "nowhere.toml")),
    ):
        with pytest.raises(BadInput) as refused:
            await run("start", NAME, *given)
        assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "expected"), [("800ms", 0.8), ("30m", 1800), ("1.5h", 5400), ("2d", 172_800), (" 7s ", 7)]
)
def test_durations(text, expected):
    assert seconds(text) == pytest.approx(expected)
