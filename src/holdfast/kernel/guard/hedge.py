"""When a second call beside a slow first one is worth it, and when it is not."""

from collections import deque

import msgspec

KEPT = 128
_RENEW_EVERY = 16


class HedgeRules(msgspec.Struct, frozen=True, kw_only=True):
    """A second call when the first is slower than most. Only for calls that may safely happen twice.

    Never for calls with effects, never for a stream: nothing is hedged unless these rules are given.
    """

    delay_s: float | None = None
    """Wait before the second call; None takes the live 95th percentile."""
    share: float = 0.05
    """Second calls at most, of all calls; they are charged to the retry budget as well."""
    minimum_calls: int = 20
    """Calls that must have been measured before the percentile is believed."""
    shortest_s: float = 0.001

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.minimum_calls < 1 or self.shortest_s < 0:
            raise ValueError("share lies in 0..1, minimum_calls is at least 1, shortest_s is not negative")
        if self.delay_s is not None and self.delay_s < 0:
            raise ValueError("delay_s is not negative")


class Latencies:
    """The durations of the newest calls, and their 95th percentile, renewed every few calls."""

    __slots__ = ("_newest", "_p95", "_since", "count")

    def __init__(self) -> None:
        self._newest: deque[float] = deque(maxlen=KEPT)
        self._p95 = 0.0
        self._since = 0
        self.count = 0

    def add(self, seconds: float) -> None:
        self._newest.append(seconds)
        self.count += 1
        self._since += 1

    def p95(self) -> float:
        """The nearest-rank percentile; 0 before the first."""
        if self._newest and (self._since >= _RENEW_EVERY or not self._p95):
            ordered = sorted(self._newest)
            self._p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
            self._since = 0
        return self._p95


def hedge_delay_s(rules: HedgeRules, latencies: Latencies) -> float | None:
    """How long to give the first call alone; None when too little is known to send a second."""
    if rules.delay_s is not None:
        return rules.delay_s
    if latencies.count < rules.minimum_calls:
        return None
    return max(rules.shortest_s, latencies.p95())


def may_hedge(rules: HedgeRules, calls: int, hedges: int) -> bool:
    """Whether one more second call stays within the share; `calls` counts the one that is slow."""
    return hedges + 1 <= max(1.0, rules.share * calls) if calls else False
