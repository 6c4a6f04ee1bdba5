"""The `[resilience]` settings, and the guard that a dependency's settings mean."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from holdfast.kernel.guard import Budget, BulkheadRules, HedgeRules, Retry, Timeouts
from holdfast.kernel.guard.breaker import BreakerRules, fixed_s
from holdfast.kernel.guard.outcome import On


class Dependency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dependency, `[resilience.dependencies.<name>]`. A time of 0 sets no limit."""

    timeout_s: Annotated[float, Meta(ge=0, description="whole call with waits and retries, seconds")] = 30.0
    attempt_s: Annotated[float, Meta(ge=0, description="one attempt, seconds")] = 0.0
    connect_s: Annotated[float, Meta(ge=0, description="connecting, seconds; for clients that ask")] = 0.0
    first_byte_s: Annotated[float, Meta(ge=0, description="until the answer's first byte, seconds")] = 0.0
    idle_s: Annotated[float, Meta(ge=0, description="between two chunks of the answer, seconds")] = 0.0
    attempts: Annotated[
        int, Meta(ge=1, le=100, description="tries in all, where the code says what to retry on")
    ] = 3
    first_wait_s: Annotated[float, Meta(ge=0, description="longest wait before the second try")] = 1.0
    longest_wait_s: Annotated[float, Meta(ge=0, description="longest wait of our own choice")] = 60.0
    longest_retry_after_s: Annotated[float, Meta(ge=0, description="longest Retry-After obeyed")] = 120.0
    budget: Annotated[float, Meta(ge=0, le=1, description="retries and hedges, as a share of the calls")] = (
        0.2
    )
    budget_floor: Annotated[int, Meta(ge=0, description="of them that are always allowed in 30 s")] = 3
    breaker: Annotated[bool, Meta(description="whether it has a circuit breaker")] = True
    failures: Annotated[int, Meta(ge=0, description="failures in a row that open it; 0: ratio only")] = 5
    ratio: Annotated[float, Meta(ge=0, le=1, description="share of failures that opens it; 0: off")] = 0.5
    minimum_calls: Annotated[int, Meta(ge=1, description="calls below which the ratio says nothing")] = 20
    window_s: Annotated[float, Meta(gt=0, description="seconds that the ratio looks back")] = 30.0
    open_s: Annotated[float, Meta(gt=0, description="first open time, doubled at each failed probe")] = 5.0
    longest_open_s: Annotated[float, Meta(gt=0, description="longest open time")] = 300.0
    recovery: Annotated[str, Meta(description="`doubling`, or `fixed:<seconds>` as in fixed:300")] = (
        "doubling"
    )
    lease_s: Annotated[float, Meta(gt=0, description="after which a silent probe is given up")] = 30.0
    cool_down: Annotated[bool, Meta(description="whether a Retry-After holds back all calls")] = False
    concurrent: Annotated[int, Meta(ge=0, description="calls at once; 0: any number")] = 0
    queue: Annotated[int, Meta(ge=0, description="calls that may wait for their turn")] = 0
    hedge: Annotated[bool, Meta(description="a second call beside a slow first; reads only")] = False
    hedge_delay_s: Annotated[float, Meta(ge=0, description="its delay; 0: the live 95th percentile")] = 0.0
    hedge_share: Annotated[float, Meta(gt=0, le=1, description="second calls, as a share of all")] = 0.05
    shared: Annotated[bool, Meta(description="whether all processes have one breaker")] = False

    def __post_init__(self) -> None:
        fixed_s(self.recovery)


class Config(msgspec.Struct, frozen=True):
    """Settings of the resilience room, `[resilience]` in the file."""

    dependencies: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=100)], Dependency],
        Meta(description="what this service calls, by name: [resilience.dependencies.<name>]"),
    ] = {}
    defaults: Annotated[
        Dependency, Meta(description="of a dependency that code names and no setting declares")
    ] = Dependency()
    probe_every_s: Annotated[
        float, Meta(gt=0, description="seconds between two background probes of a dependency that failed")
    ] = 5.0
    share_every_s: Annotated[
        float, Meta(gt=0, description="seconds between two looks at the states that other processes share")
    ] = 1.0
    share_budget_s: Annotated[
        float, Meta(gt=0, description="longest that asking for the one probe's lease may hold up a call")
    ] = 0.5
    most_dependencies: Annotated[
        int, Meta(ge=1, le=10_000, description="names that code may add; each is a metric's label")
    ] = 200

    @property
    def shares(self) -> bool:
        """Whether any state is, or may come to be, shared with other processes."""
        return self.defaults.shared or any(each.shared for each in self.dependencies.values())


def guard_options(settings: Dependency) -> dict[str, Any]:
    """The keyword arguments of the Guard that these settings mean; what to retry on only code can say."""
    return {
        "timeout_s": settings.timeout_s or None,
        "timeouts": Timeouts(
            connect_s=settings.connect_s or None,
            first_byte_s=settings.first_byte_s or None,
            idle_s=settings.idle_s or None,
            total_s=settings.attempt_s or None,
        ),
        "breaker": _breaker(settings) if settings.breaker else None,
        "bulkhead": BulkheadRules(concurrent=settings.concurrent, queue=settings.queue)
        if settings.concurrent
        else None,
        "hedge": HedgeRules(delay_s=settings.hedge_delay_s or None, share=settings.hedge_share)
        if settings.hedge
        else None,
        "budget": Budget(settings.budget, settings.budget_floor),
    }


def retry_of(settings: Dependency, on: On) -> Retry:
    """The retries that these settings mean."""
    return Retry(
        on=on,
        attempts=settings.attempts,
        first_s=settings.first_wait_s,
        longest_s=settings.longest_wait_s,
        longest_hint_s=settings.longest_retry_after_s,
    )


def _breaker(settings: Dependency) -> BreakerRules:
    return BreakerRules(
        failures=settings.failures,
        ratio=settings.ratio,
        minimum_calls=settings.minimum_calls,
        window_s=settings.window_s,
        open_s=settings.open_s,
        longest_open_s=settings.longest_open_s,
        recovery=settings.recovery,
        lease_s=settings.lease_s,
        cool_down=settings.cool_down,
    )
