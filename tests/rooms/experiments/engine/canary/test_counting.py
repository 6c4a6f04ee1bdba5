"""What is counted as what, in which arm and period."""

import pytest

from holdfast.rooms.experiments.engine.canary import counting
from holdfast.rooms.experiments.rules.outcomes import EXPOSURE, Outcome, Use
from holdfast.rooms.experiments.rules.releases import Gate
from tests.rooms.experiments.engine.canary.lives import NAME, Process, release

VOTES = Gate("votes", of="event", action="vote", bad_below=0.0)
HELP = Gate("help", of="event", action="help")


async def begun(database, *gates, **changes):
    process = await Process(database).start()
    events = [gate.action for gate in gates if gate.of == "event"]
    await process.store.tracked(dict.fromkeys(events, 1))
    await process.releases.operating.define(release(gates=gates, shares=(5000, 10_000), **changes))
    await process.releases.start(NAME)
    return process


async def sums(process, gate):
    """(n, bad) of the treatment and of control."""
    standing = await process.standing()
    found = {
        (each.arm, each.gate): (each.n, each.bad) for each in await process.store.sums(NAME, standing.period)
    }
    return [found.get((arm, gate), (0, 0)) for arm in ("treatment", "control")]


def of_each(process, most):
    """Users of both arms, so many of each."""
    users = [f"user-{n}" for n in range(most * 20)]
    arms = {
        arm: [user for user in users if process.arm(user).variant == arm] for arm in ("treatment", "control")
    }
    return arms["treatment"][:most], arms["control"][:most]


def event(process, user, action, value=None, uses=None):
    process.changes.intake.called(
        Outcome(kind="event", at_s=process.clock.wall(), name=action, user=user, value=value, uses=uses or {})
    )


async def test_errors_and_slow_requests(sqlite_database):
    process = await begun(sqlite_database, Gate("errors"), Gate("latency", of="latency", target_s=0.5))
    treated, others = of_each(process, 10)
    process.serve(treated, lambda arm, at: at < 2, seconds=lambda arm, at: 0.6 if at == 9 else 0.5)
    process.serve(others, seconds=0.1)
    await process.changes.flush()
    assert await sums(process, "errors") == [(10, 2), (10, 0)]
    assert await sums(process, "latency") == [(10, 1), (10, 0)]
    examples = await process.store.examples(NAME, 1)
    assert sorted((each.arm, each.kind) for each in examples) == [
        ("treatment", "failed"),
        ("treatment", "failed"),
        ("treatment", "slow"),
    ]


async def test_calls_count_where_calls_are_measured_and_requests_where_requests_are(sqlite_database):
    process = await begun(sqlite_database, Gate("errors"), measure="call")
    treated, _ = of_each(process, 4)
    process.serve(treated, kind="request")
    await process.changes.flush()
    assert await sums(process, "errors") == [(0, 0), (0, 0)]
    process.serve(treated, kind="call")
    await process.changes.flush()
    assert await sums(process, "errors") == [(4, 0), (0, 0)]


async def test_events_by_their_value_belong_to_the_arm_of_their_user(sqlite_database):
    process = await begun(sqlite_database, VOTES)
    treated, others = of_each(process, 5)
    for at, user in enumerate(treated):
        event(process, user, "vote", value=-1.0 if at < 3 else 1.0)
    for user in others:
        event(process, user, "vote", value=0.0)
    event(process, "", "vote", value=-1.0)  # nobody's
    event(process, treated[0], "vote")  # without a value
    event(process, treated[0], "click", value=-1.0)
    await process.changes.flush()
    assert await sums(process, "votes") == [(5, 3), (5, 0)]


async def test_an_event_that_says_what_was_used_is_believed(sqlite_database):
    process = await begun(sqlite_database, VOTES)
    phase = (await process.standing()).period
    _, others = of_each(process, 1)
    event(process, others[0], "vote", 1.0, {NAME: Use("treatment", "device-7", phase)})
    await process.changes.flush()
    assert await sums(process, "votes") == [(1, 0), (0, 0)]


async def test_units_that_did_it_among_those_exposed(database):
    process = await begun(database, HELP)
    treated, others = of_each(process, 6)
    for _ in range(2):
        process.serve(treated[:5])
        process.serve(others[:4])
        for user in (treated[0], treated[1], treated[0], treated[5], others[0]):
            event(process, user, "help")
        await process.changes.flush()
        process.clock.advance(100)
    assert await sums(process, "help") == [(5, 2), (4, 1)]
    # Exposed after all, it counts from then on; what it did before does not.
    event(process, treated[5], EXPOSURE, uses={NAME: process.arm(treated[5])})
    await process.changes.flush()
    assert await sums(process, "help") == [(6, 2), (4, 1)]
    event(process, treated[5], "help")
    await process.changes.flush()
    assert await sums(process, "help") == [(6, 3), (4, 1)]


async def test_a_unit_that_errs_counts_once_for_a_minute(database):
    process = await begun(database, Gate("errors"))
    [user], _ = of_each(process, 1)
    process.serve([user])
    for seconds in (1, 1, 1, 50):  # the last is within the burst, in the next minute by the clock
        process.clock.advance(seconds)
        process.serve([user] * 3, lambda arm, at: True)
        await process.changes.flush()
    assert await sums(process, "errors") == [(2, 1), (0, 0)]
    process.clock.advance(30)
    process.serve([user], lambda arm, at: True)
    await process.changes.flush()
    assert await sums(process, "errors") == [(3, 2), (0, 0)]


async def test_the_warm_up_is_dropped_in_both_arms_alike(sqlite_database):
    process = await begun(sqlite_database, Gate("errors"), warm_up_s=30.0)
    await process.changes.turn()
    for _ in range(4):
        process.clock.advance(10)
        process.serve([f"user-{n}" for n in range(100)], lambda arm, at: arm == "treatment" and at % 4 == 0)
        await process.changes.flush()
        await process.changes.turn()
        if process.clock.wall() < 1_750_000_030:
            shown = await process.releases.shown(NAME)
            assert (shown.verdict.kind, shown.page.gates[0].treatment.units) == ("EXTEND", 0)
    shown = await process.releases.shown(NAME)
    assert 0 < shown.page.gates[0].treatment.units < 100


async def test_when_too_much_waits_outcomes_are_let_go_whole(sqlite_database, monkeypatch):
    monkeypatch.setattr(counting, "MOST_WAITING", 3)
    process = await begun(sqlite_database, Gate("errors"))
    users = [f"user-{n}" for n in range(20)]
    process.serve(users, lambda arm, at: at < 3)
    await process.changes.flush()
    treated, control = await sums(process, "errors")
    assert (treated[0] + control[0], treated[1] + control[1]) == (3, 3)
    assert process.releases.figures.lost == 17


async def test_at_most_so_many_examples_are_kept(sqlite_database):
    process = await begun(sqlite_database, Gate("errors"), Gate("latency", of="latency", target_s=0.5))
    treated, others = of_each(process, 40)
    process.serve(treated + others, lambda arm, at: True, seconds=1.0)
    await process.changes.flush()
    page = await process.releases.report(NAME)
    for arm in ("treatment", "control"):
        those = [example for example in page.examples if example.arm == arm]
        assert len(those) == 25


@pytest.mark.parametrize("unit", ["김민아", "\udcff", "a" * 10_000, ""])
def test_a_unit_is_hidden_whatever_it_is(unit):
    assert len(counting.hidden(unit)) == 16
