"""How many requests of one class of work may be inside at once, learned from their latency. Pure.

The family is TCP Vegas and Netflix's Gradient: `limit <- limit * quiet / measured + headroom`, where
`quiet` is the latency without a queue. Its one fixed point is what the backend works on at once plus
the headroom. Three things keep it there. `quiet` never follows a long average of what is measured
under overload (in Gradient2 it does, and the limit creeps up without end). Whether a longer latency is
a queue is tested, not assumed: with fewer inside, a backend with a queue ends as many a second, one that
has merely become slower ends fewer in proportion (the covariance of Uber's Cinnamon, in two points). And the
test is repeated now and then with jitter while the limit holds somebody back (Envoy's minRTT windows).
Only a limit that holds somebody back is changed: traffic below it teaches nothing about it.
"""

from collections.abc import Callable
from math import exp, inf, log, sqrt
from typing import Annotated

import msgspec
from msgspec import Meta

SHORTEST_S = 1e-6
"""Latencies are compared by their logarithm; a clock that stood still counts as a microsecond."""
_SHORTEST = log(SHORTEST_S)
_DIP = 0.6
"""The share of the limit that a test leaves."""
_TEST_SAMPLES = 100
"""Latencies that one test is made of."""
_SOON = 0.1
"""The share of the time between two tests that passes before the first, and before one more is due."""
_STEEPEST = 0.1
"""The share of the limit that one window leaves at least, however much latency has risen."""
_FEWER = 0.25
"""By how much the logarithm of the number inside must differ for two windows to be compared."""
_PROPORTION = 0.5
"""The share of that difference by which throughput falls where there is no queue: 1 in theory, else 0."""
_TOLD = 0.1
"""By how much the logarithm of the quiet latency must fall in a test for another one to follow soon."""
_SLOW = 0.7
"""How much the logarithm of latency exceeds the quiet one where a queue may be growing: it has doubled."""
_PILED = 2.1
"""The same where it certainly is one, and is stopped: latency is eight times the quiet one."""
_RISES = 2
"""How often in a row crowd and latency must rise together for it."""
_USUAL = 0.3
"""The weight of the newest window in the throughput of quiet times."""
_ADD_UP_S = 1.0
"""Seconds of latencies that are kept one by one at most."""
_FOLLOW = 0.005
"""How fast the quiet latency follows a slower backend while the limit is far away."""


class Config(msgspec.Struct, frozen=True):
    """Settings of load shedding, `[limits.shedding]` in the file."""

    enabled: Annotated[
        bool, Meta(description="Whether requests are refused when the server has too many.")
    ] = True
    initial_limit: Annotated[
        int, Meta(ge=1, description="Requests of one class inside at once before anything has been learned.")
    ] = 512
    least_limit: Annotated[int, Meta(ge=1, description="The limit that is never gone below.")] = 4
    most_limit: Annotated[int, Meta(ge=1, description="The limit that is never gone above.")] = 4096
    reserve: Annotated[
        float,
        Meta(
            ge=0, le=0.9, description="Share of the places that requests of the lowest priority leave free."
        ),
    ] = 0.2
    window_s: Annotated[float, Meta(gt=0, description="Seconds of measuring before a limit changes.")] = 0.1
    window_samples: Annotated[int, Meta(ge=2, description="Latencies measured before a limit changes.")] = 20
    remeasure_s: Annotated[
        float,
        Meta(gt=0, description="Seconds at its limit after which a class is tested anew; with jitter."),
    ] = 10.0
    forget_s: Annotated[
        float, Meta(gt=0, description="Seconds without anyone held back after which a limit starts afresh.")
    ] = 60.0
    target_s: Annotated[
        float, Meta(gt=0, description="Seconds that a request may wait at the door while there is overload.")
    ] = 0.005
    interval_s: Annotated[
        float, Meta(gt=0, description="Seconds that the wait must stand before it counts as overload.")
    ] = 0.1
    patience_s: Annotated[
        float, Meta(gt=0, description="Seconds that a request may wait at the door without overload.")
    ] = 0.5
    queue_size: Annotated[int, Meta(ge=0, description="Requests of one class that may wait at the door.")] = (
        128
    )
    retry_after_s: Annotated[
        float, Meta(ge=1, description="Seconds after which a refused caller is asked to return, at least.")
    ] = 1.0
    retry_spread_s: Annotated[
        float, Meta(ge=0, description="Seconds over which the return of refused callers is spread.")
    ] = 4.0
    streams: Annotated[
        list[str],
        Meta(
            description="Classes of work that last as long as someone listens: counted, never limited here."
        ),
    ] = msgspec.field(default_factory=lambda: ["stream"])


class Window(msgspec.Struct, frozen=True):
    """What one window of measuring says, in logarithms: comparisons are of proportions."""

    latency: float
    doubt: float
    """The standard error of `latency`: heavy tails widen it, and what is in doubt is not acted upon."""
    crowd: float
    """How many were inside."""
    rate: float
    """How many ended a second."""
    rate_doubt: float


class Law:
    """The limit of one class of work. Told of latencies and of who found no place; asked for `limit`.

    `chance` draws from 0..1. Times are monotonic seconds.
    """

    __slots__ = (
        "_before",
        "_chance",
        "_config",
        "_count",
        "_dipping",
        "_draining",
        "_latest_s",
        "_opened",
        "_quiet_before",
        "_return_to",
        "_rises",
        "_rising",
        "_squares",
        "_streak",
        "_sum",
        "_test_at",
        "_total_s",
        "_usual_rate",
        "_was_held_back",
        "bound_at",
        "crowd",
        "due",
        "held_back",
        "latencies",
        "limit",
        "quiet",
    )

    def __init__(self, config: Config, chance: Callable[[], float], now: float) -> None:
        self._config = config
        self._chance = chance
        self.bound_at = now
        """When the limit last held somebody back."""
        self._start_afresh(now)

    def _start_afresh(self, now: float) -> None:
        self.limit = float(self._config.initial_limit)
        self.quiet: float | None = None
        """The logarithm of the latency without a queue."""
        self.held_back = False
        """Whether the limit has held somebody back in this window."""
        self._before: Window | None = None
        self._return_to = 0.0
        self._quiet_before = 0.0
        self._usual_rate = 0.0
        self._rising: Window | None = None
        self._rises = 0
        self._dipping = False
        self._streak = 0
        self._draining = False
        self._was_held_back = False
        self._latest_s = 0.0
        self._test_at = 0.0
        self._open(now)

    def _open(self, now: float) -> None:
        self._opened = now
        self.due = -inf
        """Up to when latencies need only be collected; the first of a window says so."""
        self.latencies: list[float] = []
        """What has been measured and not yet added up."""
        self.crowd = self._count = 0
        self._sum = self._squares = self._total_s = 0.0
        self.held_back = False

    def hold_back(self, now: float) -> bool:
        """Note that somebody found no place; True when the limit was stale and has just been given up."""
        if now - self.bound_at > self._config.forget_s:
            self.bound_at = now
            stale = self.limit < self._config.initial_limit
            self._start_afresh(now)
            return stale
        self.bound_at = now
        self.held_back = True
        return False

    def observe(self, latency_s: float, inside: int, now: float) -> bool:
        """Take one latency and how many were inside when it ended; True when the limit has changed.

        Before `due` it is the same to put it on `latencies` and add to `crowd`: what an admission does.
        """
        if now < self._opened:
            if self._draining and inside <= self.limit:
                # Those admitted under the higher limit are gone; one latency later so is their queue.
                self._draining = False
                self._opened = now + self._latest_s
            return False
        self.latencies.append(latency_s)
        self.crowd += inside
        return now >= self.due and self._add_up(now)

    def _add_up(self, now: float) -> bool:
        """Take in together what has been measured, and look whether that makes a whole window.

        Where the window may be over, and once a second, so that the list stays short.
        """
        logarithms = [log(each) if each > SHORTEST_S else _SHORTEST for each in self.latencies]
        self._count += len(logarithms)
        self._sum += sum(logarithms)
        self._squares += sum([each * each for each in logarithms])
        self._total_s += sum(self.latencies)
        self.latencies.clear()
        config = self._config
        open_s = now - self._opened
        if open_s < config.window_s:
            self.due = min(self._opened + config.window_s, now + _ADD_UP_S)
            return False
        if self._count < (_TEST_SAMPLES if self._dipping else config.window_samples) or (
            self.held_back and open_s < self._total_s / self._count
        ):
            return False
        return self._close(now)

    def _close(self, now: float) -> bool:
        count, before = self._count, self.limit
        mean = self._sum / count
        spread = max(0.0, self._squares / count - mean * mean)
        window = Window(
            mean,
            sqrt(spread / count),
            log(self.crowd / count),
            log(count / (now - self._opened)),
            1 / sqrt(count),
        )
        held_back, was_held_back = self.held_back, self._was_held_back
        self._latest_s = self._total_s / count
        self._open(now)
        self._was_held_back = held_back
        if self.quiet is None:
            self.quiet = mean + window.doubt
        self.quiet = min(self.quiet, mean + window.doubt)
        if self._dipping:
            self._end_test(window, now)
        elif not held_back:
            self._rest(window, now)
        elif not self._grow(window) and was_held_back:
            # Not the first such window: that one began while the crowd still grew, and proves nothing.
            self._adjust(window, now)
        return self.limit != before

    def _rest(self, window: Window, now: float) -> None:
        """Nobody was held back: the limit stays. Far below it, a slower backend is just that."""
        self._streak = 0
        self._before = None
        self._test_at = 0.0
        assert self.quiet is not None
        if self._piles_up(window):
            self._set(exp(window.crowd))
            return
        if window.latency > self.quiet and window.crowd < log(self.limit / 2):
            self.quiet += _FOLLOW * (window.latency - self.quiet)
        if now - self.bound_at > self._config.forget_s and self.limit != self._config.initial_limit:
            self._start_afresh(now)

    def _piles_up(self, window: Window) -> bool:
        """Whether a queue grows below the limit: crowd and latency rise together, throughput does not fall.

        A backend that becomes slower ends fewer while the crowd grows, and then neither grows any more.
        """
        assert self.quiet is not None
        if window.latency - window.doubt < self.quiet + _SLOW:
            self._usual_rate += _USUAL * (window.rate - self._usual_rate)
            self._rising = None
            return False
        before = self._rising
        more = window.crowd - before.crowd if before is not None else 0.0
        if before is not None and abs(more) < _FEWER:
            return False
        self._rising = window
        grows = (
            before is not None
            and more > 0
            and window.latency - before.latency >= _PROPORTION * more
            and window.rate + window.rate_doubt >= self._usual_rate
        )
        self._rises = self._rises + 1 if grows else 0
        return self._rises >= _RISES and window.latency - window.doubt >= self.quiet + _PILED

    def _adjust(self, window: Window, now: float) -> None:
        """The limit held somebody back: up where latency is quiet, else to where the queue is short."""
        assert self.quiet is not None
        if self._before is not None and not self._is_queue(self._before, window):
            self._trust(window)
            return
        self._test_at = self._test_at or self._next_test(now, _SOON)
        if now >= self._test_at:
            self._begin_test(window, now)
            return
        headroom = max(2.0, sqrt(self.limit))
        excess = window.latency - window.doubt - self.quiet
        self._streak = 0
        wanted = max(self.limit * exp(-excess) + headroom, self.limit * _STEEPEST)
        if wanted < self.limit * 0.9:
            if self._before is None:
                self._before, self._return_to = window, self.limit
            self._shrink(wanted)
        else:
            self._before = None
            self._set((self.limit + wanted) / 2)

    def _grow(self, window: Window) -> bool:
        """Up, in growing steps, where latency is quiet; whether it is."""
        assert self.quiet is not None
        headroom = max(2.0, sqrt(self.limit))
        if window.latency - window.doubt - self.quiet > headroom / self.limit / 2:
            return False
        growth = min(headroom * 2**self._streak, self.limit / 2)
        self._streak = min(self._streak + 1, 12)
        self._before = None
        self._set(self.limit + growth)
        return True

    def _is_queue(self, before: Window, after: Window) -> bool:
        """Whether as many ended with fewer inside. Too small a difference, or too much doubt: yes."""
        fewer = before.crowd - after.crowd
        if fewer < _FEWER:
            return True
        doubt = sqrt(before.rate_doubt**2 + after.rate_doubt**2)
        return before.rate - after.rate - doubt <= _PROPORTION * fewer

    def _trust(self, window: Window) -> None:
        """Fewer inside ended fewer: this latency is the quiet one, and the places are given back."""
        self.quiet = window.latency
        self._before = None
        self._set(max(self.limit, self._return_to))

    def _next_test(self, now: float, share: float = 1.0) -> float:
        return now + share * self._config.remeasure_s * (0.75 + 0.5 * self._chance())

    def _begin_test(self, window: Window, now: float) -> None:
        self._before, self._return_to = window, self.limit
        self._dipping = True
        self._quiet_before = self.quiet or 0.0
        self._test_at = self._next_test(now)
        self._shrink(self.limit * _DIP)

    def _end_test(self, window: Window, now: float) -> None:
        before, self._before = self._before, None
        self._dipping = False
        if before is not None and not self._is_queue(before, window):
            self._trust(window)
        else:
            if self.quiet is not None and self.quiet < self._quiet_before - _TOLD:
                # It was never as quiet as now: there may be more of the queue to be taken off.
                self._test_at = self._next_test(now, _SOON)
            self._set(self._return_to)

    def _shrink(self, limit: float) -> None:
        """Lower the limit, and measure nothing until the queue that the old one made has drained."""
        self._set(limit)
        self._draining = True
        self._opened = inf
        self.due = -inf

    def _set(self, limit: float) -> None:
        self.limit = min(max(limit, float(self._config.least_limit)), float(self._config.most_limit))
