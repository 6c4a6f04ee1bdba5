"""`async for attempt in guard.attempts(): with attempt:` - a block that is retried."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING

from holdfast.kernel.guard.course import Course
from holdfast.kernel.guard.passing import Passing

if TYPE_CHECKING:
    from holdfast.kernel.guard.guard import Guard


class Attempt:
    """One go at the block. Swallows an error that is going to be retried; lets every other one pass."""

    __slots__ = ("_course", "_guard", "_passing", "entered", "number", "wait_s")

    def __init__(self, guard: "Guard", course: Course, passing: Passing) -> None:
        self._guard = guard
        self._course = course
        self._passing = passing
        self.number = course.attempts
        """Counted from 1."""
        self.entered = False
        self.wait_s: float | None = None
        """The wait before the next attempt, when this one failed and there is one."""

    def __enter__(self) -> "Attempt":
        self.entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, caught: BaseException | None, trace: TracebackType | None
    ) -> bool:
        guard, course = self._guard, self._course
        error = self._passing.end(caught, course.until)
        course.error = error if isinstance(error, Exception) else None
        if error is None:
            course.note(guard.name)
            return False
        if not isinstance(error, Exception):
            course.note(guard.name)
            return False
        try:
            self.wait_s = guard.plan(course)
        except Exception as refused:
            course.note(guard.name)
            if refused is caught:
                return False
            raise
        return True

    def abandon(self) -> None:
        """The loop was left before the block began: nothing may stay taken."""
        self._passing.end(GeneratorExit(), self._course.until)


class Attempts:
    """The attempts of one block. Each goes through breaker, bulkhead and deadline anew."""

    __slots__ = ("_attempt", "_course", "_guard")

    def __init__(self, guard: "Guard", course: Course) -> None:
        self._guard = guard
        self._course = course
        self._attempt: Attempt | None = None

    def __aiter__(self) -> AsyncIterator[Attempt]:
        return self

    async def __anext__(self) -> Attempt:
        guard, course, last = self._guard, self._course, self._attempt
        if last is None:
            guard.budget.count(guard.clock.monotonic())
        elif not last.entered:
            last.abandon()
            raise RuntimeError("the loop over attempts() must do its work in `with attempt:`")
        elif last.wait_s is None:
            raise StopAsyncIteration
        else:
            await guard.pause(course, last.wait_s)
        self._attempt = None
        try:
            passing = await Passing.enter(guard, course)
        except Exception as error:
            if error.__cause__ is None:
                error.__cause__ = course.error
            course.error = error
            course.note(guard.name)
            raise
        self._attempt = Attempt(guard, course, passing)
        return self._attempt

    def __del__(self) -> None:
        if self._attempt is not None and not self._attempt.entered:
            self._attempt.abandon()
