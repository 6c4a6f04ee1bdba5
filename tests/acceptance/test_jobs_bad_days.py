"""Bad days of jobs over real processes: kill -9 in every state, a database gone, a full disk, poison."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.app import Holdfast
from holdfast.kernel.errors import Unavailable
from holdfast.ports.jobs import Enqueue
from tests.acceptance import jobs_app
from tests.acceptance.serving import environment
from tests.servers import PostgresServer, running
from tests.waiting import until

ROOT = Path(__file__).parents[2]
PATIENCE_S = 150.0
pytestmark = pytest.mark.timeout(400)


class Site:
    """One ledger, the workers on it, and a process (this one) that enqueues and looks."""

    def __init__(self, folder: Path, url: str = "", **settings: str) -> None:
        self.told = folder / "told"
        self.workers: list[Working] = []
        self._env = environment(
            folder,
            HOLDFAST_ROOMS='["jobs"]',
            HOLDFAST_JOBS_GRACE_S="0",
            JOBS_TOLD=str(self.told),
            **settings,
        )
        self._env["PYTHONPATH"] = str(ROOT)
        if url:
            self._env["HOLDFAST_URL"] = url
        given = {"url": url} if url else {}
        self.hold = Holdfast(data_dir=str(folder / "data"), rooms=["jobs"], process="verb", **given)
        jobs_app.declare(self.hold.jobs)
        self.jobs = self.hold.jobs

    def begin(self, concurrency: int = 12) -> "Working":
        """Another worker."""
        working = Working(self._env, concurrency)
        self.workers.append(working)
        return working

    def work(self) -> "Working":
        """Another worker, up and working."""
        working = self.begin()
        working.wait()
        return working

    async def ended(self, ids: list[str]) -> Counter[str]:
        """How they ended, when all have."""
        states = Counter[str]()

        async def all_have() -> bool:
            found = await self.jobs.reading.some(ids)
            states.clear()
            states.update(row.state for row in found.values())
            return all(row.ended_ms is not None for row in found.values())

        await until(all_have, lambda: f"{states}\n{[w.said for w in self.workers]}", patience_s=PATIENCE_S)
        return states

    async def until(self, holds: Any) -> None:
        """Wait until it holds."""
        await until(holds, lambda: [w.said for w in self.workers], patience_s=PATIENCE_S)

    def said(self, *start: Any) -> list[list[Any]]:
        return [line for line in jobs_app.told(self.told) if line[: len(start)] == list(start)]


class Working:
    """One `holdfast worker`."""

    def __init__(self, env: dict[str, str], concurrency: int) -> None:
        self.said: list[str] = []
        self._up = threading.Event()
        command = ["-m", "holdfast.cli", "worker", "tests.acceptance.jobs_app:app", "--queues", "bulk"]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--concurrency", str(concurrency)],
            cwd=ROOT,
            env=env,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if "holdfast works" in line:
                self._up.set()
        self._up.set()

    def wait(self) -> None:
        assert self._up.wait(PATIENCE_S), self.said
        assert self.process.poll() is None, self.said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)


@contextlib.asynccontextmanager
async def site(folder: Path, url: str = "", **settings: str):
    made = Site(folder, url, **settings)
    await made.hold.migrate(dry_run=False)
    await made.hold.start()
    try:
        yield made
    finally:
        for working in made.workers:
            working.process.send_signal(signal.SIGTERM)
        for working in made.workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                working.process.wait(20)
            working.process.kill()
        await made.hold.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: Any) -> str:
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres_database")


async def test_nothing_is_lost_and_nothing_done_twice_when_workers_are_killed(
    tmp_path: Path, url: str
) -> None:
    async with site(tmp_path, url) as made:
        pair = [await asyncio.to_thread(made.work) for _ in range(2)]
        ids, expected = [], Counter[str]()
        for turn in range(2):
            go, held = tmp_path / f"go {turn}", range(turn * 10, turn * 10 + 6)
            for n in held:
                ids.append((await made.jobs.enqueue("held", {"n": n, "until": str(go)})).id)
            ids.append((await made.jobs.enqueue("again", {"n": turn * 10 + 6})).id)
            ids.append((await made.jobs.enqueue("undone", {"n": turn * 10 + 7})).id)
            later = Enqueue(delay_s=0.8)
            ids.append((await made.jobs.enqueue("work", {"n": turn * 10 + 8, "s": 0.1}, later)).id)
            expected += Counter(succeeded=8, failed=1)
            await made.until(lambda held=held: {n for _, n, *_ in made.said("start")} >= set(held))
            # Either may have taken them all: the one that has more is in the middle of something.
            begun_by = Counter(pid for _, n, *_, pid in made.said("start") if n in held)
            at = max(range(2), key=lambda at: begun_by[pair[at].process.pid])
            await asyncio.to_thread(pair[at].kill)
            go.touch()
            pair[at] = await asyncio.to_thread(made.work)
        assert await made.ended(ids) == expected
        attempts = await made.jobs.reading.attempts(ids)
        for job in ids:
            outcomes = [each.outcome for each in attempts[job]]
            assert outcomes[-1] in ("succeeded", "failed")
            assert len([each for each in outcomes if each in ("succeeded", "failed", "cancelled")]) == 1
        assert "lost" in {each.outcome for rows in attempts.values() for each in rows}
        for n in (7, 17):
            assert made.said("undone", n), "what was to be undone was not"


async def test_a_job_that_kills_its_worker_ends_as_a_dead_letter_and_the_queue_lives_on(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as made:
        poison = (await made.jobs.enqueue("poison", {})).id
        for _ in range(3):
            # It takes the job as soon as it is up: dead by the time that anybody sees it working.
            doomed = made.begin()
            await made.until(lambda doomed=doomed: doomed.process.poll() is not None)
        await asyncio.to_thread(made.work)
        good = (await made.jobs.enqueue("work", {"n": 1, "s": 0.0})).id
        assert await made.ended([poison, good]) == Counter(failed=1, succeeded=1)
        row = await made.jobs.find(poison)
        assert row is not None
        assert (row.error_kind, row.attempts) == ("unknown", 3)
        assert "died 3 times" in row.error
        assert len(made.said("poison")) == 3


async def test_a_job_that_holds_the_interpreter_keeps_its_lease(tmp_path: Path) -> None:
    async with site(tmp_path, HOLDFAST_JOBS_LEASE_S="1") as made:
        for _ in range(2):
            await asyncio.to_thread(made.work)
        job = (await made.jobs.enqueue("holds", {"s": 3.5})).id
        assert await made.ended([job]) == Counter(succeeded=1)
        assert len(made.said("start")) == 1


@pytest.fixture
def durable_postgres() -> Iterator[PostgresServer]:
    """A server that keeps what it has acknowledged, as servers do outside tests."""
    with running(PostgresServer(durable=True)) as server:
        yield server


async def test_a_database_that_restarts_costs_no_job_and_no_attempt(
    tmp_path: Path, durable_postgres: PostgresServer
) -> None:
    # As long as a slow machine may take to start a server: a database that is away for longer costs more.
    async with site(tmp_path, durable_postgres.url, HOLDFAST_JOBS_LEASE_S="120") as made:
        await asyncio.to_thread(made.work)
        ids = [(await made.jobs.enqueue("work", {"n": n, "s": 2.5})).id for n in range(4)]
        await made.until(lambda: len(made.said("start")) == 4)
        await asyncio.to_thread(durable_postgres.kill)
        await asyncio.to_thread(durable_postgres.start)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                # By a key: one whose answer was lost on the way may be there all the same.
                how = Enqueue(key="after the restart")
                ids.append((await made.jobs.enqueue("work", {"n": 9, "s": 0.0}, how)).id)
                break
            except Unavailable:
                assert time.monotonic() < deadline
        assert await made.ended(ids) == Counter(succeeded=5)
        assert len(made.said("start")) == 5


async def test_what_ended_on_a_full_disk_is_written_when_there_is_room(tmp_path: Path) -> None:
    """The limit on the size of files stands for the disk: it needs no rights, and can be lifted again."""
    hold = Holdfast(data_dir=str(tmp_path / "data"), rooms=["jobs"])
    go, seen = asyncio.Event(), []

    @hold.jobs.job("bulk", name="waits")
    async def waits(run: Any, text: str) -> str:
        seen.append(run.attempt)
        await go.wait()
        return text * 2

    await hold.start()
    try:
        ids = [(await hold.jobs.enqueue(waits, text="가" * 10_000)).id for _ in range(4)]
        while len(seen) < 4:
            await asyncio.to_thread(lambda: None)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(tmp_path / "data" / "jobs.db-wal"), hard))
        try:
            with pytest.raises(Unavailable):
                await hold.jobs.enqueue(waits, text="나" * 50_000)
            go.set()
            worker = hold.ground.rooms["jobs"].crew.worker  # type: ignore[attr-defined] # the jobs room
            while worker.running or worker._unwritten.is_empty:
                await asyncio.to_thread(lambda: None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        for job in ids:
            async for event in hold.jobs.events(job):
                assert event.kind != "failed"
            view = await hold.jobs.find(job)
            assert view is not None
            assert (view.state, view.result, view.attempts) == ("succeeded", "가" * 20_000, 1)
        assert len(seen) == 4
    finally:
        await hold.stop()
