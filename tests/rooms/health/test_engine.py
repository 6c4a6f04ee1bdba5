import asyncio
import logging

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import Misconfigured, unavailable
from holdfast.kernel.room import Check, Finding
from holdfast.kernel.tasks import Supervisor
from holdfast.rooms.health.engine import HealthEngine
from tests.meters import RecordingMeter
from tests.waiting import until


class Bench:
    """An engine over the checks given, with a clock of its own."""

    def __init__(self, *checks, timeout_s=0.02, interval_s=0.001):
        self.clock = ManualClock()
        self.meter = RecordingMeter()
        self.supervisor = Supervisor()
        self.engine = HealthEngine(
            clock=self.clock,
            meter=self.meter,
            supervisor=self.supervisor,
            checks=lambda: checks,
            interval_s=interval_s,
            timeout_s=timeout_s,
            jitter=0.1,
            stale_after=3.0,
        )

    async def __aenter__(self):
        self.engine.start()
        return self

    async def __aexit__(self, *raised):
        await self.engine.stop()
        await self.supervisor.stop(1.0)

    def state(self, name="it"):
        return next(state for state in self.engine.states() if state.name == name)

    async def until(self, holds):
        await until(lambda: holds(self))


def check(probe, name="it", **more):
    return Check(name, probe, interval_s=0.001, **more)


def saying(*findings):
    """A probe that gives one finding after the other and then stays with the last."""
    left = list(findings)

    async def probe():
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, BaseException):
            raise found
        return found

    return probe


async def test_a_check_is_unknown_until_its_probe_came_back():
    gate = asyncio.Event()

    async def probe():
        await gate.wait()
        return Finding("ok", facts={"rows": 3})

    async with Bench(check(probe, required=True), timeout_s=20) as bench:
        await asyncio.sleep(0)
        assert bench.state().status == "unknown"
        gate.set()
        await bench.until(lambda b: b.state().status == "ok")
        assert bench.state().facts == {"rows": 3}


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (ValueError("no such host"), "ValueError: no such host"),
        (OSError("postgresql://app:s3cret@db refused"), "OSError: postgresql://***@db refused"),
        (unavailable("the pool is empty", 1), "the pool is empty"),
        (asyncio.CancelledError(), "the probe was cancelled"),
        (Finding("splendid"), "the probe answered 'splendid', which is none of ['degraded', 'down', 'ok']"),
    ],
)
async def test_a_probe_that_fails_is_down_and_says_why(failure, detail):
    async with Bench(check(saying(failure))) as bench:
        await bench.until(lambda b: b.state().status == "down")
        assert bench.state().detail == detail


async def test_checks_go_on_after_a_failure():
    async with Bench(check(saying(ValueError("x"), Finding("ok")))) as bench:
        await bench.until(lambda b: b.state().status == "ok")


async def test_a_hung_probe_is_down_and_is_asked_again_once_its_cancellation_took():
    asked = 0

    async def probe():
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    async with Bench(check(probe)) as bench:
        await bench.until(lambda b: asked >= 3)
        assert bench.state().status == "down"
        assert bench.state().detail == "timed out after 0.02 s"


async def test_no_second_probe_is_piled_on_one_that_ignores_its_cancellation():
    asked = 0
    refused = 0
    release = asyncio.Event()

    async def probe():
        nonlocal asked, refused
        asked += 1
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                refused += 1
        return Finding("ok")

    try:
        async with Bench(check(probe), check(saying(Finding("ok")), "other")) as bench:
            await bench.until(lambda b: b.state().status == "down")
            bench.clock.advance(90)
            await bench.until(lambda b: "90" in b.state().detail)
            assert asked == 1
            assert refused >= 1
            assert bench.state().detail == "timed out after 0.02 s; that probe has run for 90.0 s"
            assert bench.state().running_s == 90.0
            await bench.until(lambda b: b.state("other").status == "ok")
            release.set()
            await bench.until(lambda b: b.state().status == "ok")
            assert bench.state().running_s is None
    finally:
        release.set()  # else the probe, which cannot be cancelled, would hold up the loop's end


async def test_the_late_failure_of_an_abandoned_probe_is_taken(caplog):
    release = asyncio.Event()
    failed = asyncio.Event()

    async def probe():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await release.wait()
            failed.set()
            raise ValueError("too late") from None

    bench = Bench(check(probe))
    async with bench:
        await bench.until(lambda b: b.state().status == "down")
        release.set()
        await failed.wait()
    assert "never retrieved" not in caplog.text


async def test_a_change_is_logged_once_and_a_steady_state_not_at_all(caplog):
    caplog.set_level(logging.DEBUG, "holdfast.health")
    down = [Finding("down", "password=hunter2 refused")] * 3
    async with Bench(check(saying(Finding("ok"), *down, Finding("ok")))) as bench:
        await bench.until(lambda b: b.meter.count("holdfast_health_check_seconds", "it") >= 8)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("WARNING", "check it is down: password=*** refused"),
        ("INFO", "check it is ok again"),
    ]


async def test_the_gauge_follows_the_last_answer():
    up = ("holdfast_health_check_up", "it")
    async with Bench(check(saying(Finding("degraded"), Finding("down")))) as bench:
        await bench.until(lambda b: b.meter.values(*up)[-1:] == [0])
        assert bench.meter.values(*up)[:2] == [1, 0]


async def test_an_answer_grows_old_when_nobody_asks_any_more():
    async with Bench(check(saying(Finding("ok")), name="it"), interval_s=3600) as bench:
        await bench.until(lambda b: b.state().status == "ok")
        bench.clock.advance(3 * 3600 + 1)
        assert bench.state().status == "degraded"


async def test_a_room_may_ask_for_a_longer_interval_and_a_shorter_limit_but_not_the_reverse():
    patient = Check("patient", saying(Finding("ok")), interval_s=60, timeout_s=0.01)
    hasty = Check("hasty", saying(Finding("ok")), interval_s=0.0001, timeout_s=999)
    async with Bench(patient, hasty, interval_s=10, timeout_s=1) as bench:
        await bench.until(lambda b: all(state.status == "ok" for state in b.engine.states()))
        bench.clock.advance(31)
        assert [state.status for state in bench.engine.states()] == ["ok", "degraded"]


async def test_two_checks_of_one_name_stop_the_start():
    bench = Bench(check(saying(Finding("ok"))), check(saying(Finding("ok"))))
    with pytest.raises(Misconfigured, match="it"):
        bench.engine.start()


async def test_start_and_stop_may_be_called_twice_and_again():
    asked = 0

    async def probe():
        nonlocal asked
        asked += 1
        return Finding("ok")

    bench = Bench(check(probe), interval_s=3600)
    bench.engine.start()
    bench.engine.start()
    await bench.until(lambda b: b.state().status == "ok")
    assert asked == 1
    await bench.engine.stop()
    await bench.engine.stop()
    assert bench.engine.stopping
    bench.engine.start()
    assert not bench.engine.stopping
    await bench.until(lambda b: asked == 2)
    await bench.engine.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("holdfast:")]


async def test_the_stop_of_the_supervisor_ends_the_asking():
    bench = Bench(check(saying(Finding("ok"))))
    bench.engine.start()
    await bench.until(lambda b: b.state().status == "ok")
    assert await bench.supervisor.stop(20.0) == []
    assert bench.engine.stopping
