"""A worker: claims what its free places allow, runs it, writes down how it ended, and stops in good order."""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import Sources
from holdfast.kernel.errors import Problem
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import EventLog
from holdfast.rooms.jobs.engine.apart import told_apart, write_one
from holdfast.rooms.jobs.engine.attempt import CANCELLED, LOST, STOPPING, TIMEOUT, Attempt
from holdfast.rooms.jobs.engine.catalogue import Catalogue, Declared
from holdfast.rooms.jobs.engine.claiming import IDLE_S, Claims, Unanswered
from holdfast.rooms.jobs.engine.completer import Closing, Deciding, Unwritten
from holdfast.rooms.jobs.engine.figures import Figures
from holdfast.rooms.jobs.engine.folders import Folders
from holdfast.rooms.jobs.engine.running import End, Previous, Runner, stopped
from holdfast.rooms.jobs.engine.threads import Threads
from holdfast.rooms.jobs.rules import outcomes, states
from holdfast.rooms.jobs.rules.kinds import Kinds
from holdfast.rooms.jobs.rules.settings import Config, Queue
from holdfast.rooms.jobs.store.rows import Claimed, Ended, Progress
from holdfast.rooms.jobs.store.store import Store
from holdfast.rooms.jobs.store.upkeep import Upkeep

logger = logging.getLogger("holdfast.jobs")

FORCE_S = 5.0
"""Seconds that a job which was told to stop may take to leave; then its place is written off."""
WATCH_S = 0.1
"""Seconds between looks at whose time is up."""
_LONGEST_PAUSE_S = 2.0


class Worker:
    """One worker in one process, in one event loop."""

    wrote: Callable[[], None] = staticmethod(lambda: None)
    """Told when progress or ends were written: there is news of jobs."""

    def __init__(
        self,
        worker_id: str,
        config: Config,
        *,
        store: Store,
        upkeep: Upkeep,
        catalogue: Catalogue,
        table: Kinds,
        folders: Folders,
        clock: Clock,
        ids: IdSource,
        log: EventLog,
        figures: Figures,
        previous: Previous,
        queues: Mapping[str, Queue],
        draw: Callable[[], float],
        expect: Callable[[int], None],
        settle: Callable[[], None],
    ) -> None:
        self.id = worker_id
        self.config = config
        self.store = store
        self.folders = folders
        self.clock = clock
        self.loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment] # set by start
        self.thread_id = 0
        self.running: dict[str, Attempt] = {}
        """Attempts that are ours and whose function has not ended."""
        self.claiming = False
        """Whether it looks for work by itself."""
        self.claims = Claims(queues, store, upkeep, clock)
        self.lease: Callable[[], float] = _for_ever
        """Seconds that the lease still lasts, less a margin."""
        self.taken_total = self.ended_total = 0
        self.written_off = 0
        self._catalogue = catalogue
        self._log = log
        self._figures = figures
        self._expect = expect
        self._settle = settle
        self._threads = Threads()
        self._unwritten = Unwritten()
        self._writing: list[Closing] = []
        self._deciding = Deciding(table, worker=worker_id, max_crashes=config.max_crashes, draw=draw)
        sources = Sources(clock, ids)
        self._runner = Runner(
            clock=clock, sources=sources, threads=self._threads, folders=folders, previous=previous
        )
        self._runner.errors = table.errors
        self._news, self._written = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._left: set[asyncio.Task[None]] = set()
        self.stopping = False
        """Whether its stop has begun: it claims nothing any more, whoever asks."""
        self._turning = False
        self.unanswered = Unanswered()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    # -- life -------------------------------------------------------------------------------------

    def rename(self, worker_id: str) -> None:
        """The name that it claims under. Before the start."""
        self.id = self._deciding.worker = worker_id

    def start(self) -> None:
        """Begin to work; `claiming` says whether to look for work."""
        self.loop = asyncio.get_running_loop()
        self.thread_id = threading.get_ident()
        self.stopping = False
        self._news.set()
        self._tasks = [
            asyncio.create_task(self._turns(), name="holdfast:jobs worker"),
            asyncio.create_task(self._watch(), name="holdfast:jobs watch"),
        ]

    async def stop(self, grace_s: float) -> None:
        """Claim no more, let what runs end within `grace_s`, give the rest back, write everything down."""
        if not self._tasks:
            return
        self.stopping, self.claiming = True, False
        begun = self.clock.monotonic()
        await self._until_idle(grace_s)
        while self.running and self.clock.monotonic() - begun < grace_s + 2 * FORCE_S:
            for attempt in list(self.running.values()):
                self.halt(attempt, STOPPING)
            await self._until_idle(min(FORCE_S, max(grace_s, 0.5)))
            for attempt in list(self.running.values()):
                self._leave_behind(attempt)
        # Threads of plain functions whose place was written off: our lock says that they may still write.
        await self._threads.quiet(max(0.0, grace_s - (self.clock.monotonic() - begun)))
        deadline = self.clock.monotonic() + FORCE_S
        while not self._all_written() and self.clock.monotonic() < deadline:
            self._news.set()
            self._written.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._written.wait()
        if self._timer is not None:
            self._timer.cancel()
        for task in (*self._tasks, *self._left):
            task.cancel()
        await asyncio.wait([*self._tasks, *self._left], timeout=1.0)
        self._tasks = []
        self._threads.close()

    async def _until_idle(self, grace_s: float) -> None:
        tasks = [attempt.task for attempt in self.running.values() if attempt.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)

    def _all_written(self) -> bool:
        return self._unwritten.is_empty and not self._turning

    # -- what wakes it ----------------------------------------------------------------------------

    def wake(self, topic: str = "") -> None:
        """Something may have come into that queue ("" for any)."""
        if self.claims.stir(topic) and self.claiming:
            self._news.set()

    def poll(self) -> None:
        """Look into every queue, for rings that were lost."""
        for line in self.claims.lines.values():
            line.stirred = line.rung = True
        if self.claiming:
            self._news.set()

    def tell(self, progress: Progress) -> None:
        self._unwritten.progress.append(progress)
        self._news.set()

    def payload_of(self, name: str, payload: Any) -> str:
        return self._catalogue.named(name).encode(payload).decode()

    # -- the turns --------------------------------------------------------------------------------

    async def _turns(self) -> None:
        pause_s = 0.05
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                self._turning = True
                with self.unanswered.asking():
                    did_something = await self._turn()
                self._plan_next(did_something)
                pause_s = 0.05
            except Exception as error:
                if not isinstance(error, Problem):
                    logger.exception("a turn of the worker failed; it goes on")
                else:
                    logger.warning("the ledger of jobs does not answer: %s", error)
                self._news.set()
                self._turning = False
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            finally:
                self._turning = False
                self._written.set()

    def _plan_next(self, did_something: bool) -> None:
        """Come again when a look, or a queue's rate, allows what is there already."""
        at = self.claims.next_at() if self.claiming and self.lease() > 0.0 else None
        if at is None:
            return
        # A turn in vain is not repeated at once, whatever it was that held it up.
        wait_s = max(at - self.clock.monotonic(), 0.0 if did_something else IDLE_S)
        if wait_s <= 0.0:
            self._news.set()
        elif self._timer is None or self._timer.cancelled() or self._timer_at > at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self.loop.call_later(wait_s, self._ring_timer)

    def _ring_timer(self) -> None:
        self._timer = None
        self._news.set()

    async def _turn(self) -> bool:
        """Write what has ended and claim what there are places for, in one transaction; false for nothing."""
        asks = await self.claims.plan() if self.claiming and self.lease() > 0.0 else []
        if self.stopping:
            asks = []
        progress, ends = self._unwritten.take()
        if not (asks or progress or ends):
            return False
        self._writing = ends
        try:
            good, taken = await self.store.turn(
                progress, [end.row for end in ends], asks, self.id, self.now_ms()
            )
        except BaseException as error:
            if told_apart(error, progress, ends):
                await self._write_apart(ends)
                return True
            self._unwritten.put_back(progress, ends)
            raise
        finally:
            self._writing = []
        if progress or ends:
            self.wrote()
        for job in taken:
            if self.stopping:  # the stop began while they were claimed
                self.give_back(job)
            else:
                self.begin(job)
        if asks:
            self.claims.took(asks, taken)
        if ends:
            self._close(ends, good)
        if asks:
            await self.claims.give_back(asks, taken)
        return True

    async def _write_apart(self, ends: list[Closing]) -> None:
        """Write them one by one, `ends` being what is left to write."""
        try:
            while ends:
                end, ours = await write_one(self.store, ends[0])
                del ends[0]
                self._close([end], {end.row.id} if ours else set())
        finally:
            self._unwritten.put_back([], ends)
            self._written.set()
        self.wrote()

    def _close(self, ends: list[Closing], good: set[str]) -> None:
        followed = False
        for end in ends:
            ours = end.row.id in good
            if not ours:
                logger.warning("job %s was given to another worker: its end is dropped", end.row.id)
            if end.record is not None:
                if not ours:
                    end.record.outcome = LOST
                self._log.append(end.record)
            followed = followed or bool(end.job.batch)
            if end.row.state == states.RETRYING:
                self._expect(end.row.run_at_ms)
            if end.told is not None:
                end.told(end.row if ours else None)
        self._written.set()
        if followed:
            self._settle()

    def now_ms(self) -> int:
        return int(self.clock.wall() * 1000)

    # -- an attempt -------------------------------------------------------------------------------

    def begin(self, job: Claimed, told: Callable[[Ended | None], None] | None = None) -> Attempt:
        """Run a job that was claimed for this worker.

        `told` is called when its end is written, or with None when there is nothing to write: it was lost.
        """
        declared = self._catalogue.get(job.name)
        timeout_s = declared.spec.timeout_s if declared is not None else FORCE_S
        if job.ending:
            timeout_s = self.config.rollback_s + FORCE_S
        self.taken_total += 1
        attempt = Attempt(job, self, self.clock.monotonic(), timeout_s, self.taken_total)
        older = self.running.get(job.id)
        if older is not None:  # its lease was lost, the job was given back, and has come to us again
            self.halt(older, LOST)
        self.running[job.id] = attempt
        self.claims.begun(job.queue)
        attempt.told = told
        attempt.task = self.loop.create_task(self._attend(attempt, declared))
        return attempt

    async def _attend(self, attempt: Attempt, declared: Declared | None) -> None:
        attempt.has_begun = True
        end: End | None
        if attempt.stop:
            end = End(outcomes.GivenBack(), undone="") if attempt.job.ending else stopped(attempt)
        elif attempt.job.ending:
            end = await self._runner.undo(attempt, self._catalogue.get, self.config.rollback_s, self.store)
        else:
            end = await self._runner.run(attempt, declared)
        left_behind, attempt.is_over = attempt.is_over, True
        if attempt.has_folder or (declared is not None and declared.isolated is not None):
            await asyncio.to_thread(self.folders.clear, attempt.id, attempt.attempt)
        if left_behind:
            return  # its place was written off meanwhile
        self._finish(attempt, declared, end)

    def _finish(self, attempt: Attempt, declared: Declared | None, end: End | None) -> None:
        job = attempt.job
        if self.running.get(job.id) is attempt:
            del self.running[job.id]
        self.claims.ended(job.queue)
        self.ended_total += 1
        if end is None:
            if attempt.told is not None:
                attempt.told(None)
            self._news.set()
            return
        attempt.flush()
        row = self._deciding.of(attempt, end, self.now_ms(), declared)
        record = self._figures.ended(attempt, row, self.clock)
        if attempt.ctx is not None and attempt.ctx.spans:
            for span in attempt.ctx.spans:
                self._log.append(span)
        self._unwritten.ends.append(Closing(row, job, record, attempt.told))
        self._news.set()

    def halt(self, attempt: Attempt, why: str) -> None:
        """Make an attempt stop: async functions and processes are cancelled, threads are told."""
        if attempt.is_over:
            return
        first = not attempt.stop
        attempt.ask_to_stop(why)
        if why == LOST and self.running.get(attempt.id) is attempt:
            del self.running[attempt.id]
        declared = self._catalogue.get(attempt.job.name)
        in_thread = declared is not None and not declared.is_async and declared.isolated is None
        is_asked = not attempt.has_begun or (in_thread and not attempt.job.ending)
        if (first or why == LOST) and attempt.task is not None and not is_asked:
            attempt.task.cancel()
        if why == LOST:
            self._lost(attempt)

    def _lost(self, attempt: Attempt) -> None:
        """It is not ours: its place is free, whenever its function leaves."""
        attempt.is_over = True
        self.claims.ended(attempt.job.queue)
        if attempt.told is not None:
            attempt.told(None)
        self._keep_left(attempt)
        self._news.set()

    def _leave_behind(self, attempt: Attempt) -> None:
        """It does not leave: write down how it ends, and let it go on without a place."""
        if attempt.is_over:
            return  # it has left, and only its folder is being cleared
        attempt.is_over = True
        self.written_off += 1
        logger.warning(
            "job %s (%s) ignores that it is to stop (%s): its place is written off",
            attempt.id,
            attempt.job.name,
            attempt.stop,
        )
        if attempt.task is not None:
            attempt.task.cancel()
        self._keep_left(attempt)
        self._finish(attempt, self._catalogue.get(attempt.job.name), stopped(attempt))

    def _keep_left(self, attempt: Attempt) -> None:
        if attempt.task is not None and not attempt.task.done():
            self._left.add(attempt.task)
            attempt.task.add_done_callback(self._left.discard)

    # -- who is to stop ---------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            pause_s = WATCH_S
            try:
                self.look()
            except Exception:
                logger.exception("a look at whose time is up failed; it goes on")
                pause_s = 10 * WATCH_S
            await asyncio.sleep(pause_s)

    def look(self) -> None:
        """Stop whose time is up, write off who does not leave."""
        now = self.clock.monotonic()
        if self.running and self.lease() <= 0.0:
            logger.error("the heartbeat has not arrived for too long: the jobs of worker %s stop", self.id)
            self.lose_all()
        for attempt in list(self.running.values()):
            if not attempt.stop:
                if now >= attempt.ends_at:
                    self.halt(attempt, TIMEOUT)
            elif now - attempt.stopped_at >= FORCE_S:
                self._leave_behind(attempt)

    def cancel(self, job_id: str) -> bool:
        """Stop a job that runs here; whether it does."""
        attempt = self.running.get(job_id)
        if attempt is None or attempt.job.ending:
            return False
        self.halt(attempt, CANCELLED)
        return True

    def heard(self, held: Mapping[str, tuple[int, bool]] | None, mark: int) -> set[tuple[str, int]]:
        """The heartbeat's answer: what the ledger says this worker holds, asked after attempt `mark` began.

        Stops what was cancelled and what is not ours any more. What it named twice and nobody here knows is
        given: a claim whose answer was lost.
        """
        held = held or {}
        for job_id, attempt in list(self.running.items()):
            if attempt.serial > mark:
                continue
            found = held.get(job_id)
            if found is None or found[0] != attempt.fence:
                logger.warning("job %s is another worker's by now: it is stopped here", job_id)
                self.halt(attempt, LOST)
            elif found[1]:
                self.cancel(job_id)
        known = self._known()
        return self.unanswered.lost({(each, fence) for each, (fence, _) in held.items() if each not in known})

    def _known(self) -> set[str]:
        """Jobs that run here, or whose end is on its way into the ledger."""
        return {*self.running, *(end.row.id for end in (*self._unwritten.ends, *self._writing))}

    def give_back(self, job: Claimed) -> None:
        """Return a job that is held by this worker's name and runs nowhere; none that ended meanwhile."""
        if job.id in self._known():
            return  # two ends of one attempt would be refused, and all that is written with them
        end = End(outcomes.GivenBack())
        attempt = Attempt(job, self, self.clock.monotonic(), FORCE_S)
        row = self._deciding.of(attempt, end, self.now_ms(), self._catalogue.get(job.name))
        self._unwritten.ends.append(Closing(row, job, None))
        self._news.set()

    def lose_all(self) -> int:
        """The lease is over: stop everything before others begin it."""
        attempts = list(self.running.values())
        for attempt in attempts:
            self.halt(attempt, LOST)
        return len(attempts)


def _for_ever() -> float:
    return 1.0
