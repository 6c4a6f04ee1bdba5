"""What is measured of calls: metrics by provider and model, and a page of them for people."""

from collections import deque
from collections.abc import Sequence

import msgspec

from holdfast.kernel.guard.breaker import STATES
from holdfast.ports.services import Meter
from holdfast.rooms.llm.engine.paths import Path, Paths

_RECENT = 1_000
"""Latencies kept of each deployment: quantiles are over so many of its last calls."""


class DeploymentFigures(msgspec.Struct, frozen=True):
    """One deployment since the start; quantiles in seconds over its last thousand calls, null before one."""

    deployment: str
    provider: str
    model: str
    breaker: str
    next_call_in_s: float
    attempts: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost: float
    busy: int
    waiting: int
    last_error: str = ""
    first_token_p50_s: float | None = None
    first_token_p95_s: float | None = None
    whole_p50_s: float | None = None
    whole_p95_s: float | None = None


class LlmFigures(msgspec.Struct, frozen=True):
    """All calls of this process since the start. `hit_rate`: answers that were kept, of all answers."""

    calls: int
    answered: dict[str, int]
    hit_rate: float
    retries: int
    degraded: int
    under_way: int
    semantic_false_hit_rate: float | None
    deployments: list[DeploymentFigures]


class _Tally:
    """One deployment's own sums."""

    __slots__ = ("attempts", "cost", "failed", "first", "input_tokens", "output_tokens", "whole")

    def __init__(self) -> None:
        self.attempts = self.failed = self.input_tokens = self.output_tokens = self.cost = 0
        self.first: deque[float] = deque(maxlen=_RECENT)
        self.whole: deque[float] = deque(maxlen=_RECENT)


class Figures:
    """Counts and times. Labels are bounded: providers, public models, outcomes; never a prompt or a user."""

    def __init__(self, meter: Meter) -> None:
        self._tallies: dict[str, _Tally] = {}
        self.answered: dict[str, int] = {}
        self.retries = 0
        self._answers = meter.counter(
            "holdfast_llm_answers_total",
            "Answers, by public model and how they came about.",
            ("model", "source"),
        )
        self._attempts = meter.counter(
            "holdfast_llm_attempts_total", "Attempts at providers.", ("provider", "model", "outcome")
        )
        self._retries = meter.counter(
            "holdfast_llm_retries_total", "Attempts beyond the first of a call.", ("model",)
        )
        self._tokens = meter.counter(
            "holdfast_llm_tokens_total", "Tokens, by direction.", ("provider", "model", "direction")
        )
        self._cost = meter.counter(
            "holdfast_llm_cost_dollars_total",
            "What the tokens cost by the price table.",
            ("provider", "model"),
        )
        self._first = meter.histogram(
            "holdfast_llm_first_token_seconds", "Until a stream's first content.", ("provider", "model")
        )
        self._whole = meter.histogram(
            "holdfast_llm_attempt_duration_seconds", "Until a whole answer.", ("provider", "model")
        )

    def answer(self, model: str, source: str) -> None:
        """A caller has got an answer."""
        self.answered[source] = self.answered.get(source, 0) + 1
        self._answers.labels(model, source).add()

    def attempt(self, path: Path, outcome: str, number: int, model: str) -> None:
        """An attempt has ended."""
        tally = self._tally(path)
        tally.attempts += 1
        tally.failed += outcome not in ("ok", "cancelled", "hedge_lost")
        self._attempts.labels(path.provider.name, path.upstream, outcome).add()
        if number > 1:
            self.retries += 1
            self._retries.labels(model).add()

    def took(self, path: Path, seconds: float, *, first: bool, trace_id: str = "") -> None:
        """Seconds until the first content of a stream, or until a whole answer."""
        tally = self._tally(path)
        (tally.first if first else tally.whole).append(seconds)
        histogram = self._first if first else self._whole
        histogram.labels(path.provider.name, path.upstream).observe(seconds, trace_id)

    def spent(self, path: Path, input_tokens: int, output_tokens: int, nanos: int) -> None:
        """What an attempt has used. `nanos` in nano-dollars."""
        tally = self._tally(path)
        tally.input_tokens += input_tokens
        tally.output_tokens += output_tokens
        tally.cost += nanos
        labels = (path.provider.name, path.upstream)
        self._tokens.labels(*labels, "input").add(input_tokens)
        self._tokens.labels(*labels, "output").add(output_tokens)
        if nanos:
            self._cost.labels(*labels).add(nanos / 1e9)

    def page(self, paths: Paths, now: float, under_way: int, false_hits: float | None) -> LlmFigures:
        """Everything at once. `now`: monotonic seconds."""
        calls = sum(self.answered.values())
        kept = sum(self.answered.get(source, 0) for source in ("cached", "stale", "semantic"))
        return LlmFigures(
            calls=calls,
            answered=dict(self.answered),
            hit_rate=kept / calls if calls else 0.0,
            retries=self.retries,
            degraded=self.answered.get("degraded", 0),
            under_way=under_way,
            semantic_false_hit_rate=false_hits,
            deployments=[self._of(path, now) for path in paths.all],
        )

    def _of(self, path: Path, now: float) -> DeploymentFigures:
        tally, guard = self._tally(path), path.guard
        return DeploymentFigures(
            deployment=path.name,
            provider=path.provider.name,
            model=path.upstream,
            breaker=STATES[guard.breaker.state],
            next_call_in_s=round(guard.breaker.next_s(now), 3),
            attempts=tally.attempts,
            failed=tally.failed,
            input_tokens=tally.input_tokens,
            output_tokens=tally.output_tokens,
            cost=tally.cost / 1e9,
            busy=guard.bulkhead.busy,
            waiting=guard.bulkhead.waiting,
            last_error=guard.tally.last_error,
            first_token_p50_s=_quantile(tally.first, 0.5),
            first_token_p95_s=_quantile(tally.first, 0.95),
            whole_p50_s=_quantile(tally.whole, 0.5),
            whole_p95_s=_quantile(tally.whole, 0.95),
        )

    def _tally(self, path: Path) -> _Tally:
        found = self._tallies.get(path.name)
        if found is None:
            found = self._tallies[path.name] = _Tally()
        return found


def _quantile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 6)
