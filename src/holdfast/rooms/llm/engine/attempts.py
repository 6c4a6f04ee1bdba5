"""One attempt at one path: through its guard's gates, within its limits, counted however it ends."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable

from holdfast.kernel.clock import Clock
from holdfast.kernel.guard.course import Course
from holdfast.kernel.guard.passing import Passing
from holdfast.kernel.guard.problems import BulkheadFull, DeadlineExceeded, Refused, TimedOut
from holdfast.kernel.guard.timeouts import phase
from holdfast.rooms.llm.engine.paths import Path
from holdfast.rooms.llm.providers.provider import Body
from holdfast.rooms.llm.rules.asking import has_content
from holdfast.rooms.llm.rules.assembly import assemble
from holdfast.rooms.llm.rules.failures import HeldBack, Kind, ProviderFailed

_GRACE_S = 0.05
_ENOUGH_S = 10.0
"""Time for a first byte, where a deployment has no limit of its own."""


class Limits:
    """How long a call may take: until when somebody waits for it, and when it ends whoever waits.

    Callers leave by themselves when their own time is over, so that one with little time ends nothing for
    those with more. What is planned (a wait, another attempt) is planned for the one who waits longest.
    """

    __slots__ = ("_clock", "ends", "first_token_s", "until")

    def __init__(
        self, clock: Clock, until: float, *, ends: float | None = None, first_token_s: float | None = None
    ) -> None:
        self._clock = clock
        self.until = until
        self.ends = until if ends is None else max(until, ends)
        self.first_token_s = first_token_s
        """The service's own wish, where it is tighter than the deployment's."""

    def of_flight(self) -> "Limits":
        """The limits of a flight that this caller opens: others may extend them."""
        return Limits(self._clock, self.until, ends=self.ends, first_token_s=self.first_token_s)

    def extend(self, until: float) -> None:
        """Somebody with more time waits as well."""
        self.until = max(self.until, until)

    def left_s(self) -> float:
        """How long anybody will wait from now on."""
        return self.until - self._clock.monotonic()

    def now(self) -> float:
        return self._clock.monotonic()

    def within(self, name: str, seconds: float) -> phase:
        """The phase `name`, which ends after `seconds` (0: no limit) or with the call."""
        left_s = self.ends - self._clock.monotonic()
        if 0 < seconds < left_s:
            return phase(name, seconds, of="the model", clock=self._clock)
        return phase("total", max(left_s, 1e-6), of="the model", clock=self._clock)

    def patience(self) -> phase:
        """How long a caller waits for the flight: a moment longer than it may take, where that is the same.

        The flight then says what was late, and to whose account it goes.
        """
        return phase("total", max(self.left_s(), 0.0) + _GRACE_S, of="the model", clock=self._clock)


class Attempt:
    """One attempt at one path, for whoever keeps the accounts."""

    __slots__ = ("began", "failed", "lost", "number", "path", "seconds", "sent")

    def __init__(self, path: Path, number: int, began: float) -> None:
        self.path = path
        self.number = number
        self.began = began
        self.seconds = 0.0
        self.failed: BaseException | None = None
        self.lost = False
        """Whether another attempt at the same call was faster."""
        self.sent = False
        """Whether it got past the gates: nobody charges for one that did not."""


async def enter(path: Path, limits: Limits) -> Passing:
    """Through the gates; raises HeldBack, or ProviderFailed(BUSY) where as many are under way as may be."""
    try:
        passing = await Passing.enter(path.guard, Course(limits.ends))
    except BulkheadFull as full:
        raise ProviderFailed(
            Kind.BUSY, f"{path.name} is asked as often at once as it may be", retry_after_s=full.retry_after_s
        ) from full
    except Refused as refused:
        said = f"{path.name} is held back after failures or at its own wish"
        raise HeldBack(said, refused.retry_after_s) from refused
    except DeadlineExceeded as late:
        raise ProviderFailed(Kind.SILENT, str(late), phase="total") from late
    path.asked_at = path.guard.clock.monotonic()
    return passing


def failed_by(caught: BaseException) -> BaseException:
    """A time limit that is over, in our own words. One without a phase is the whole call's."""
    if isinstance(caught, TimedOut):
        return ProviderFailed(Kind.SILENT, str(caught), phase=str(caught.members.get("phase") or "total"))
    return caught


def ended_by(passing: Passing, caught: BaseException, limits: Limits, made: Attempt) -> BaseException:
    """Count how it ended; the error to raise: what looks like a cancellation may be the call's own end.

    A call that was left because its callers' time was over says nothing of a provider that had little of it,
    and that it is silent of one that had enough for a first byte.
    """
    given_up = isinstance(caught, asyncio.CancelledError) and limits.left_s() <= 0
    if given_up and limits.now() - made.began >= (made.path.settings.first_byte_s or _ENOUGH_S):
        passing.end(ProviderFailed(Kind.SILENT, "nobody could wait any longer", phase="total"), limits.ends)
        return caught
    return failed_by(passing.end(failed_by(caught), limits.ends) or caught)


def ask_whole(path: Path, body: Body, limits: Limits, made: Attempt) -> Awaitable[Body]:
    """A whole answer. Raises ProviderFailed."""
    if path.settings.watch:
        return _ask_watched(path, body, limits, made)
    return _ask(path, path.provider.chat, body, limits, made)


def ask_vectors(path: Path, body: Body, limits: Limits, made: Attempt) -> Awaitable[Body]:
    """An embeddings list. Raises ProviderFailed."""
    return _ask(path, path.provider.embed, body, limits, made)


async def _ask(
    path: Path, ask: Callable[[Body, str], Awaitable[Body]], body: Body, limits: Limits, made: Attempt
) -> Body:
    passing = await enter(path, limits)
    made.sent = True
    try:
        with limits.within("answer", path.settings.attempt_s):
            answer = await ask(path.body_for(body, stream=False), path.key)
    except BaseException as caught:
        error = ended_by(passing, caught, limits, made)
        if error is caught:
            raise
        raise error from caught
    passing.end(None, limits.ends)
    return answer


async def all_chunks(path: Path, body: Body, limits: Limits, made: Attempt) -> list[Body]:
    """A stream held until it is whole: cut anywhere, it can be begun anew elsewhere."""
    opened = await open_stream(path, body, limits, made)
    chunks: list[Body] = []
    try:
        async for chunk in opened:
            chunks.append(chunk)
    except ProviderFailed as failed:
        failed.partial = assemble(chunks)
        raise
    finally:
        await opened.aclose()
    return chunks


async def _ask_watched(path: Path, body: Body, limits: Limits, made: Attempt) -> Body:
    """A whole answer by way of a stream, whose silence is noticed long before it would be late."""
    return assemble(await all_chunks(path, body, limits, made))


class Opened:
    """A stream that has begun to answer: an iterator of its chunks, the first content among those held.

    Raises ProviderFailed where it breaks off. Closed before its end it is stopped upstream.
    """

    __slots__ = ("_is_over", "_limits", "_made", "_passing", "_path", "_source", "held")

    def __init__(
        self,
        path: Path,
        source: AsyncGenerator[Body, None],
        passing: Passing,
        limits: Limits,
        made: Attempt,
    ) -> None:
        self._path = path
        self._made = made
        self._source = source
        self._passing = passing
        self._limits = limits
        self._is_over = False
        self.held: deque[Body] = deque()

    async def begin(self) -> None:
        """Take chunks until one has content, or the stream has ended well with nothing to say."""
        settings = self._path.settings
        first_s = settings.first_token_s
        wish_s = self._limits.first_token_s
        if wish_s is not None and (not first_s or wish_s < first_s):
            first_s = wish_s
        try:
            with self._limits.within("first token", first_s):
                async for chunk in self._source:
                    self.held.append(chunk)
                    if has_content(chunk):
                        return
        except BaseException as caught:
            await self._end(caught)
            raise

    def __aiter__(self) -> "Opened":
        return self

    async def __anext__(self) -> Body:
        if self.held:
            return self.held.popleft()
        try:
            with self._limits.within("idle", self._path.settings.idle_s):
                return await anext(self._source)
        except StopAsyncIteration:
            self._is_over = True
            self._passing.end(None, self._limits.ends)
            raise
        except BaseException as caught:
            await self._end(caught)
            raise

    async def aclose(self) -> None:
        """Stop upstream; a stream that nobody hears to its end says nothing of who sends it."""
        if not self._is_over:
            await self._end(GeneratorExit())

    async def _end(self, caught: BaseException) -> None:
        """Count it and stop upstream; raises a time limit that is over in our own words."""
        self._is_over = True
        error = ended_by(self._passing, caught, self._limits, self._made)
        await self._source.aclose()
        if error is not caught:
            raise error from caught


async def open_stream(path: Path, body: Body, limits: Limits, made: Attempt) -> Opened:
    """A stream whose first content is here. Raises ProviderFailed."""
    passing = await enter(path, limits)
    made.sent = True
    source = path.provider.stream(path.body_for(body, stream=True), path.key)
    opened = Opened(path, source, passing, limits, made)
    await opened.begin()
    return opened
