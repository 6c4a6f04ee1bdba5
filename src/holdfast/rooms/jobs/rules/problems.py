"""What jobs refuse, and what to do about each."""

from holdfast.kernel.errors import BadInput, Conflict, NotFound, Problem, TooLarge


class UnknownJob(NotFound):
    """No such job."""

    code = "job-unknown"


class UnknownKindOfJob(BadInput):
    """No job of this name is declared."""

    code = "job-not-declared"


class UnknownQueue(NotFound):
    """No such queue."""

    code = "job-unknown-queue"


class UnknownWorker(NotFound):
    """No such worker."""

    code = "job-unknown-worker"


class UnknownSchedule(NotFound):
    """No such schedule."""

    code = "job-unknown-schedule"


class BadPayload(BadInput):
    """The payload is not what this job takes."""

    code = "job-bad-payload"


class PayloadTooLarge(TooLarge):
    """The payload is too large for a row."""

    code = "job-payload-too-large"


class PayloadTooNew(Problem):
    """A newer release wrote this payload."""

    code = "job-payload-too-new"
    status = 503
    retryable = True


class BadEnqueue(BadInput):
    """A job cannot be enqueued like this."""

    code = "job-bad-enqueue"


class KeyReused(Conflict):
    """This idempotency key was already used with another payload."""

    code = "job-key-reused"


class NotEnded(Conflict):
    """The job has not ended."""

    code = "job-not-ended"


class AlreadyEnded(Conflict):
    """The job has ended."""

    code = "job-ended"


class NotDead(Conflict):
    """The job is no dead letter."""

    code = "job-not-dead"


class Superseded(Conflict):
    """Another job of the same unique key waits or runs."""

    code = "job-superseded"


class BadSchedule(BadInput):
    """The schedule cannot be read, or never comes."""

    code = "job-bad-schedule"


class NoUser(BadInput):
    """Nobody whose jobs are meant."""

    code = "job-no-user"


def unknown_job() -> UnknownJob:
    """The same words whether it never was, was removed, or belongs to somebody else."""
    return UnknownJob(
        "no such job", hint="it may have been removed after its retention, or belong to another user"
    )


def key_reused(key: str) -> KeyReused:
    """The same key with two payloads: one of them would be lost in silence."""
    return KeyReused(
        f"the idempotency key {key[:60]!r} came with another payload",
        hint="send the payload of the first request, or a new key",
    )
