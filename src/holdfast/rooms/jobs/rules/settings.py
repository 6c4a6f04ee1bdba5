"""The `[jobs]` section."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.kernel.config import Secret
from holdfast.kernel.errors import Misconfigured

DAY_S = 86_400.0


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one queue is worked off. What an admin changed while running stands in the database and wins."""

    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 8
    """Jobs of this queue that one worker runs at once."""
    rate: str = ""
    """`1000/60s`: starts allowed in any such period over all workers; empty: no limit."""
    paused: bool = False
    """Whether it starts out paused: jobs are taken in and not begun."""


QUEUES = {
    "ai": Queue(concurrency=16),
    "bulk": Queue(concurrency=4),
    "analytics": Queue(concurrency=2),
    "notification": Queue(concurrency=16),
    "rag": Queue(concurrency=4),
}
"""The queues that are always there."""


class Config(msgspec.Struct, frozen=True):
    """Settings of the jobs room."""

    url: Annotated[
        Secret,
        Meta(description="database of the ledger; empty: jobs.db in data_dir, or the service's PostgreSQL"),
    ] = Secret()
    engine: Annotated[
        Literal["embedded", "celery", "background"],
        Meta(description="who claims jobs: our workers, Celery's, or the server's own process alone"),
    ] = "embedded"
    workers: Annotated[
        bool, Meta(description="whether the server's process works jobs off beside its requests")
    ] = True
    broker_url: Annotated[
        Secret, Meta(description="Redis or RabbitMQ for the engine celery: redis://.. or amqp://..")
    ] = Secret()
    poll_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds between looks for work that no bell has announced")
    ] = 1.0
    lease_s: Annotated[
        float,
        Meta(
            ge=1, le=3600, description="seconds after its last heartbeat that a worker's jobs are given away"
        ),
    ] = 15.0
    cancel_poll_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds within which a running job hears that it is to stop")
    ] = 2.0
    grace_s: Annotated[
        float,
        Meta(
            ge=0, le=3600, description="seconds that running jobs get at the stop before they are given back"
        ),
    ] = 10.0
    max_crashes: Annotated[
        int, Meta(ge=1, le=100, description="workers that may die of one job before it is a dead letter")
    ] = 3
    rollback_s: Annotated[
        float,
        Meta(
            gt=0, le=3600, description="seconds for all compensations of a job that was cancelled or failed"
        ),
    ] = 60.0
    patience_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="seconds without a living worker until the server works jobs off itself",
        ),
    ] = 15.0
    queues: Annotated[
        dict[str, Queue],
        Meta(description="queues by name: concurrency, rate, paused; beside the built-in ones"),
    ] = {}
    only: Annotated[
        list[str],
        Meta(description="queues that this process works off (--queues of `holdfast worker`); empty: all"),
    ] = []
    concurrency: Annotated[
        int,
        Meta(ge=0, le=10_000, description="jobs of each queue at once in this process; 0: as the queues say"),
    ] = 0
    isolated_env: Annotated[
        list[str],
        Meta(
            description="environment variables that jobs in processes of their own get beside the usual few"
        ),
    ] = []
    keep_succeeded_s: Annotated[
        float, Meta(ge=0, description="seconds that jobs which succeeded or were cancelled are kept")
    ] = 7 * DAY_S
    keep_failed_s: Annotated[float, Meta(ge=0, description="seconds that dead letters are kept")] = 90 * DAY_S
    result_ttl_s: Annotated[
        float, Meta(ge=0, description="seconds that results are kept where a job does not say")
    ] = DAY_S
    sweep_s: Annotated[
        float, Meta(gt=0, le=86_400, description="seconds between removals of what is past its time")
    ] = 60.0
    heartbeat_s: Annotated[
        float,
        Meta(gt=0, le=600, description="seconds of silence after which an event stream sends a comment"),
    ] = 10.0
    dead_alert: Annotated[
        int, Meta(ge=1, description="new dead letters in 10 minutes from which the health check is degraded")
    ] = 5
    catch_up: Annotated[
        Literal["skip", "once", "all"],
        Meta(description="scheduled times missed while nothing ran: none, the last, or each of the last 100"),
    ] = "once"

    def known_queues(self) -> dict[str, Queue]:
        """The built-in queues and the configured ones."""
        return {**QUEUES, **self.queues}

    def served_queues(self) -> dict[str, Queue]:
        """Those that this process works off. Raises Misconfigured for one that there is not."""
        known = self.known_queues()
        unknown = sorted(set(self.only) - set(known))
        if unknown:
            raise Misconfigured(
                f"there is no queue {unknown[0][:60]!r}", hint=f"queues are: {', '.join(sorted(known))}"
            )
        served = {name: queue for name, queue in known.items() if name in self.only or not self.only}
        if not self.concurrency:
            return served
        return {
            name: msgspec.structs.replace(queue, concurrency=self.concurrency)
            for name, queue in served.items()
        }
