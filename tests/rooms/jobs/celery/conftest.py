"""A server in this process, a broker, and Celery's workers in processes of their own."""

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from holdfast import Holdfast
from holdfast import celery as command_line
from tests.brokers import RabbitServer, die_with_parent, given_url
from tests.servers import running

START_S = 60.0


class World:
    """One service: its server, its folder, its workers."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.folder = folder
        self.broker = broker
        self.workers: list[subprocess.Popen] = []
        jobs = {"engine": "celery", "broker_url": broker, "poll_s": 0.2, "lease_s": 3.0, "cancel_poll_s": 0.3}
        jobs |= {"patience_s": 3600.0, "grace_s": 1.0}
        self.jobs = jobs
        self.hold = Holdfast(data_dir=str(folder / "data"), rooms=["jobs"], jobs=jobs)
        from tests.rooms.jobs.celery import work

        for name in ("note", "note in a thread", "wait", "fail"):
            self.hold.jobs.declare(work.hold.jobs.catalogue.named(name).spec)

    def worker(self, pool="threads", concurrency=4):
        """One of Celery's workers, as the command line starts it."""
        line = command_line.command(pool=pool, concurrency=concurrency, name=f"w{len(self.workers)}")
        return self.run([sys.executable, *line[1:]])

    def run(self, line, **more):
        """A process of this service."""
        env = {
            **os.environ,
            "HOLDFAST_APP": "tests.rooms.jobs.celery.work:hold",
            "HOLDFAST_ROOMS": '["jobs"]',
        }
        env |= {"HOLDFAST_DATA_DIR": str(self.folder / "data"), "JOBS_TEST_FOLDER": str(self.folder)}
        env |= {f"HOLDFAST_JOBS_{key.upper()}": str(value) for key, value in self.jobs.items()}
        process = subprocess.Popen(
            line,
            env=env | more,
            stdout=(self.folder / "worker.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self.workers.append(process)
        return process

    def lines(self, name):
        path = self.folder / name
        return [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []

    def noted(self):
        """How often each job has run to its end."""
        return Counter(line[0] for line in self.lines("noted"))

    async def states(self, ids):
        died = [process for process in self.workers if process.poll() not in (None, -9, 0)]
        assert not died, self.log()
        views = [await self.hold.jobs.find(job_id) for job_id in ids]
        return Counter(view.state for view in views)

    async def all_are(self, state, ids):
        return (await self.states(ids)) == {state: len(ids)}

    def log(self):
        return (self.folder / "worker.log").read_text(errors="replace")

    def go(self):
        (self.folder / "go").touch()

    def kill(self):
        for process in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(START_S)


@pytest.fixture
def rabbitmq_url():
    """A RabbitMQ whose queues may be emptied: HOLDFAST_TEST_RABBITMQ_URL, or one of our own."""
    if given := given_url():
        yield given
        return
    with running(RabbitServer()) as server:
        yield server.url


@pytest.fixture
async def world_of(tmp_path):
    """Makes the world of one broker, its server started."""
    made = []

    async def make(broker):
        world = World(tmp_path, broker)
        made.append(world)
        await world.hold.start()
        return world

    yield make
    for world in made:
        world.kill()
        await world.hold.stop()
