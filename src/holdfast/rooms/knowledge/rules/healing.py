"""What becomes of a pending version: whether somebody works on it, and what to do when nobody does."""

from typing import NamedTuple

LEAVE, ENQUEUE, FAIL = "leave", "enqueue", "fail"
UPLOAD_MS = 600_000
"""How long an upload may take to be written down whole; past it, whoever wrote it has gone."""
GRACE_MS = 2_000
"""Between an upload and its job there is a moment in which it has none."""


class Healing(NamedTuple):
    """What to do, and for FAIL why."""

    what: str
    reason: str = ""


def has_future(is_whole: bool, job: str | None) -> bool:
    """Whether a pending version will come to something: a retry of its upload may be told to wait for it.

    >>> has_future(True, None), has_future(False, "running"), has_future(False, None)
    (True, True, False)
    """
    if job in ("failed", "cancelled"):
        return False
    return is_whole or job not in (None, "succeeded")


def heal(is_whole: bool, age_ms: int, job: str | None, error: str = "") -> Healing:
    """`job` is the state of the one that is to make the version, None when there is none or nobody knows it.

    >>> heal(True, 60_000, None).what, heal(True, 0, None).what, heal(False, 60_000, None).what
    ('enqueue', 'leave', 'leave')
    """
    if not is_whole:
        return Healing(FAIL, "the upload broke off") if age_ms > UPLOAD_MS else Healing(LEAVE)
    if job is None:
        return Healing(ENQUEUE) if age_ms > GRACE_MS else Healing(LEAVE)
    if job in ("failed", "cancelled"):
        return Healing(FAIL, f"{job}: {error}" if error else job)
    # A job that succeeded has swapped its version in, or has found it gone; this one was never done.
    return Healing(ENQUEUE) if job == "succeeded" else Healing(LEAVE)
