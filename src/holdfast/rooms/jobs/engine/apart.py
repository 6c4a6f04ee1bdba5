"""When a batch of ends is refused: each by itself, so that one bad row holds up no other."""

import logging
from collections.abc import Sequence

import msgspec

from holdfast.kernel.errors import Problem
from holdfast.rooms.jobs.engine.completer import Closing
from holdfast.rooms.jobs.rules import kinds, states
from holdfast.rooms.jobs.store.rows import Ended, Progress
from holdfast.rooms.jobs.store.store import Store

logger = logging.getLogger("holdfast.jobs")


def passes(error: BaseException) -> bool:
    """Whether it is a trouble of the database's that passes by itself, rather than a row that it refuses."""
    return not isinstance(error, Exception) or (isinstance(error, Problem) and error.status >= 500)


def told_apart(error: BaseException, progress: Sequence[Progress], ends: Sequence[Closing]) -> bool:
    """Whether the batch is to be written row by row after that error; says so in the log."""
    if passes(error) or not (progress or ends):
        return False
    logger.error(
        "a batch of %d ends was refused; each is written by itself, %d reports of progress are dropped",
        len(ends),
        len(progress),
        exc_info=error,
    )
    return True


async def write_one(store: Store, end: Closing) -> tuple[Closing, bool]:
    """Write this end alone, or that its job failed where it is refused; what stands, and whether it was ours.

    Raises what passes: then it is to be written again.
    """
    try:
        return end, bool(await store.follow([], [end.row]))
    except Exception as error:
        if passes(error):
            raise
        logger.exception("the end of job %s was refused", end.row.id)
        row = refused(end.row, error)
    if end.record is not None:
        end.record.outcome = row.outcome
    end = msgspec.structs.replace(end, row=row)
    try:
        return end, bool(await store.follow([], [row]))
    except Exception as error:
        if passes(error):
            raise
        # Not even that: it is let go, and the heartbeat, which finds it held by nobody, gives it back.
        logger.exception("job %s could not be ended", end.row.id)
        return end, False


def refused(row: Ended, error: Exception) -> Ended:
    """The same end without anything of the job's own: it failed. What is to be undone is undone still."""
    goes_back = bool(row.ending)
    return msgspec.structs.replace(
        row,
        state=row.state if goes_back else states.FAILED,
        outcome=row.outcome if goes_back else "failed",
        error_kind=kinds.UNKNOWN,
        error=f"its end was refused by the database: {type(error).__name__}",
        traceback="",
        result=None,
        result_until_ms=None,
    )
