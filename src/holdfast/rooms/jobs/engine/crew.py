"""What a process does for jobs beside enqueueing: it works, beats, rescues, keeps time, decides who works."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import EventLog
from holdfast.rooms.jobs.engine.attempt import Attempt
from holdfast.rooms.jobs.engine.figures import Figures
from holdfast.rooms.jobs.engine.folders import Folders
from holdfast.rooms.jobs.engine.jobs import JobsEngine
from holdfast.rooms.jobs.engine.pulse import Database, Held, Pulse, Signals, memory_bytes
from holdfast.rooms.jobs.engine.rescue import LOOK_S, Rescue
from holdfast.rooms.jobs.engine.scheduling import Counting, Due, Recurring, Sweep
from holdfast.rooms.jobs.engine.switching import Switching
from holdfast.rooms.jobs.engine.worker import Worker
from holdfast.rooms.jobs.store.rows import Worker as WorkerRow

logger = logging.getLogger("holdfast.jobs")

SERVER, WORKER, CELERY, VERB = "server", "worker", "celery", "verb"
"""What a process is: the server beside its requests, `holdfast worker`, a worker of Celery, a command that
looks at jobs or decides on them and works none off."""
CANCEL = "cancel"
"""What is rung when a job that runs is to stop."""
NEWS = "news"
"""What is rung when something happened to jobs that somebody may watch, and nothing came into a queue."""
_NEWS_S = 0.1
"""Least pause between two such rings: progress is kept no more often."""

_SETTLE_S = 5.0
_COUNT_S = 10.0
_CLOCK_S = 1.0
_COMPLAIN_S = 10.0
"""Least pause between two lines about the same trouble."""
_LEASE_SHARE = 0.9
_FAILURES = 2
"""Beats in a row that fail before a worker takes itself for cut off; one may fail by being starved."""
_SHOWN = 20


class Crew:
    """Everything that runs by itself in one process."""

    _news: asyncio.TimerHandle | None = None
    _is_over = False
    """Whether the stop has begun: a look that is still due must not begin to work again."""

    def __init__(
        self,
        engine: JobsEngine,
        *,
        kind: str,
        data_dir: Path,
        open_database: Callable[[], Database],
        open_signals: Callable[[], Signals],
        clock: Clock,
        ids: IdSource,
        log: EventLog,
        figures: Figures,
        supervisor: Supervisor,
        draw: Callable[[], float],
        durable: str = "",
    ) -> None:
        config = engine.config
        self.engine = engine
        engine.ring, engine.stopped = self.ring, self._stop_job
        self.kind = kind
        self.id, self._ids = ids.sortable(clock.wall()), ids
        self.host = socket.gethostname() or "host"
        self._clock = clock
        self._supervisor = supervisor
        self._open_database = open_database
        self._open_signals = open_signals
        self._folders = Folders(data_dir / "jobs" / "tmp", self.host, self.id)
        self.signals: Signals | None = None
        self.pulse: Pulse | None = None
        self._figures = figures
        self.due = Due(engine.store, clock, self.ring, config.poll_s)
        self.worker = Worker(
            self.id,
            config,
            store=engine.store,
            upkeep=engine.upkeep,
            catalogue=engine.catalogue,
            table=engine.table,
            folders=self._folders,
            clock=clock,
            ids=ids,
            log=log,
            figures=figures,
            previous=self._previous,
            queues=config.served_queues(),
            draw=draw,
            expect=self.due.expect,
            settle=self._settle_soon,
        )
        self.recurring = Recurring(engine.upkeep, engine.catalogue, engine.rows, clock, self.ring)
        self.sweep = Sweep(config, engine.store, engine.upkeep, clock)
        switching = {"kind": kind, "own": self.id, "durable": durable}
        self.switching = Switching(config, engine=engine, clock=clock, **switching)
        self.rescue: Rescue | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._due_task: asyncio.Task[None] | None = None
        self._complained: dict[str, float] = {}
        self._working = False
        self._rate = (0, 0.0)

    # -- life -------------------------------------------------------------------------------------

    def become(self, kind: str) -> None:
        """What this process is to jobs, where that is known only after it was composed."""
        self.kind = self.switching.kind = kind

    async def start(self) -> None:
        """Listen, rescue, keep time; and work, as far as the engine in force gives this process work."""
        self._is_over = False
        config, engine = self.engine.config, self.engine
        self._take_name()
        self.signals = self._open_signals()
        await self.signals.bell.listen(self.heard)
        if self.kind == VERB:
            await self.switching.look(())
            return
        self.rescue = Rescue(
            self.id,
            self.host,
            store=engine.store,
            upkeep=engine.upkeep,
            presence=self.signals.presence,
            catalogue=engine.catalogue,
            table=engine.table,
            clock=self._clock,
            figures=self._figures,
            lease_s=config.lease_s,
            max_crashes=config.max_crashes,
            ring=self.ring,
            settle=self._settle_soon,
            buried=self._sweep_soon,
        )
        for schedule in engine.schedules.values():
            await engine.upkeep.declare_schedule(schedule)
        await self.rescue.look()
        self._sweep_soon()
        await self.decide()
        self._due_task = asyncio.create_task(self._keep_time(), name="holdfast:jobs due")
        counting = Counting(engine.upkeep, self._figures, lambda: len(self._alive()))
        every = self._supervisor.every
        every("jobs rescue", LOOK_S, self._quietly("rescue", self.rescue.look))
        every("jobs schedules", _CLOCK_S, self._quietly("schedules", self.recurring.look))
        every("jobs roles", config.poll_s, self._quietly("roles", self.decide))
        every("jobs followers", _SETTLE_S, self._quietly("followers", engine.settle))
        every("jobs sweep", config.sweep_s, self._quietly("sweep", self.sweep.look))
        every("jobs figures", _COUNT_S, self._quietly("figures", counting.look))

    async def work(self) -> None:
        """Become a worker: take the lock, write the row, begin to beat. Idempotent."""
        if self._working:
            return
        config = self.engine.config
        now_ms = int(self._clock.wall() * 1000)
        row = WorkerRow(
            id=self.id,
            engine=self.kind,
            host=self.host,
            pid=os.getpid(),
            queues=",".join(sorted(self.worker.claims.lines)),
            started_ms=now_ms,
            beat_ms=now_ms,
            lease_until_ms=now_ms + int(config.lease_s * 1000),
        )
        self.pulse = Pulse(
            row,
            open_database=self._open_database,
            open_signals=self._open_signals,
            clock=self._clock,
            interval_s=min(config.cancel_poll_s, config.lease_s / 3),
            lease_s=config.lease_s,
            facts=self.facts,
            mark=lambda: self.worker.taken_total,
            heard=self._beaten,
        )
        await self.pulse.start()
        self._working = True
        self.worker.lease = self._lease_left_s
        self.worker.wrote = self._wrote
        self.worker.start()

    async def stop(self) -> None:
        """Give back what does not end in time; leave nothing behind. Idempotent."""
        self._is_over = True
        if self._due_task is not None:
            self._due_task.cancel()
            await asyncio.wait([self._due_task])
            self._due_task = None
        if self._working:
            if self.pulse is not None:
                self.pulse.stopping = True
            await self.worker.stop(self.engine.config.grace_s)
            if self.pulse is not None:
                await self.pulse.stop()
            await asyncio.to_thread(self._folders.close)
            self._working = False
        for task in list(self._tasks):
            task.cancel()
        if self._news is not None:
            self._news.cancel()
            self._ring_news()
        if self.signals is not None:
            await self.signals.bell.close()
            await self.signals.presence.close()
            self.signals = None

    # -- news -------------------------------------------------------------------------------------

    def ring(self, topic: str) -> None:
        """Tell every process on this ledger, this one included."""
        if self.signals is not None:
            self.signals.bell.ring(topic)

    def heard(self, topic: str) -> None:
        """Somebody rang."""
        if topic == CANCEL:
            if self.pulse is not None:
                self.pulse.poke()
        elif topic != NEWS:
            self.worker.wake(topic)
        self.engine.watching.stir()

    def _wrote(self) -> None:
        """This process wrote what happened: its own listeners look at once, others hear of it soon."""
        self.engine.watching.stir()
        if self._news is None:
            self._news = asyncio.get_running_loop().call_later(_NEWS_S, self._ring_news)

    def _ring_news(self) -> None:
        self._news = None
        self.ring(NEWS)

    async def decide(self) -> None:
        """Take over what admins decided, and who works."""
        if self._is_over:
            return
        roles = await self.switching.look(self._alive())
        opened = False
        for queue, line in self.worker.claims.lines.items():
            role = roles[queue]
            opened = opened or (role.claims and not line.is_open)
            line.is_open = role.claims
        # A worker of Celery's drains before this process stops: nothing may make it claim again.
        self.worker.claiming = not self.worker.stopping and any(role.claims for role in roles.values())
        await self.worker.claims.refresh()
        if self.worker.claiming or self.kind == CELERY:
            await self.work()
        self.worker.poll()

    def state(self) -> tuple[int, dict[str, object]]:
        """Workers that are alive, and what the health check tells."""
        alive = len(self._alive())
        return alive, {
            "engine": self.switching.engine,
            "workers": alive,
            "running": len(self.worker.running),
            "works_here": self.worker.claiming,
        }

    def facts(self) -> dict[str, object]:
        """What the worker's row tells; called from the heartbeat's thread."""
        worker = self.worker
        now, before = self._clock.monotonic(), self._rate
        self._rate = (worker.ended_total, now)
        took_s = now - before[1]
        running = list(worker.running.values())
        return {
            "memory_bytes": memory_bytes(),
            "per_s": round((worker.ended_total - before[0]) / took_s, 1) if before[1] and took_s > 0 else 0.0,
            "ended_total": worker.ended_total,
            "written_off": worker.written_off,
            "running": len(running),
            "jobs": [
                {"id": each.id, "name": each.job.name, "for_s": round(now - each.started, 1)}
                for each in running[:_SHOWN]
            ],
        }

    # -- within -----------------------------------------------------------------------------------

    def _take_name(self) -> None:
        """A name of this start's own: processes of a pool are forked from one that was composed before."""
        self.id = self.switching.own = self._ids.sortable(self._clock.wall())
        self.worker.rename(self.id)
        self._folders.own_by(self.id)

    def _alive(self) -> list[WorkerRow]:
        return [] if self.rescue is None else self.rescue.alive

    def _lease_left_s(self) -> float:
        """Until others may take what runs here. A beat that had no turn yet is not one that failed."""
        if self.pulse is None or self.pulse.failures < _FAILURES:
            return 1.0
        return self.engine.config.lease_s * _LEASE_SHARE - self.pulse.silent_s

    def _beaten(self, held: Held | None, mark: int) -> None:
        unknown = self.worker.heard(held, mark)
        if unknown:
            self._spawn(self._return(unknown))

    async def _return(self, unknown: set[tuple[str, int]]) -> None:
        """Claims whose answer never came: nobody runs them, so they go back."""
        with suppress(Problem):  # the next beat names them again
            for job in await self.engine.upkeep.left_by(self.id):
                if (job.id, job.fence) in unknown and job.id not in self.worker.running:
                    self.worker.give_back(job)

    async def _previous(self, attempt: Attempt) -> Any:
        """In a chain the result before; behind a batch how many of its jobs ended how."""
        job = attempt.job
        if job.after_batch:
            return await self.engine.store.batch(job.after_batch)
        found = await self.engine.find(job.after_job)
        return None if found is None else found.result

    def _stop_job(self, job_id: str) -> None:
        """Somebody cancelled it here: it may run here, run elsewhere, or have others behind it."""
        self.worker.cancel(job_id)
        self.ring(CANCEL)
        self._settle_soon()

    def _settle_soon(self) -> None:
        self._spawn(self._quietly("followers", self.engine.settle)())

    def _sweep_soon(self) -> None:
        self._spawn(self._quietly("folders", self._sweep_folders)())

    async def _sweep_folders(self) -> None:
        """Wipe the folders of the dead: seen before it is asked who lives: a worker locks, then writes."""
        found = await asyncio.to_thread(self._folders.others)
        if not found or self.signals is None:
            return
        free = set(await self.signals.presence.free(found))
        listed = {worker.id for worker in await self.engine.upkeep.workers()}
        await asyncio.to_thread(self._folders.sweep, sorted(free - listed))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_time(self) -> None:
        look = self._quietly("due jobs", self.due.run)
        while True:
            try:
                await look()
            except Exception:
                logger.exception("a look for due jobs failed; it goes on")
            await asyncio.sleep(self.engine.config.poll_s)

    def _quietly(self, name: str, work: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[None]]:
        """`work`, whose trouble with the ledger is told once in a while instead of at every turn."""

        async def turn() -> None:
            try:
                await work()
            except Problem as problem:
                now = self._clock.monotonic()
                if now - self._complained.get(name, -_COMPLAIN_S) >= _COMPLAIN_S:
                    self._complained[name] = now
                    logger.warning("jobs: %s: %s", name, problem)

        return turn
