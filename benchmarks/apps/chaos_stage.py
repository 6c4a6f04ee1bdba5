"""The stage of the kill test: servers, two workers and an app under load, and a hand that kills them."""

import contextlib
import random
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.brokers import RabbitServer
from tests.servers import PostgresServer, running
from tests.shared_servers import ValkeyServer

from benchmarks.apps.chaos_verdict import JUST_BACK, Kill, Verdict, judge
from benchmarks.apps.jobs_crew import Crew, Member, until
from benchmarks.apps.jobs_servers import REDIS_DEFAULTS
from benchmarks.apps.jobs_trace import FINISHED, LONG_EVERY, STARTED, Line, Reader, Told
from holdfast.stores.postgres_presence import SETTLE_S

PATIENCE_S = 120.0
WORKERS = 2
READY_S = 20.0
"""Longest wait for workers of a peer to begin jobs: some never come back."""
ASK_S = 3.0
"""Between two questions to the engine what it has left: each is a process of its own."""


class Engine(NamedTuple):
    """An engine under test: its app, its truth (sqlite, postgres, none), its broker (redis, rabbit, none)."""

    app: str
    truth: str = ""
    broker: str = ""
    setting: str = ""

    def targets(self) -> list[str]:
        """Who is killed in turn. Without a server, the database dies with all that have it open.

        The database not right before a worker: what both mean together is another question.
        """
        return ["worker", *(["database"] if self.truth else []), "app", *(["broker"] if self.broker else [])]


class Plan(NamedTuple):
    """How long one engine is tormented."""

    kills: int
    every_s: float
    rate: float
    lease_s: float
    long_s: float
    """How long a long job takes."""
    drain_s: float
    """How long everything may take to finish after the last kill, beside the longest job."""
    targets: tuple[str, ...] = ()
    """Other targets than the engine's."""


class Outcome(NamedTuple):
    """What became of one engine's jobs."""

    verdict: Verdict
    left: int
    """Jobs that the engine still has and that have not ended."""
    kills: list[Kill]

    @property
    def stuck(self) -> int:
        return min(self.left, len(self.verdict.unfinished))

    @property
    def lost(self) -> int:
        return len(self.verdict.unfinished) - self.stuck


class Stage:
    """One engine with its processes, from the first job to the last."""

    def __init__(self, engine: Engine, plan: Plan, stack: contextlib.ExitStack, seed: int = 1) -> None:
        self._engine, self._plan, self._rng = engine, plan, random.Random(seed)
        self._postgres = (
            stack.enter_context(running(PostgresServer(durable=True))) if engine.truth == "postgres" else None
        )
        self._broker = stack.enter_context(running(_broker(engine.broker))) if engine.broker else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-chaos-")))
        self._crew = stack.enter_context(
            Crew(Told(uuid.uuid4().hex[:8], self._url(folder), folder, engine.setting))
        )
        self._reader = Reader(self._crew.told.trace, self._crew.told.run)
        self._lines: list[Line] = []
        self._workers: list[Member] = []
        self._apps = 0
        self._app: Member | None = None
        self._kills: list[Kill] = []

    def _url(self, folder: Path) -> str:
        """The truth's address where there is one, else the broker's; `JOBS_BROKER` has the broker's."""
        if self._engine.truth == "sqlite":
            return f"sqlite:///{folder / 'jobs.db'}"
        if self._postgres is not None:
            return self._postgres.url
        assert self._broker is not None
        return self._broker.url

    def run(self) -> Outcome:
        """Kill by plan under load, let everything finish, judge."""
        try:
            self._begin()
            for at in range(self._plan.kills):
                self._let_all_work()
                time.sleep(self._plan.every_s * self._rng.uniform(0.5, 1.5))
                targets = self._plan.targets or self._engine.targets()
                self._kill(targets[at % len(targets)])
            return self._end()
        except RuntimeError as error:
            raise RuntimeError(f"{self._engine}: {error}\n{self._crew.said()}") from error

    def _begin(self) -> None:
        if self._member("prepare").process.wait(PATIENCE_S):
            raise RuntimeError("it does not prepare")
        self._workers = [self._member("work") for _ in range(WORKERS)]
        self._start_app()
        until(self._all_work, "every worker begins a job", PATIENCE_S)

    def _member(self, role: str, **env: str) -> Member:
        known = {
            "JOBS_LONG_S": str(self._plan.long_s),
            "JOBS_LEASE_S": str(self._plan.lease_s),
            "JOBS_RATE": str(self._plan.rate),
            "JOBS_BROKER": self._broker.url if self._broker is not None else "",
        }
        command = ("-m", f"benchmarks.apps.{self._engine.app}", role)
        return self._crew.start(role, *command, is_asked=role == "left", env={**known, **env})

    def _start_app(self) -> None:
        self._apps += 1
        self._app = self._member("app", JOBS_FIRST=str(self._apps * 1_000_000))

    def _let_all_work(self) -> None:
        """Until every worker has begun a job since the last kill: who is killed leaves one who can pick up.

        Ours comes back to work whatever died. A peer that does not is what it is here for.
        """
        with contextlib.nullcontext() if self._engine.truth else contextlib.suppress(RuntimeError):
            until(
                self._all_work,
                "every worker begins a job",
                PATIENCE_S if self._engine.truth else READY_S,
                0.1,
            )

    def _all_work(self) -> bool:
        self._read()
        since_ns = self._kills[-1].at_ns if self._kills else 0
        at_work = {line.pid for line in self._lines if line.kind == STARTED and line.at_ns > since_ns}
        return all(worker.pids() & at_work for worker in self._workers)

    def _read(self) -> None:
        self._lines += self._reader.news()

    # -- the hand ---------------------------------------------------------------------------------------

    def _kill(self, target: str) -> None:
        how: dict[str, Callable[[], None]] = {
            "worker": self._kill_worker,
            "app": self._kill_app,
            "database": self._kill_database,
            "broker": self._kill_broker,
            "emptied": self._empty_broker,
        }
        how[target]()

    def _note(self, target: str, pids: frozenset[int] = frozenset()) -> None:
        self._kills.append(Kill(target, time.monotonic_ns(), pids))

    def _kill_worker(self) -> None:
        worker = self._workers.pop(0)
        pids = frozenset(worker.pids())
        self._note(JUST_BACK if self._is_just_back() else "worker", pids)
        self._drop(worker)
        self._workers.append(self._member("work"))

    def _is_just_back(self) -> bool:
        """Whether PostgreSQL has restarted so lately that nobody is taken for dead by his lost connection."""
        since_ns = max((kill.at_ns for kill in self._kills if kill.target == "database"), default=0)
        return self._postgres is not None and time.monotonic_ns() - since_ns < (SETTLE_S + 1.0) * 1e9

    def _kill_app(self) -> None:
        assert self._app is not None
        self._note("app")
        self._drop(self._app)
        self._start_app()

    def _kill_database(self) -> None:
        self._note("database")
        if self._postgres is not None:
            self._postgres.kill()
            self._postgres.start()
            return
        assert self._app is not None
        for member in (*self._workers, self._app):
            self._drop(member)
        self._workers = [self._member("work") for _ in range(WORKERS)]
        self._start_app()

    def _kill_broker(self) -> None:
        assert self._broker is not None
        self._note("broker")
        self._broker.kill()
        self._broker.start()

    def _empty_broker(self) -> None:
        assert isinstance(self._broker, ValkeyServer)
        self._note("emptied")
        self._broker.ask("FLUSHALL")

    def _drop(self, member: Member) -> None:
        member.kill()
        self._crew.members.remove(member)

    # -- the end ----------------------------------------------------------------------------------------

    def _end(self) -> Outcome:
        """Stop enqueueing, wait until all that was acknowledged has finished or time is over, judge."""
        assert self._app is not None
        self._drop(self._app)
        deadline = time.monotonic() + self._plan.drain_s + self._plan.long_s
        ask_at = time.monotonic() + ASK_S
        while not self._is_finished() and time.monotonic() < deadline:
            time.sleep(0.2)
            if time.monotonic() >= ask_at and not self._is_running():
                ask_at = time.monotonic() + ASK_S
                if not self._left():
                    break  # what has not finished by now is nowhere any more
        left = self._left()
        for worker in self._workers:
            worker.leave()
        self._read()
        long = [line.job for line in self._lines if line.job % LONG_EVERY == LONG_EVERY // 2]
        return Outcome(judge(self._lines, self._kills, long), left, self._kills)

    def _left(self) -> int:
        member = self._member("left")
        try:
            return int(member.hear()["left"])
        finally:
            self._drop(member)

    def _is_finished(self) -> bool:
        self._read()
        seen = {line.job for line in self._lines if line.kind == FINISHED}
        begun = {line.job for line in self._lines if line.kind != FINISHED}
        return begun <= seen and not self._is_running()

    def _is_running(self) -> bool:
        """Whether a living worker is in the middle of a job."""
        alive = {pid for worker in self._workers for pid in worker.pids()}
        begun = {(line.job, line.token) for line in self._lines if line.kind == STARTED and line.pid in alive}
        return bool(begun - {(line.job, line.token) for line in self._lines if line.kind == FINISHED})


def _broker(kind: str) -> ValkeyServer | RabbitServer:
    return RabbitServer() if kind == "rabbit" else ValkeyServer(*REDIS_DEFAULTS)
