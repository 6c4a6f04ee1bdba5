import asyncio

import pytest

from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.guard import BreakerRules, CircuitOpen
from holdfast.kernel.guard.outcome import NEUTRAL
from holdfast.rooms.resilience.engine.guards import UnknownDependency
from tests.rooms.resilience.world import World, fine, gone


async def test_one_name_has_one_guard_by_its_settings_or_the_defaults():
    world = World(pay={"failures": 2, "timeout_s": 7})
    assert world.guard("pay") is world.guard("pay")
    assert world.guard("pay").timeout_s == 7
    assert world.guard("pay").breaker.rules.failures == 2
    assert world.guard("mail").timeout_s == 30
    await world.fail(2)
    assert (world.state("pay"), world.state("mail")) == ("open", "closed")


async def test_options_of_the_code_hold_where_no_setting_declares_the_dependency():
    world = World(pay={"failures": 2})
    rules = BreakerRules(failures=3)
    assert world.guards.guard("pay", options={"breaker": rules}).breaker.rules.failures == 2
    guard = world.guards.guard("llm", options={"breaker": rules, "timeout_s": None})
    assert guard.breaker.rules is rules
    assert guard.timeout_s == float("inf")
    assert world.guards.guard("llm", options={"timeout_s": 1}) is guard


async def test_what_code_gives_replaces_what_was():
    world = World(pay={"attempts": 2})
    calls = []

    async def flaky():
        calls.append(1)
        await gone()

    with pytest.raises(OSError, match="gone"):
        await world.guard().call(flaky)
    assert len(calls) == 1, "without `on` nothing is retried"
    world.guards.guard("pay", on=OSError, fallback="spare")
    assert await world.guard().call(flaky) == "spare"
    assert len(calls) == 3
    world.guards.guard("pay", verdict=lambda error: NEUTRAL)
    for _ in range(20):
        await world.guard().call(flaky)
    assert world.state() == "closed"


async def test_code_cannot_add_names_without_end():
    world = World()
    for n in range(200):
        world.guard(f"d{n}")
    with pytest.raises(Misconfigured, match="number 201"):
        world.guard("one more")


async def test_a_report_says_all_of_a_dependency():
    world = World(pay={"failures": 3, "concurrent": 4, "queue": 2})
    await world.guard().call(fine)
    await world.fail(3)
    with pytest.raises(CircuitOpen):
        await world.guard().call(fine)
    world.clock.advance(2)
    report = world.guards.report("pay")
    assert (report.state, report.failures_in_a_row, report.opened, report.next_call_in_s) == ("open", 3, 1, 3)
    assert (report.attempts, report.failed, report.refused, report.busy) == (4, 3, 1, 0)
    assert (report.last_error, report.last_error_age_s, report.since_s) == ("OSError: gone", 2, 2)
    found = await world.guards.finding("pay")
    assert found.status == "down"
    assert "next call in 3.0 s" in found.detail


async def test_what_code_added_is_in_one_finding_of_its_own():
    world = World(pay={})
    assert (await world.guards.late()).status == "ok"
    await world.fail(5, "mail")
    found = await world.guards.late()
    assert found.status == "down"
    assert found.detail.startswith("mail: open")
    assert (await world.guards.finding("pay")).status == "ok"


async def test_a_reset_closes_and_an_unknown_name_is_told_the_known_ones():
    world = World(payments={}, mail={})
    await world.fail(5, "mail")
    assert (await world.guards.reset("mail")).state == "closed"
    assert await world.guard("mail").call(fine) == "fine"
    with pytest.raises(UnknownDependency) as caught:
        await world.guards.reset("payment")
    assert caught.value.status == 404
    assert "did you mean 'payments'?" in caught.value.hint
    assert caught.value.members["known"] == ["mail", "payments"]
    with pytest.raises(UnknownDependency, match="there is no dependency"):
        World().guards.known("농장")


async def test_the_log_speaks_of_openings_and_returns_once_each():
    world = World(pay={"failures": 2})
    await world.fail(2)
    world.clock.advance(5)
    await world.fail(1)
    world.clock.advance(10)
    await world.guard().call(fine)
    assert world.log.messages == [
        "dependency pay is held back for 5 s: OSError: gone",
        "dependency pay is held back for 10 s: OSError: gone",
        "dependency pay is well again after 15 s",
    ]
    line = world.log.records[0]
    assert (line.level, line.logger, line.facts["dependency"]) == ("warning", "holdfast.resilience", "pay")
    assert line.timestamp.endswith("Z")


async def test_the_figures_are_the_guards_own_numbers():
    world = World(pay={"failures": 3, "concurrent": 1, "attempts": 2})
    world.guards.guard("pay", on=OSError)
    guard = world.guard()
    await guard.call(fine)
    await world.fail(1)
    blocked = asyncio.create_task(guard.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    with pytest.raises(Exception, match="busy"):
        await guard.call(fine)
    await world.figures.publish()
    assert world.meter.values["busy_calls", "pay"] == 1
    blocked.cancel()
    await asyncio.gather(blocked, return_exceptions=True)
    await world.fail(1)
    with pytest.raises(CircuitOpen):
        await guard.call(fine)
    for _ in range(2):
        await world.figures.publish()
    counts = dict(world.meter.counts)
    assert counts == {
        ("calls_total", "pay", "ok"): 1,
        ("calls_total", "pay", "failed"): 3,
        ("calls_total", "pay", "dropped"): 1,
        ("refused_total", "pay", "bulkhead_full"): 1,
        ("refused_total", "pay", "circuit_open"): 1,
        ("retries_total", "pay"): 1,
        ("changes_total", "pay", "open"): 1,
    }
    assert world.meter.values["breaker_state", "pay"] == 1
    assert world.meter.values["budget_extras", "pay"] == 2
    assert len(world.meter.measured) == 4
