"""The commands, as a terminal sees them."""

import argparse
import json

import pytest

from holdfast.cli import main
from holdfast.kernel.errors import Problem
from holdfast.rooms.jobs.engine.admin import Admin
from holdfast.rooms.jobs.engine.verbs import Verbs
from holdfast.rooms.jobs.rules.settings import Config
from tests.rooms.jobs.lives import Lives


@pytest.fixture
def lives(sqlite_ledger):
    return Lives(sqlite_ledger)


@pytest.fixture
def run(lives, capsys):
    admin = Admin(
        Config(),
        upkeep=lives.upkeep,
        reading=lives.reading,
        clock=lives.clock,
        ring=lives.rung.append,
        run_now=lives.jobs.run_now,
    )
    verbs = {verb.name: verb for verb in Verbs(lives.jobs, admin).all()}

    async def run(line):
        _, word, *rest = line.split(" ")
        verb = verbs[f"jobs {word}"]
        parser = argparse.ArgumentParser(exit_on_error=False)
        verb.arguments(parser)
        assert await verb.run(parser.parse_args(rest)) == 0
        return capsys.readouterr().out

    return run


async def test_jobs_are_listed_and_shown(lives, run):
    job_id = await lives.dead(owner="mina")
    await lives.add(queue="ai")
    listed = await run("jobs list")
    assert listed.count("\n") == 2
    assert "failed" in listed
    assert "bulk/count  1/5  network: cut" in listed
    assert (await run("jobs list --state failed --limit 1")).count("\n") == 1
    assert "... and more" in await run("jobs list --limit 1")
    assert json.loads(await run("jobs dead --json"))["id"] == job_id
    shown = json.loads(await run(f"jobs show {job_id}"))
    assert (shown["job"]["user"], shown["attempts"][0]["traceback"]) == ("mina", "Traceback: 한글")


async def test_a_job_is_cancelled_tried_again_and_mended(lives, run):
    job_id = await lives.add()
    assert await run(f"jobs cancel {job_id} --reason enough") == f"{job_id} is cancelled\n"
    assert await run(f"jobs retry {job_id}") == f"{job_id} is available\n"
    await lives.claim(job_id)
    assert await run(f"jobs cancel {job_id}") == f"{job_id} is asked to stop\n"
    await lives.end(job_id, "failed")
    assert await run(f'jobs replay {job_id} --payload {{"n":2}}') == f"{job_id} is available\n"
    assert (await lives.reading.one(job_id)).payload == '{"n":2}'


async def test_many_are_replayed_or_discarded_when_it_is_said_which(lives, run):
    for _ in range(2):
        await lives.dead(queue="ai")
    await lives.dead()
    assert await run("jobs replay --queue ai --rate 5/s") == "replayed 2, left alone 0\n"
    assert await run("jobs discard --all --reason old") == "discarded 1, left alone 0\n"


async def test_a_queue_is_paused_and_goes_on(lives, run):
    await lives.add()
    assert await run("jobs pause bulk") == "bulk is paused; 0 still run\n"
    assert await run("jobs resume bulk") == "bulk goes on with 1 that wait\n"


@pytest.mark.parametrize(
    "line",
    [
        "jobs show nobody",
        "jobs cancel nobody",
        "jobs retry nobody",
        "jobs replay nobody",
        "jobs replay",
        "jobs discard --reason x",
        "jobs replay x --payload {",
        "jobs replay --all --payload {}",
        "jobs replay --all --rate fast",
        "jobs pause nothing",
    ],
)
async def test_what_cannot_be_done_is_one_line_that_says_what_to_do(run, line):
    with pytest.raises(Problem) as raised:
        await run(line)
    assert raised.value.hint
    assert "\n" not in raised.value.line()


def test_a_command_works_nothing_off_and_ends_with_2_when_it_cannot_be_done(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_ROOMS", '["jobs"]')
    assert main(["jobs", "list"]) == 0
    assert main(["jobs", "show", "nobody"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("holdfast: no such job (")
    assert said.err.count("\n") == 1
