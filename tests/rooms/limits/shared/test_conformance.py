"""The scripts decide exactly as the algorithms in process do."""

import math
import random

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.ports.shared import Script
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.rules.charge import GCRA, SLIDING_COUNTER, SLIDING_WINDOW, Charge, Limit
from holdfast.rooms.limits.store.mixed import MIXED_SCRIPT
from holdfast.rooms.limits.store.scripts import GCRA_SCRIPT
from holdfast.stores.redis.client import RedisShared

from .conftest import EXACT, PATIENT, decided, ledger_over

ALGORITHMS = (GCRA, SLIDING_WINDOW, SLIDING_COUNTER)
WIDE = Limit("wide", 10_000, 300.0, 0, SLIDING_COUNTER)
"""Refuses nothing; with it a request takes the script for all algorithms."""


class Timed:
    """The real store, told what time it is: the server's own cannot be set."""

    is_up = True

    def __init__(self, shared):
        self.shared = shared
        self.now_us = 0

    def script(self, script, keys, arguments=()):
        text = script.text.replace("redis.call('TIME')", "{0, tonumber(ARGV[#ARGV])}", 1)
        assert text != script.text
        assert "/ 1000)" in text
        # Ends are real time, which on a busy machine may pass faster than the time it is told.
        timed = Script(script.name, text.replace("/ 1000)", "* 1000)"))
        return self.shared.script(timed, keys, [*arguments, self.now_us])

    def state(self):
        return self.shared.state()


def limits_of(algorithm):
    """As in the default policy, and one whose interval is no whole number of microseconds."""
    return [
        Limit("submission", 10, 300.0, 3, algorithm),
        Limit("api_call", 100, 60.0, 20, algorithm),
        Limit("login_attempt", 5, 300.0, 0, algorithm),
        Limit("odd", 7, 60.0, 0, algorithm),
        Limit("quick", 5, 1.0, 1, algorithm),
    ]


def arrivals(seed, count):
    """Microseconds of arrival: bursts, the same instant, pauses."""
    rng = random.Random(seed)
    now_us = 1_000_000_000
    for _ in range(count):
        long = rng.randrange(90_000_000) if rng.random() < 0.01 else 0
        now_us += rng.choice([0, 1, 1_000, rng.randrange(300_000), long])
        yield now_us


async def compare(redis_database, limits, seed, count, besides=()):
    """(decisions, admitted, differences in the decision, in what is said with it) of both ledgers."""
    shared = RedisShared(redis_database, PATIENT)
    await shared.start()
    timed = Timed(shared)
    clock = ManualClock(monotonic_s=0.0)
    ledger = ledger_over(timed, clock, EXACT, "one")
    local = LocalLedger(clock.monotonic)
    rng = random.Random(seed + 1)
    admitted, other_decision, other_words = 0, [], []
    for now_us in arrivals(seed, count):
        clock.advance(now_us / 1e6 - clock.monotonic())
        timed.now_us = round(clock.monotonic() * 1e6)
        chosen = rng.sample(limits, rng.choice([1, 1, 2, 3]))
        charges = [Charge(limit, f"user:{rng.randrange(3)}", rng.choice([1, 1, 1, 2, 6])) for limit in chosen]
        charges += [Charge(limit, "everybody") for limit in besides]
        expected = local.charge(charges)
        got = await decided(ledger, charges)
        admitted += got.allowed
        if got.allowed is not expected.allowed:
            other_decision.append((expected, got))
        elif got.source == "shared" and not says_the_same(got, expected):
            other_words.append((expected, got))
    await shared.stop()
    return admitted, other_decision, other_words


def says_the_same(got, expected):
    # 1 ms: an odd interval is rounded up to the microsecond, and the excess adds up while debt lasts.
    same_wait = got.retry_after_s == expected.retry_after_s or math.isclose(
        got.retry_after_s, expected.retry_after_s, abs_tol=1e-3
    )
    if not same_wait or got.remaining != expected.remaining:
        # Where two limits refuse until the same moment, either may be named.
        return same_wait and got.index != expected.index and not got.allowed
    return got.index != expected.index or math.isclose(got.reset_s, expected.reset_s, abs_tol=1e-3)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_the_same_arrivals_are_decided_alike(redis_database, algorithm):
    admitted, decisions, words = await compare(redis_database, limits_of(algorithm), 5, 6_000)
    assert 500 < admitted < 5_500
    assert decisions == []
    assert words == []


async def test_the_same_arrivals_are_decided_alike_by_the_script_for_all_algorithms(redis_database):
    admitted, decisions, words = await compare(redis_database, limits_of(GCRA), 6, 4_000, [WIDE])
    assert 300 < admitted < 3_700
    assert decisions == []
    assert words == []


async def test_limits_of_different_algorithms_are_one_decision(redis_database):
    limits = [limits_of(algorithm)[at] for at, algorithm in enumerate(ALGORITHMS)]
    admitted, decisions, words = await compare(redis_database, limits, 7, 4_000)
    assert 300 < admitted < 3_700
    assert decisions == []
    assert words == []


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_refunds_come_to_the_same(redis_database, algorithm):
    shared = RedisShared(redis_database, PATIENT)
    await shared.start()
    timed = Timed(shared)
    clock = ManualClock(monotonic_s=1_000.0)
    ledger, local = ledger_over(timed, clock, EXACT, "one"), LocalLedger(clock.monotonic)
    rng = random.Random(3)
    limit = Limit("a", 10, 300.0, 3, algorithm)
    for _ in range(600):
        clock.advance(rng.choice([0.0, 1.0, 20.0]))
        timed.now_us = round(clock.monotonic() * 1e6)
        charges = [Charge(limit, "user:1", rng.choice([1, 2, 3]))]
        expected, got = local.charge(charges), await decided(ledger, charges)
        assert got.allowed is expected.allowed
        assert got.source == "remembered" or got.remaining == expected.remaining
        if got.allowed and rng.random() < 0.4:
            local.refund(charges)
            ledger.refund(charges)
    await shared.stop()


def test_both_scripts_ask_the_server_for_the_time_once():
    for script in (GCRA_SCRIPT, MIXED_SCRIPT):
        assert script.text.count("redis.call('TIME')") == 1
