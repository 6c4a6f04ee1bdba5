"""One attempt at one path: through its guard's gates, within its limits, counted however it ends."""

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
from holdfast.rooms.llm.rules.assembly import Assembly
from holdfast.rooms.llm.rules.failures import HeldBack, Kind, ProviderFailed

_GRACE_S = 0.05


class Limits:
    """How long one attempt may take: the deployment's own limits, and when the whole call must be over."""

    __slots__ = ("_clock", "first_token_s", "until")

    def __init__(self, clock: Clock, until: float, first_token_s: float | None = None) -> None:
        self._clock = clock
        self.until = until
        self.first_token_s = first_token_s
        """The caller's own wish, where it is tighter than the deployment's."""

    def extend(self, until: float) -> None:
        """Somebody with more time waits as well."""
        self.until = max(self.until, until)

    def left_s(self) -> float:
        return self.until - self._clock.monotonic()

    def within(self, name: str, seconds: float) -> phase:
        """The phase `name`, which ends after `seconds` (0: no limit) or with the call."""
        left_s = self.left_s()
        if 0 < seconds < left_s:
            return phase(name, seconds, of="the model", clock=self._clock)
        return phase("total", max(left_s, 1e-6), of="the model", clock=self._clock)

    def patience(self) -> phase:
        """How long a caller waits for the flight: a moment longer than the flight may take.

        The flight says what was late, and to whose account it goes; a caller that left first would make it
        look cancelled, and a provider that hangs would never be held back.
        """
        return phase("total", max(self.left_s(), 0.0) + _GRACE_S, of="the model", clock=self._clock)


async def enter(path: Path, limits: Limits) -> Passing:
    """Through the gates; raises HeldBack, or ProviderFailed(BUSY) where as many are under way as may be."""
    try:
        passing = await Passing.enter(path.guard, Course(limits.until))
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


def ended_by(passing: Passing, caught: BaseException, limits: Limits) -> BaseException:
    """Count how it ended; the error to raise: what looks like a cancellation may be the call's own end."""
    return failed_by(passing.end(failed_by(caught), limits.until) or caught)


async def ask_whole(path: Path, body: Body, limits: Limits) -> Body:
    """A whole answer. Raises ProviderFailed."""
    if path.settings.watch:
        return await _ask_watched(path, body, limits)
    return await _ask(path, path.provider.chat, path.body_for(body, stream=False), limits)


async def ask_vectors(path: Path, body: Body, limits: Limits) -> Body:
    """An embeddings list. Raises ProviderFailed."""
    return await _ask(path, path.provider.embed, path.body_for(body, stream=False), limits)


async def _ask(path: Path, ask: Callable[[Body, str], Awaitable[Body]], body: Body, limits: Limits) -> Body:
    passing = await enter(path, limits)
    try:
        with limits.within("answer", path.settings.attempt_s):
            answer = await ask(body, path.key)
    except BaseException as caught:
        error = ended_by(passing, caught, limits)
        if error is caught:
            raise
        raise error from caught
    passing.end(None, limits.until)
    return answer


async def _ask_watched(path: Path, body: Body, limits: Limits) -> Body:
    """The same by way of a stream, whose silence is noticed long before a whole answer would be late."""
    opened = await open_stream(path, body, limits)
    whole = Assembly()
    try:
        async for chunk in opened:
            whole.add(chunk)
    finally:
        await opened.aclose()
    return whole.answer()


class Opened:
    """A stream that has begun to answer: an iterator of its chunks, the first content among those held.

    Raises ProviderFailed where it breaks off. Closed before its end it is stopped upstream.
    """

    __slots__ = ("_is_over", "_limits", "_passing", "_path", "_source", "held")

    def __init__(
        self, path: Path, source: AsyncGenerator[Body, None], passing: Passing, limits: Limits
    ) -> None:
        self._path = path
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
            self._passing.end(None, self._limits.until)
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
        error = ended_by(self._passing, caught, self._limits)
        await self._source.aclose()
        if error is not caught:
            raise error from caught


async def open_stream(path: Path, body: Body, limits: Limits) -> Opened:
    """A stream whose first content is here. Raises ProviderFailed."""
    passing = await enter(path, limits)
    source = path.provider.stream(path.body_for(body, stream=True), path.key)
    opened = Opened(path, source, passing, limits)
    await opened.begin()
    return opened
