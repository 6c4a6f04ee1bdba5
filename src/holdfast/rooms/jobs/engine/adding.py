"""From a call to a row: the payload checked, the lane, the keys, whose trace it is."""

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import current, current_span
from holdfast.kernel.ids import IdSource
from holdfast.ports.jobs import AS_DECLARED, Enqueue
from holdfast.rooms.jobs.engine.catalogue import Declared
from holdfast.rooms.jobs.rules import payloads, states
from holdfast.rooms.jobs.rules.fairness import lane_of
from holdfast.rooms.jobs.rules.problems import BadEnqueue, UnknownQueue
from holdfast.rooms.jobs.store.rows import NewJob
from holdfast.rooms.jobs.store.tables import NEVER_MS, NOT_CELERY

LONGEST_WORD = 200
"""Characters of a tenant, a user or a key."""


class Rows:
    """Makes rows of jobs that are to be enqueued."""

    def __init__(self, queues: frozenset[str], clock: Clock, ids: IdSource) -> None:
        self._queues = queues
        self._clock = clock
        self._ids = ids
        self.published_ms = NOT_CELERY
        """0 where a broker is to be told of what is enqueued."""

    def new_id(self) -> str:
        """An id that sorts by time."""
        return self._ids.sortable(self._clock.wall())

    def make(
        self,
        declared: Declared,
        payload: object,
        how: Enqueue = AS_DECLARED,
        *,
        batch: str = "",
        after_job: str = "",
        after_batch: str = "",
    ) -> NewJob:
        """The row; raises BadPayload, PayloadTooLarge, BadEnqueue or UnknownQueue."""
        raw = declared.encode(payload)
        wall = self._clock.wall()
        now_ms = int(wall * 1000)
        spec = declared.spec
        run_at_ms = now_ms
        if how is not AS_DECLARED:
            _check(how)
            run_at_ms = how.run_at_ms if how.run_at_ms is not None else now_ms + int(how.delay_s * 1000)
        waits = bool(after_job or after_batch)
        queue = how.queue or spec.queue
        if queue not in self._queues:
            raise UnknownQueue(
                f"there is no queue {queue[:60]!r}", hint=f"one of {', '.join(sorted(self._queues))}"
            )
        return NewJob(
            id=self._ids.rising(wall),
            name=spec.name,
            queue=queue,
            lane=lane_of(how.priority, how.tenant),
            state=states.SCHEDULED if waits or run_at_ms > now_ms else states.AVAILABLE,
            payload=raw.decode(),
            created_ms=now_ms,
            run_at_ms=NEVER_MS if waits else max(run_at_ms, now_ms) if how.run_at_ms is None else run_at_ms,
            max_attempts=spec.attempts,
            version=spec.version,
            tenant=how.tenant,
            owner=how.user,
            deadline_ms=how.deadline_ms,
            unique_key=(declared.unique.of(raw, how.tenant) or None) if spec.unique else None,
            repeat_key=payloads.repeat_key(how.tenant, how.user, spec.name, how.key) if how.key else None,
            digest=payloads.digest_of(spec.name, raw) if how.key else "",
            batch=batch,
            after_job=after_job,
            after_batch=after_batch,
            trace=traceparent(),
            published_ms=self.published_ms,
        )


def traceparent() -> str:
    """The place in its trace of whoever enqueues, as W3C Trace Context writes it; empty outside a request."""
    ctx = current()
    if ctx is None or not ctx.event.trace_id:
        return ""
    event = ctx.event
    return f"00-{event.trace_id}-{current_span() or event.span_id or '0' * 15 + '1'}-0{int(event.sampled)}"


def _check(how: Enqueue) -> None:
    for name in ("tenant", "user", "key"):
        value = getattr(how, name)
        if len(value) > LONGEST_WORD or "\0" in value:
            raise BadEnqueue(f"the {name} {value[:40]!r}", hint=f"at most {LONGEST_WORD} characters")
    if how.delay_s < 0 or not how.delay_s < 10 * 365 * 86_400:
        raise BadEnqueue(f"a delay of {how.delay_s} s", hint="0 s to ten years")
    if how.run_at_ms is not None and not 0 <= how.run_at_ms < NEVER_MS:
        raise BadEnqueue(f"run_at_ms={how.run_at_ms}", hint="milliseconds since the epoch")


class Group(msgspec.Struct, frozen=True):
    """Jobs that were enqueued together."""

    id: str
    jobs: tuple[str, ...]
    then: str = ""
    """The job that runs when all have ended."""
