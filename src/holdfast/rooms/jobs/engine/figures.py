"""What jobs leave in metrics and in the event log."""

from holdfast.kernel.clock import Clock, Stamps
from holdfast.kernel.event import JobRun
from holdfast.ports.services import Meter, Series
from holdfast.rooms.jobs.engine.attempt import Attempt
from holdfast.rooms.jobs.store.rows import Ended


class Figures:
    """Metrics of the room, bound once."""

    def __init__(self, meter: Meter) -> None:
        self._run_seconds = meter.histogram(
            "holdfast_jobs_run_seconds", "Time from an attempt's start to its end.", ("queue",)
        )
        self._wait_seconds = meter.histogram(
            "holdfast_jobs_wait_seconds", "Time from when a job could have begun until it did.", ("queue",)
        )
        self._ended = meter.counter(
            "holdfast_jobs_attempts_total",
            "Attempts that ended, by how and by error kind.",
            ("queue", "outcome", "kind"),
        )
        self._enqueued = meter.counter("holdfast_jobs_enqueued_total", "Jobs enqueued.", ("queue",))
        self._rescued = meter.counter(
            "holdfast_jobs_rescued_total", "Jobs given back because their worker had died."
        ).labels()
        self._dead = meter.counter("holdfast_jobs_dead_total", "Jobs that became dead letters.", ("queue",))
        self._length = meter.gauge(
            "holdfast_jobs_queue_jobs", "Jobs that are not at their end.", ("queue", "state")
        )
        self._letters = meter.gauge("holdfast_jobs_dead_letters", "Dead letters there are.").labels()
        self._workers = meter.gauge("holdfast_jobs_active_workers", "Workers that are alive.").labels()
        self._bound: dict[tuple[str, str, str], tuple[Series, Series, Series]] = {}
        self._shown: set[tuple[str, str]] = set()
        self._stamps = Stamps()

    def enqueued(self, queue: str, count: int = 1) -> None:
        self._enqueued.labels(queue).add(count)

    def rescued(self, count: int) -> None:
        self._rescued.add(count)

    def ended(self, attempt: Attempt, row: Ended, clock: Clock) -> JobRun:
        """Measure an attempt that has ended; its record, for the event log when its end stands."""
        job = attempt.job
        key = (job.queue, row.outcome, row.error_kind)
        series = self._bound.get(key)
        if series is None:
            series = self._bound[key] = (
                self._run_seconds.labels(job.queue),
                self._wait_seconds.labels(job.queue),
                self._ended.labels(*key),
            )
        duration_s = clock.monotonic() - attempt.started
        waited_ms = max(0, job.started_ms - job.run_at_ms)
        series[0].observe(duration_s)
        series[1].observe(waited_ms / 1000)
        series[2].add()
        if row.state == "failed":
            self._dead.labels(job.queue).add()
        record = JobRun(
            timestamp=self._stamps.iso(row.started_ms / 1000),
            user_id=job.owner,
            job=job.name,
            queue=job.queue,
            attempt=job.attempts,
            outcome=row.outcome,
            duration_ns=int(duration_s * 1e9),
            facts={"job_id": job.id, "waited_ms": waited_ms, "state": row.state},
        )
        if row.error_kind:
            record.error_type, record.error_message = row.error_kind, row.error
        if job.tenant:
            record.note(tenant=job.tenant)
        event = attempt.ctx.event if attempt.ctx is not None else None
        if event is not None:
            record.trace_id, record.span_id, record.parent_id = event.trace_id, event.span_id, event.parent_id
            if event.facts:
                record.note(**event.facts)
        return record

    def lengths(self, rows: list[tuple[str, str, int, int]], dead: int, workers: int) -> None:
        """What a look at the ledger found; a queue that is empty by now is shown as empty."""
        seen = {(queue, state) for queue, state, _, _ in rows}
        for queue, state in self._shown - seen:
            self._length.labels(queue, state).set(0)
        for queue, state, count, _ in rows:
            self._length.labels(queue, state).set(count)
        self._shown |= seen
        self._letters.set(dead)
        self._workers.set(workers)
