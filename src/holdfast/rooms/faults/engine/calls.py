"""What has arrived: the log that users judge their app by, and the count of each key's calls."""

from collections import deque
from collections.abc import Callable

from holdfast.rooms.faults.rules.listing import CallShown
from holdfast.rooms.faults.rules.masking import key_mark, masked
from holdfast.rooms.faults.rules.requests import Head
from holdfast.rooms.faults.rules.scripts.steps import Turn, draw

KEPT = 5_000
"""Calls whose particulars are remembered; older ones are forgotten."""
MOST_CALLERS = 100_000


class Call:
    """One request under way or done; filled in as it goes."""

    __slots__ = (
        "attempt",
        "began_at",
        "body_bytes",
        "ended_at",
        "fault",
        "head",
        "left_early",
        "model",
        "sent_bytes",
        "status",
        "stream",
    )

    def __init__(
        self, head: Head, model: str, fault: str, attempt: int, began_at: float, body_bytes: int, stream: bool
    ) -> None:
        self.head = head
        self.model = model
        self.fault = fault
        self.attempt = attempt
        self.began_at = began_at
        self.body_bytes = body_bytes
        self.stream = stream
        self.ended_at: float | None = None
        self.left_early = False
        self.status: int | None = None
        self.sent_bytes = 0


class Calls:
    """The newest calls in the order in which they came; `KEPT` of them."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._started_at = monotonic()
        self.newest: deque[Call] = deque(maxlen=KEPT)

    def of(self, model: str | None = None) -> list[CallShown]:
        """The calls of this model name, or all of them."""
        return [self._shown(call) for call in self.newest if model is None or call.model == model]

    def by_model(self, model: str | None = None) -> dict[str, list[CallShown]]:
        """The same, gathered by model name."""
        gathered: dict[str, list[CallShown]] = {}
        for shown in self.of(model):
            gathered.setdefault(shown.model, []).append(shown)
        return gathered

    def clear(self, model: str | None = None) -> int:
        """Forget these calls; how many there were. Faults that end by themselves count on."""
        kept = [call for call in self.newest if model is not None and call.model != model]
        gone = len(self.newest) - len(kept)
        self.newest = deque(kept, maxlen=KEPT)
        return gone

    def _shown(self, call: Call) -> CallShown:
        ended_at = call.ended_at
        return CallShown(
            model=call.model,
            path=call.head.path,
            fault=call.fault,
            attempt=call.attempt,
            key=key_mark(call.head.key),
            began_s=round(call.began_at - self._started_at, 6),
            ended_s=None if ended_at is None else round(ended_at - self._started_at, 6),
            left_early=call.left_early,
            status=call.status,
            stream=call.stream,
            body_bytes=call.body_bytes,
            sent_bytes=call.sent_bytes,
            headers=masked(call.head.headers),
        )


class Turns:
    """Counts the calls of each key and model, so that callers do not disturb each other."""

    def __init__(self, seed: int, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self._seed = seed
        self._monotonic = monotonic
        self._wall = wall
        self._counts: dict[tuple[str, str], int] = {}
        self._first_at: dict[tuple[str, str], float] = {}

    def next(self, key: str, model: str) -> int:
        """The number of this call, from 1."""
        caller = (key, model)
        count = self._counts.get(caller, 0) + 1
        if count == 1:
            if len(self._counts) >= MOST_CALLERS:
                oldest = next(iter(self._counts))
                del self._counts[oldest], self._first_at[oldest]
            self._first_at[caller] = self._monotonic()
        self._counts[caller] = count
        return count

    def turn(self, key: str, model: str, count: int) -> Turn:
        """What the script of that call may know."""
        return Turn(
            count=count,
            since_first_s=self._monotonic() - self._first_at[key, model],
            draw=draw(self._seed, key, model, count),
            wall_s=self._wall(),
        )
