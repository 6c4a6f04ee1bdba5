"""A job in a process of its own: what goes in, what comes out, and that nothing of it is left."""

import asyncio
import logging
import os
from pathlib import Path

import pytest

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.jobs.engine.calling import Plain
from holdfast.rooms.jobs.engine.isolation import KEPT_BYTES, ChildFailed, Isolated
from tests.rooms.jobs.engine import isolated_work as work


class Attempt:
    id = "job-1"
    attempt = 2
    tenant = "acme"
    user = ""
    previous = None

    def __init__(self, **steps):
        self.steps = steps
        self.reports = []
        self.compensations = []

    def progress(self, share, message=""):
        self.reports.append((share, message))

    def kept(self, name):
        return name in self.steps, self.steps.get(name)

    async def keep(self, name, value):
        self.steps[name] = value

    async def compensate(self, name, payload):
        self.compensations.append((name, payload))


async def run(function, payload, folder, *, kind=dict, memory_bytes=0, attempt=None):
    isolated = Isolated(function, kind, memory_bytes)
    return await isolated.run(payload, attempt or Attempt(), folder)


async def test_a_payload_goes_in_and_a_result_comes_out(tmp_path):
    attempt = Attempt()
    found = await run(
        work.repeat, {"text": "가나", "times": 2}, tmp_path / "f", kind=work.Parcel, attempt=attempt
    )
    assert (found["text"], found["attempt"]) == ("가나가나", 2)
    assert found["pid"] != os.getpid()
    assert attempt.reports == [(0.5, "절반")]


async def test_the_fields_of_the_payload_are_the_arguments(tmp_path):
    assert await run(Plain(work.by_fields), {"text": "ab"}, tmp_path) == "acme:abab"


async def test_steps_of_earlier_attempts_are_not_taken_again(tmp_path):
    attempt = Attempt(first="kept")
    found = await run(work.in_steps, {}, tmp_path / "own", attempt=attempt)
    assert found == ["kept", "two"]
    assert attempt.steps == {"first": "kept", "second": "two"}
    assert attempt.compensations == [("undo", {"of": "kept"})]
    assert (tmp_path / "own" / "scratch.txt").read_text() == "잠깐"


@pytest.mark.parametrize(
    ("function", "limit", "kind", "detail"),
    [
        (work.fail, 0, "quota", "no pages left"),
        (work.refuse, 0, "unknown", "this is not a document"),
        (work.die, 0, "unknown", "code 3"),
        (work.gorge, 512 << 20, "out_of_memory", ""),
    ],
)
async def test_a_failure_is_told_with_its_kind(tmp_path, function, limit, kind, detail):
    with pytest.raises(ChildFailed) as failure:
        await run(function, {}, tmp_path, memory_bytes=limit)
    told = failure.value.failure
    assert told.kind == kind
    assert detail in told.error
    if function is work.fail:
        assert told.retry_after_s == 7.0
        assert "JobFailed" in failure.value.traceback


async def test_what_it_prints_goes_to_the_log_and_is_bounded(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "holdfast.jobs.output"):
        assert await run(work.chatter, {}, tmp_path) == "done"
    (line,) = [record.getMessage() for record in caplog.records if record.name == "holdfast.jobs.output"]
    assert line.endswith("line 019999")
    assert len(line) < KEPT_BYTES + 200


async def test_cancelled_it_leaves_no_process_behind(tmp_path):
    told = tmp_path / "pids"
    waiting = asyncio.create_task(run(work.hang, {"file": str(told)}, tmp_path))
    while not (told.exists() and len(told.read_text().split()) == 2):
        await asyncio.sleep(0)
    pids = [int(word) for word in told.read_text().split()]
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    for pid in pids:
        while _lives(pid):
            await asyncio.sleep(0)


def _lives(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_what_only_this_process_has_is_refused():
    with pytest.raises(Misconfigured):
        Isolated(lambda run, payload: None, dict, 0)
    with pytest.raises(Misconfigured):
        Isolated(Attempt().progress, dict, 0)


async def test_its_environment_is_small_and_what_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_DATABASE__URL", "postgresql://user:secret@host/db")
    monkeypatch.setenv("SOME_KEY", "given")
    isolated = Isolated(work.environment, dict, 0, ["SOME_KEY"])
    found = await isolated.run({}, Attempt(), tmp_path)
    assert found["SOME_KEY"] == "given"
    assert found["PATH"] == os.environ["PATH"]
    assert "HOLDFAST_DATABASE__URL" not in found
