"""A mode for tests: no waits before retries, no jitter, and if wanted no retries at all."""

from collections.abc import Iterator
from contextlib import contextmanager


class Mode:
    """What tests have switched off for every guard of the process."""

    __slots__ = ("attempts", "waits")

    def __init__(self) -> None:
        self.waits = True
        self.attempts: int | None = None


MODE = Mode()


@contextmanager
def without_waits(attempts: int | None = None) -> Iterator[Mode]:
    """Within it guards retry at once and wait for no jitter; `attempts` caps their number.

    Deadlines, breakers, bulkheads and budgets work as ever. Nests; ends with the block.
    """
    if attempts is not None and attempts < 1:
        raise ValueError("attempts is at least 1")
    before = MODE.waits, MODE.attempts
    MODE.waits, MODE.attempts = False, attempts
    try:
        yield MODE
    finally:
        MODE.waits, MODE.attempts = before
