"""The table: atomic, bounded, and never forgetting a count that is alive."""

import asyncio
import random
import tracemalloc

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.rules.charge import Charge, Limit, key_of
from tests.rooms.limits.references import TokenBucket

API = Limit("api_call", 100, 60.0, 20)
LOGIN = Limit("login_attempt", 5, 300.0)


def ledger(max_entries=1000):
    clock = ManualClock()
    return LocalLedger(clock.monotonic, max_entries=max_entries), clock


def test_all_limits_are_paid_or_none_is():
    local, _ = ledger()
    both = [Charge(API, "user:1"), Charge(LOGIN, "ip:a")]
    assert sum(local.charge(both).allowed for _ in range(8)) == 5
    left = asyncio.run(local.peek([Charge(API, "user:1", 0)]))
    assert left.remaining == 115  # three refusals took nothing from the other limit
    assert local.refusals == 3


def test_the_verdict_is_of_the_limit_that_decided():
    local, _ = ledger()
    verdict = local.charge([Charge(API, "user:1"), Charge(LOGIN, "ip:a")])
    assert (verdict.index, verdict.remaining, verdict.source) == (1, 4, "local")
    for _ in range(4):
        local.charge([Charge(LOGIN, "ip:a")])
    refused = local.charge([Charge(API, "user:1"), Charge(LOGIN, "ip:a")])
    assert (refused.allowed, refused.index, refused.retry_after_s) == (False, 1, pytest.approx(60.0))


def test_a_hit_is_a_charge_of_one_limit():
    slow, clock = ledger()
    fast = LocalLedger(clock.monotonic)
    exact = TokenBucket(100, 60_000_000, 120)
    rng = random.Random(4)
    key, now_us = key_of(API, "user:1"), 1_000_000_000
    for _ in range(20_000):
        gap_us = int(rng.expovariate(1 / 500_000))
        now_us += gap_us
        clock.advance(gap_us / 1e6)
        by_charge = slow.charge([Charge(API, "user:1")])
        debt_s = fast.hit(key, 0.6, 72.0, clock.monotonic())
        assert (debt_s >= 0) is by_charge.allowed is exact.take(now_us)
        if by_charge.allowed:
            assert debt_s == pytest.approx(by_charge.reset_s, abs=1e-6)
        else:
            assert -debt_s == pytest.approx(by_charge.retry_after_s, abs=1e-6)
    assert fast.refusals == slow.refusals > 100


def test_a_hit_beyond_the_capacity_is_refused_and_leaves_nothing():
    local, clock = ledger()
    assert local.hit("x|a", 80.0, 72.0, clock.monotonic()) == -8.0
    assert len(local) == 0
    local.hit("x|a", 1.0, 72.0, clock.monotonic())
    clock.advance(5)
    assert local.hit("x|a", 80.0, 72.0, clock.monotonic()) == -8.0


def test_a_refund_gives_back_and_a_negative_one_takes():
    local, _ = ledger()
    local.charge([Charge(LOGIN, "ip:a", 4)])
    local.refund([Charge(LOGIN, "ip:a", 3), Charge(LOGIN, "ip:unknown", 3)])
    assert asyncio.run(local.peek([Charge(LOGIN, "ip:a", 0)])).remaining == 4
    local.refund([Charge(LOGIN, "ip:new", -2)])
    assert asyncio.run(local.peek([Charge(LOGIN, "ip:new", 0)])).remaining == 3
    assert len(local) == 2


def test_no_charge_is_allowed():
    local, _ = ledger()
    assert local.charge([]).allowed
    assert asyncio.run(local.peek([])).allowed


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window", "sliding_counter"])
def test_a_full_table_never_forgets_who_is_being_counted(algorithm):
    local, clock = ledger(max_entries=500)
    limit = Limit("login_attempt", 5, 300.0, 0, algorithm)
    for _ in range(5):
        assert local.charge([Charge(limit, "user:attacker")]).allowed
    for number in range(5_000):
        local.charge([Charge(limit, f"user:{number}")])
        if number % 50 == 0:
            clock.advance(0.01)
            assert not local.charge([Charge(limit, "user:attacker")]).allowed
    assert len(local) <= 501
    assert local.shared_uses > 4_000
    assert not local.charge([Charge(limit, "user:somebody new")]).allowed  # the shared count is used up


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window", "sliding_counter"])
def test_spent_entries_make_room(algorithm):
    local, clock = ledger(max_entries=500)
    limit = Limit("login_attempt", 5, 300.0, 0, algorithm)
    for number in range(20_000):
        local.charge([Charge(limit, f"user:{number}")])
        clock.advance(2.0)
    assert local.shared_uses == 0
    # What lives at once is what came within a state's life: two windows at most.
    assert len(local) <= 2 * 300 / 2 + 200


def test_the_short_way_shares_a_count_when_the_table_is_full():
    local, clock = ledger(max_entries=100)
    let_in = sum(local.hit(f"x|user:{n}", 1.0, 10.0, clock.monotonic()) >= 0 for n in range(1000))
    assert let_in == 110  # a hundred of their own, and what one limit allows to all the others
    assert len(local) == 101


def test_names_without_end_take_bounded_memory():
    local, clock = ledger(max_entries=10_000)
    now = clock.monotonic()
    for number in range(20_000):
        local.hit(f"x|user:{number}", 30.0, 390.0, now)
    tracemalloc.start()
    try:
        for number in range(20_000, 220_000):
            local.hit(f"x|user:{number}", 30.0, 390.0, now)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(local) == 10_001
    assert grown < 200_000


def test_keys_of_any_kind_are_counted():
    local, _ = ledger()
    for name in ("user: a b", "user:\x00", "user:" + "길" * 5000, "user:\ud800", "user:|", "user:*"):
        assert sum(local.charge([Charge(LOGIN, name)]).allowed for _ in range(7)) == 5
