"""What people decide about jobs: cancel, try again, replay, discard. Each is written with its event."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import BadInput, Conflict
from holdfast.ports.jobs import JobView
from holdfast.rooms.jobs.engine.catalogue import Catalogue
from holdfast.rooms.jobs.engine.views import view_of
from holdfast.rooms.jobs.rules import states
from holdfast.rooms.jobs.rules.asks import MOST_AT_ONCE
from holdfast.rooms.jobs.rules.kinds import DEPENDENCY
from holdfast.rooms.jobs.rules.pacing import parse_rate
from holdfast.rooms.jobs.rules.problems import AlreadyEnded, NotDead, NotEnded, Superseded, unknown_job
from holdfast.rooms.jobs.store.history import Followed, History
from holdfast.rooms.jobs.store.reading import Filters, Reading, Stored
from holdfast.rooms.jobs.store.store import Store
from holdfast.rooms.jobs.store.tables import NEVER_MS

ATTEMPTS = 5
"""Of a replayed job whose kind is not declared here."""
_PART = 200


class Many(msgspec.Struct, frozen=True):
    """What became of dead letters that were dealt with together."""

    done: int
    left_alone: int
    """Those that somebody else dealt with, or whose unique key another job has by now."""
    is_all: bool
    """Whether there are no more that fit the filter; else ask again."""


class Decisions:
    """Cancel, retry, replay, discard."""

    def __init__(
        self,
        *,
        store: Store,
        reading: Reading,
        history: History,
        catalogue: Catalogue,
        clock: Clock,
        ring: Callable[[str], None],
        stopped: Callable[[str], None] = lambda job_id: None,
    ) -> None:
        """`ring` tells workers and listeners of this and other processes that something is new in a queue,
        `stopped` those of this one that a job is to stop."""
        self._store = store
        self._reading = reading
        self._history = history
        self._catalogue = catalogue
        self._clock = clock
        self._ring = ring
        self._stopped = stopped

    async def cancel(self, job_id: str, reason: str = "") -> bool:
        """Ask a job to stop; False when it had ended or is not there.

        What waits is cancelled at once, what runs hears it with its worker's next heartbeat, what has
        something to undo is rolled back by a worker first.
        """
        row = await self._reading.one(job_id)
        if row is None or row.state in states.ENDED:
            return False
        reason = reason[:500]
        became = await self._store.cancel(job_id, reason, self._now_ms())
        if became in ("asked", "rolling back"):
            await self._tell_cancelling(job_id, reason)
        self._ring(row.queue)
        if became:
            self._stopped(job_id)
        return became != ""

    async def retry(self, job_id: str) -> JobView:
        """Let a job begin now: one that has failed or was cancelled anew, one that waits for its time at
        once."""
        row = await self._there(job_id)
        if row.state in (states.FAILED, states.CANCELLED):
            return await self.replay(job_id)
        if row.state == states.SUCCEEDED:
            raise AlreadyEnded("it has succeeded", hint="enqueue another one; what is done is not done again")
        queue = await self._store.retry_now(job_id, self._now_ms())
        if not queue:
            raise NotEnded(f"it is {row.state}", hint="it runs or will soon; cancel it first to begin anew")
        self._ring(queue)
        return view_of(await self._there(job_id))

    async def replay(self, job_id: str, payload: Any = msgspec.UNSET, *, at_ms: int | None = None) -> JobView:
        """Let a job that has failed or was cancelled begin anew with all its attempts, as it was or with
        `payload`.

        Raises NotEnded, AlreadyEnded, BadPayload, or Superseded when another job has its unique key by now.
        """
        row = await self._there(job_id)
        edited = self._edited(row, payload)
        if row.state not in (states.FAILED, states.CANCELLED):
            raise NotDead(f"it is {row.state}", hint="only what has failed or was cancelled is replayed")
        seen = await self._seen(job_id)
        now_ms = self._now_ms()
        declared = self._catalogue.get(row.name)
        try:
            queue = await self._history.replay(
                job_id,
                seen,
                more=declared.spec.attempts if declared is not None else ATTEMPTS,
                now_ms=now_ms,
                at_ms=max(now_ms, at_ms or 0),
                edited=edited,
            )
        except Conflict:
            row = await self._there(job_id)
            if row.state in states.ENDED:
                raise Superseded(
                    "another job has its unique key", hint="wait for that one to end, then replay"
                ) from None
            queue = row.queue
        self._ring(queue or row.queue)
        await self._wait_again(row)
        return view_of(await self._there(job_id))

    async def _wait_again(self, row: Stored) -> None:
        """Let those behind it in its chain, which failed only because it did, wait for it again."""
        if not row.batch:
            return
        vain = Filters(state=states.FAILED, batch=row.batch, error_kind=DEPENDENCY)
        before = {row.id}
        for each in reversed(await self._reading.listed(vain, MOST_AT_ONCE)):
            if each.after_job not in before or each.attempts:
                continue
            before.add(each.id)
            declared = self._catalogue.get(each.name)
            with suppress(Conflict):  # another has its unique key by now: it stays as it is
                await self._history.replay(
                    each.id,
                    await self._seen(each.id),
                    more=declared.spec.attempts if declared is not None else ATTEMPTS,
                    now_ms=self._now_ms(),
                    at_ms=NEVER_MS,
                )

    async def replay_all(self, filters: Filters, rate: str = "", most: int = MOST_AT_ONCE) -> Many:
        """Replay the dead letters that fit, at most `most`; with a `rate` like `10/s` they begin so far
        apart."""
        pace = parse_rate(rate)
        spacing_ms = pace.period_ms / pace.count if pace is not None else 0.0
        begun_ms = self._now_ms()

        async def one(row: Stored, at: int) -> None:
            await self.replay(row.id, at_ms=begun_ms + int(at * spacing_ms))

        return await self._each(filters, most, one)

    async def discard(self, job_id: str, reason: str) -> JobView:
        """Take a dead letter from the pile, and say why. It stays in the list of cancelled jobs."""
        if not reason.strip():
            raise BadInput("no reason was given", hint="say why it needs no work any more")
        row = await self._there(job_id)
        if row.state != states.FAILED:
            raise NotDead(
                f"it is {row.state}", hint="only a dead letter is discarded; cancel what is not ended"
            )
        await self._history.discard(job_id, await self._seen(job_id), reason[:500], self._now_ms())
        self._ring(row.queue)
        return view_of(await self._there(job_id))

    async def discard_all(self, filters: Filters, reason: str, most: int = MOST_AT_ONCE) -> Many:
        """Discard the dead letters that fit, at most `most`."""

        async def one(row: Stored, at: int) -> None:
            await self.discard(row.id, reason)

        return await self._each(filters, most, one)

    async def _each(self, filters: Filters, most: int, deal: Callable[[Stored, int], Any]) -> Many:
        """Page by id, past those that were left alone, so that each is met once."""
        filters = msgspec.structs.replace(filters, state=states.FAILED)
        done = alone = 0
        while done + alone < most:
            part = await self._reading.listed(filters, min(_PART, most - done - alone))
            if not part:
                return Many(done, alone, True)
            for row in part:
                try:
                    await deal(row, done)
                    done += 1
                except Conflict:
                    alone += 1
            filters = msgspec.structs.replace(filters, before=part[-1].id)
        return Many(done, alone, not await self._reading.listed(filters, 1))

    def _edited(self, row: Stored, payload: Any) -> tuple[str, int] | None:
        if payload is msgspec.UNSET:
            return None
        declared = self._catalogue.get(row.name)
        if declared is None:
            return json.dumps(payload, ensure_ascii=False), row.version
        return declared.encode(payload).decode(), declared.spec.version

    async def _tell_cancelling(self, job_id: str, reason: str) -> None:
        row = await self._reading.one(job_id)
        if row is None or row.state in states.ENDED:
            return
        running = row.state == states.RUNNING
        floor = (states.start_of if running else states.end_of)(row.attempts) + 1
        await self._store.tell(
            job_id,
            attempts=row.attempts,
            running=running,
            floor=floor,
            kind="cancelling",
            at_ms=self._now_ms(),
            data=json.dumps({"reason": reason} if reason else {}, ensure_ascii=False),
        )

    async def _there(self, job_id: str) -> Stored:
        row = await self._reading.one(job_id)
        if row is None:
            raise unknown_job()
        return row

    async def _seen(self, job_id: str) -> Followed:
        seen = await self._history.follow(job_id)
        if seen is None:
            raise unknown_job()
        return seen

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)
