"""The attempts of one call over scripted providers."""

import asyncio
import contextlib

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.errors import Problem
from holdfast.kernel.guard import Budget, Retry
from holdfast.ports.model import ModelFailed
from holdfast.rooms.llm.engine.attempts import Limits, ask_whole
from holdfast.rooms.llm.engine.tries import Tries
from holdfast.rooms.llm.rules.asking import text_of
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.settings import Config, Deployment, ModelSettings
from tests.rooms.llm.engine.scripted import HANG, Scripted, always, fails, paths

BODY = {"messages": [{"role": "user", "content": "안녕"}]}


class Trial:
    """One call: what was told of it, and how long it waited."""

    def __init__(
        self,
        config: Config | None = None,
        budget: Budget | None = None,
        clock: ManualClock | None = None,
        **providers: Scripted,
    ) -> None:
        self.clock = clock or SystemClock()
        self.paths, self.providers = paths(config, self.clock, **providers)
        self.told: list[tuple[str, str]] = []
        self.waits: list[float] = []
        self.budget = budget or Budget(floor=100)

    async def run(self, *, total_s: float = 30.0, hedge_s: float = 0.0, model: str = "m"):
        tries = Tries(
            self.paths.of(model),
            Retry(on=ProviderFailed, attempts=1_000),
            self.budget,
            clock=self.clock,
            chance=always(0.5),
            sleep=self._sleep,
            told=self._told,
        )
        self.tries = tries
        limits = Limits(self.clock, self.clock.monotonic() + total_s)
        found, made = await tries.run(
            lambda path, within, made: ask_whole(path, BODY, within, made), limits, hedge_s
        )
        return text_of(found), made

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        if isinstance(self.clock, ManualClock):
            self.clock.advance(seconds)

    def _told(self, made) -> None:
        kind = (
            made.failed.kind.value if isinstance(made.failed, ProviderFailed) else type(made.failed).__name__
        )
        self.told.append((made.path.name, "lost" if made.lost else kind))


async def _whole(path, within, made):
    return await ask_whole(path, BODY, within, made)


async def test_the_first_answer_is_the_answer():
    trial = Trial(a=Scripted("from a"), b=Scripted("from b"))
    text, made = await trial.run()
    assert (text, made.path.name, made.number, trial.told) == ("from a", "a", 1, [])
    assert trial.providers["a"].calls[0]["model"] == "a"


@pytest.mark.parametrize(
    "kind",
    [Kind.CONNECTION, Kind.SERVER, Kind.GARBLED, Kind.CUT, Kind.RATE_LIMITED, Kind.AUTH, Kind.NOT_FOUND],
)
async def test_another_deployment_answers_at_once(kind):
    trial = Trial(a=Scripted(fails(kind)), b=Scripted("from b"))
    text, made = await trial.run()
    assert (text, made.number, trial.waits, trial.told) == ("from b", 2, [], [("a", kind.value)])


async def test_what_may_pass_is_tried_again_after_a_wait():
    trial = Trial(a=Scripted(fails(Kind.SERVER), "at last"))
    assert (await trial.run())[0] == "at last"
    assert trial.waits == [0.5]
    assert trial.tries.waited_s == 0.5


async def test_the_retry_after_is_obeyed_to_the_boundary():
    config = Config(deployments={"a": Deployment(base_url="x", serves=("m",), attempts=3)})
    slow = Scripted(fails(Kind.RATE_LIMITED, retry_after_s=60.0), "at last")
    trial = Trial(config, clock=ManualClock(), a=slow)
    assert (await trial.run(total_s=100))[0] == "at last"
    assert trial.waits == [pytest.approx(60.5)]


async def test_a_wait_beyond_the_deadline_fails_now_with_the_hint():
    trial = Trial(clock=ManualClock(), a=Scripted(fails(Kind.RATE_LIMITED, retry_after_s=60.0)))
    with pytest.raises(ModelFailed) as found:
        await trial.run(total_s=10)
    assert found.value.status == 429
    assert found.value.retry_after_s == pytest.approx(60, abs=1)
    assert trial.waits == []


async def test_what_the_caller_must_change_is_not_routed_around():
    trial = Trial(a=Scripted(fails(Kind.CONTENT_FILTER)), b=Scripted("from b"))
    with pytest.raises(ModelFailed) as found:
        await trial.run()
    assert found.value.status == 400
    assert trial.providers["b"].calls == []


async def test_each_key_of_a_deployment_is_a_way_of_its_own():
    from holdfast.kernel.config import Secret

    settings = Deployment(keys=(Secret("k1"), Secret("k2")), serves=("m",))
    provider = Scripted(fails(Kind.AUTH), "with the other key")
    trial = Trial(Config(deployments={"a": settings}), a=provider)
    assert (await trial.run())[0] == "with the other key"
    assert sorted(provider.keys) == ["k1", "k2"]


async def test_fallback_models_are_asked_in_their_order():
    deployments = {
        "a": Deployment(base_url="x", serves=("m",)),
        "b": Deployment(base_url="x", serves=("big",)),
        "c": Deployment(base_url="x", serves=("last",)),
    }
    models = {"m": ModelSettings(fallbacks=("big", "last"))}
    trial = Trial(
        Config(deployments=deployments, models=models),
        a=Scripted(fails(Kind.CONTEXT_LENGTH)), b=Scripted(fails(Kind.SILENT)), c=Scripted("from c"),
    )  # fmt: skip
    assert (await trial.run())[0] == "from c"
    assert trial.told == [("a", "context_length"), ("b", "silent")]


async def test_retries_have_a_budget_and_other_deployments_do_not():
    trial = Trial(budget=Budget(0.0, 0), a=Scripted(fails(Kind.SERVER)), b=Scripted(fails(Kind.SERVER)))
    with pytest.raises(ModelFailed) as found:
        await trial.run()
    assert trial.told == [("a", "server"), ("b", "server")]
    assert found.value.members["tried"] == ["a", "b"]


async def test_a_dead_deployment_is_left_alone_after_five_failures_and_waited_for_when_nobody_else_is_there():
    trial = Trial(clock=ManualClock(), a=Scripted(fails(Kind.SERVER)), b=Scripted("from b"))
    for _ in range(15):
        assert (await trial.run())[0] == "from b"
    assert len(trial.providers["a"].calls) == 5
    alone = Trial(clock=ManualClock(), a=Scripted(fails(Kind.SERVER)))
    for _ in range(3):
        with pytest.raises(ModelFailed):
            await alone.run(total_s=1)
    with pytest.raises(ModelFailed) as found:
        await alone.run(total_s=1)
    assert (found.value.status, found.value.members["kind"]) == (503, "overloaded")
    assert found.value.retry_after_s == pytest.approx(5, abs=1)
    assert len(alone.providers["a"].calls) == 5


async def test_a_rate_limit_holds_every_call_back_and_is_told_as_one():
    trial = Trial(clock=ManualClock(), a=Scripted(fails(Kind.RATE_LIMITED, retry_after_s=60.0)))
    for _ in range(2):
        with pytest.raises(ModelFailed) as found:
            await trial.run(total_s=1)
        assert (found.value.status, found.value.members["kind"]) == (429, "rate_limited")
        assert found.value.retry_after_s == pytest.approx(60, abs=2)
    assert len(trial.providers["a"].calls) == 1


async def test_a_wait_for_the_breaker_ends_behind_it_and_the_call_that_was_held_back_is_no_attempt():
    config = Config(deployments={"a": Deployment(base_url="x", serves=("m",), attempts=1)})
    trial = Trial(config, clock=ManualClock(), a=Scripted(fails(Kind.RATE_LIMITED, retry_after_s=7.0), "ok"))
    with pytest.raises(ModelFailed):
        await trial.run(total_s=30)
    text, made = await trial.run(total_s=30)
    assert (text, made.number) == ("ok", 1)
    assert trial.waits == [pytest.approx(7.0, abs=0.1)]


async def test_while_another_call_probes_it_is_asked_again_soon_and_not_when_the_lease_is_over():
    config = Config(deployments={"a": Deployment(base_url="x", serves=("m",), failures=1, attempts=1)})
    trial = Trial(config, clock=ManualClock(), a=Scripted(fails(Kind.SERVER), HANG, "for everyone"))
    with pytest.raises(ModelFailed):
        await trial.run()
    trial.clock.advance(5.1)
    probe = asyncio.create_task(trial.run(total_s=600))
    await trial.providers["a"].hanging.wait()
    breaker = trial.paths.all[1].guard.breaker

    async def look(seconds: float) -> None:
        trial.waits.append(seconds)
        trial.clock.advance(seconds)
        if len(trial.waits) == 2:
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)

    trial._sleep = look
    assert (await trial.run(total_s=600))[0] == "for everyone"
    assert max(trial.waits) < 2
    assert breaker.next_s(trial.clock.monotonic()) == 0


async def test_a_full_bulkhead_is_busy_and_another_deployment_is_asked():
    config = Config(deployments={"a": Deployment(base_url="x", serves=("m",), concurrent=1)})
    trial = Trial(config, a=Scripted(HANG), b=Scripted("from b"))
    first = asyncio.create_task(trial.run())
    await trial.providers["a"].hanging.wait()
    assert (await trial.run())[0] == "from b"
    assert trial.told == [("a", "busy")]
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_the_deadline_ends_an_attempt_that_hangs_and_another_deployment_gets_its_turn():
    config = Config(deployments={"a": Deployment(base_url="x", serves=("m",), attempt_s=0.05)})
    trial = Trial(config, a=Scripted(HANG), b=Scripted("from b"))
    text, _ = await trial.run()
    assert (text, trial.told, trial.providers["a"].stopped) == ("from b", [("a", "silent")], 1)


async def test_a_slow_attempt_is_hedged_and_the_loser_is_stopped_and_told_of():
    trial = Trial(a=Scripted(HANG), b=Scripted("from b"))
    text, made = await trial.run(hedge_s=0.01)
    assert (text, made.path.name, trial.told) == ("from b", "b", [("a", "lost")])
    assert trial.providers["a"].stopped == 1


async def test_a_hedge_needs_the_budget():
    trial = Trial(budget=Budget(0.0, 0), a=Scripted(HANG), b=Scripted("from b"))
    running = asyncio.create_task(trial.run(hedge_s=0.01))
    await trial.providers["a"].hanging.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert trial.told == [("a", "CancelledError")]


async def test_two_attempts_that_both_fail_are_one_failure():
    trial = Trial(a=Scripted(HANG), b=Scripted(fails(Kind.BAD_REQUEST)))
    trial.providers["a"].script = [fails(Kind.SERVER)]
    with pytest.raises(Problem):
        await trial.run(hedge_s=5, total_s=0.4)


async def test_a_caller_that_leaves_stops_the_attempt_and_makes_no_other():
    trial = Trial(a=Scripted(HANG), b=Scripted("from b"))
    running = asyncio.create_task(trial.run())
    await trial.providers["a"].hanging.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert trial.providers["a"].stopped == 1
    assert trial.providers["b"].calls == []
    assert trial.told == [("a", "CancelledError")]


async def test_a_caller_is_no_probe_while_another_deployment_is_well():
    clock = ManualClock()
    trial = Trial(clock=clock, a=Scripted(fails(Kind.SERVER)), b=Scripted("from b"))
    for path in trial.paths.all:
        path.is_probed = True
    for _ in range(15):
        clock.advance(2)
        assert (await trial.run())[0] == "from b"
    assert len(trial.providers["a"].calls) == 5
    trial.providers["b"].script = [fails(Kind.SERVER)]
    trial.providers["a"].script = ["from a"]
    clock.advance(60)
    assert (await trial.run())[0] == "from a"


async def test_a_dead_deployment_is_probed_seldom_and_found_well_within_half_a_minute():
    clock = ManualClock()
    trial = Trial(clock=clock, a=Scripted(fails(Kind.SERVER)), b=Scripted("from b"))
    path = next(path for path in trial.paths.all if path.name == "a")
    probe = trial.paths._probe_of(path)
    path.asked_at = clock.monotonic()
    sent = []
    for second in range(61):
        if second == 40:
            trial.providers["a"].script = ["well"]
        before = len(trial.providers["a"].calls)
        with contextlib.suppress(ProviderFailed):
            await probe()
        if len(trial.providers["a"].calls) > before:
            sent.append(second)
        clock.advance(1)
    assert sent == [10, 30, 50, 60]


async def test_two_answers_in_the_same_turn_are_one_answer_and_one_that_lost():
    goes = asyncio.Event()
    trial = Trial(a=Scripted(HANG), b=Scripted("from b"))

    async def both(path, within, made):
        made.sent = True
        if path.name == "b":
            goes.set()
        await goes.wait()
        return path.name

    tries = Tries(
        trial.paths.of("m"),
        Retry(on=ProviderFailed, attempts=1_000),
        trial.budget,
        clock=trial.clock,
        chance=always(0.5),
        told=trial._told,
    )
    limits = Limits(trial.clock, trial.clock.monotonic() + 30)
    found, _ = await tries.run(both, limits, 0.01)
    assert {found, trial.told[0][0]} == {"a", "b"}
    assert [how for _, how in trial.told] == ["lost"]
