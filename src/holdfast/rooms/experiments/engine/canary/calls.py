"""Runs one of two callables as the release says, and measures how it went."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from inspect import isasyncgen, isawaitable, isgenerator
from typing import Any

from msgspec.structs import replace

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import current
from holdfast.kernel.errors import Problem
from holdfast.kernel.tasks import has_failed
from holdfast.rooms.experiments.rules.flags import Evaluation
from holdfast.rooms.experiments.rules.outcomes import Outcome, Use
from holdfast.rooms.experiments.rules.releases import TREATMENT

Work = Callable[..., Any]
Uses = Callable[[str, object], Evaluation | None]


class Calls:
    """Chooses the arm; whatever the release is, the caller gets what the callable gives."""

    def __init__(self, use: Uses, told: Callable[[Outcome], None], clock: Clock) -> None:
        self._use = use
        self._told = told
        self._clock = clock

    def run(
        self,
        name: str,
        /,
        *,
        control: Work,
        treatment: Work,
        unit: str = "",
        fallback: bool = False,
        **arguments: Any,
    ) -> Any:
        """What the unit's arm gives for these arguments; a coroutine or a generator where that is one.

        With `fallback`, what the treatment raises is counted, and control answers instead; not once a
        generator has begun, since some of it may have been used already.
        """
        found = self._use(name, unit)
        treated = found is not None and found.variant == TREATMENT
        instead = control if fallback and treated else None
        call = _Call(self, found, instead, arguments)
        began = self._clock.monotonic()
        try:
            result = (treatment if treated else control)(**arguments)
        except BaseException as error:
            if not call.ended(began, error):
                raise
        else:
            return call.awaited(began, result) if isawaitable(result) else call.given(began, result)
        # Outside the handler, so that what control raises is not shown as raised by the other's failure.
        return control(**arguments)

    def monotonic(self) -> float:
        """For the call that is measured."""
        return self._clock.monotonic()

    def ended(self, found: Evaluation | None, seconds: float, error: BaseException | None) -> None:
        """Tell how a counted call went."""
        if found is None or not found.counted:
            return
        outcome = Outcome(
            kind="call",
            at_s=self._clock.wall(),
            user=found.unit,
            uses={found.flag: Use(found.variant, found.unit, found.phase)},
            name=found.flag,
            failed=is_failure(error),
            seconds=seconds,
            error=type(error).__name__ if is_failure(error) else "",
        )
        ctx = current()
        if ctx is not None:
            outcome = replace(outcome, request_id=ctx.event.request_id, trace_id=ctx.event.trace_id)
        self._told(outcome)


class _Call:
    """One call under way."""

    __slots__ = ("_arguments", "_calls", "_found", "_instead")

    def __init__(
        self, calls: Calls, found: Evaluation | None, instead: Work | None, arguments: dict[str, Any]
    ) -> None:
        self._calls = calls
        self._found = found
        self._instead = instead
        self._arguments = arguments

    def ended(self, began: float, error: BaseException | None) -> bool:
        """Tell it; whether control is to answer instead."""
        self._calls.ended(self._found, self._calls.monotonic() - began, error)
        return self._instead is not None and is_failure(error)

    def given(self, began: float, value: Any) -> Any:
        """The value; a generator is told when it ends, since it has done nothing yet."""
        if isasyncgen(value):
            return self.streamed(began, value)
        if isgenerator(value):
            return self.generated(began, value)
        self.ended(began, None)
        return value

    async def streamed(self, began: float, parts: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
        sent = None
        try:
            while True:
                sent = yield await parts.asend(sent)
        except StopAsyncIteration:
            self.ended(began, None)
        except BaseException as error:
            self.ended(began, error)
            raise
        finally:
            await parts.aclose()

    def generated(self, began: float, parts: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        try:
            value = yield from parts
        except BaseException as error:
            self.ended(began, error)
            raise
        self.ended(began, None)
        return value

    async def awaited(self, began: float, result: Awaitable[Any]) -> Any:
        try:
            value = await result
        except BaseException as error:
            if not self.ended(began, error) or self._instead is None:
                raise
        else:
            return self.given(began, value)
        # Outside the handler here as well.
        answer = self._instead(**self._arguments)
        return await answer if isawaitable(answer) else answer


def is_failure(error: BaseException | None) -> bool:
    """Whether the callable failed: a refusal (Problem, HTTPException) or a caller that left is none."""
    if error is None or not has_failed(error):
        return False
    return not (isinstance(error, Problem) and error.status < 500) and not _is_refusal(error)


def _is_refusal(error: BaseException) -> bool:
    """FastAPI's way to answer below 500, told by its name: no framework is imported here."""
    for kind in type(error).__mro__:
        if (kind.__module__, kind.__name__) == ("starlette.exceptions", "HTTPException"):
            status = getattr(error, "status_code", 500)
            return isinstance(status, int) and status < 500
    return False
