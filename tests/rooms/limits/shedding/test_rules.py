"""The pure parts: the law of the limit, what stands, who is served, what is answered."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import Unavailable
from holdfast.rooms.limits.rules.concurrency import Config, Law
from holdfast.rooms.limits.rules.overload import KINDS, Overloaded, refusals
from holdfast.rooms.limits.rules.policy import CRITICAL, HIGH, LOW
from holdfast.rooms.limits.rules.queueing import Gate, Line, Standing, Waiter, level_of, places

CONFIG = Config()


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1000), st.integers(1, 5000), st.floats(0, 10), st.booleans(), st.integers(1, 60)
        ),
        max_size=60,
    ),
    st.integers(0, 1000),
)
def test_the_limit_keeps_within_its_bounds_whatever_it_is_told(told, seed):
    law, now = Law(CONFIG, random.Random(seed).random, 0.0), 0.0
    for latency_s, inside, pause_s, full, times in told:
        for _ in range(times):
            now += pause_s / times
            if full:
                law.hold_back(now)
            law.observe(latency_s, inside, now)
            assert CONFIG.least_limit <= law.limit <= CONFIG.most_limit


@given(st.lists(st.floats(1e-4, 5), min_size=1, max_size=300))
def test_what_never_held_anyone_back_changes_nothing(latencies):
    law, now = Law(CONFIG, random.Random(1).random, 0.0), 0.0
    for latency_s in latencies:
        now += 0.01
        assert not law.observe(latency_s, 3, now)
    assert law.limit == CONFIG.initial_limit


@given(st.integers(0, 10_000))
def test_collecting_latencies_until_they_are_due_is_observing_each(seed):
    """What admission does without a call leads to the same limit as `observe`."""
    config, rng = Config(initial_limit=50, window_s=0.1, remeasure_s=0.5), random.Random(seed)
    each, collected = (Law(config, random.Random(1).random, 0.0) for _ in range(2))
    now, slower, waits = 0.0, rng.choice((1e-3, 0.05)), rng.random()
    for _ in range(400):
        now += rng.expovariate(200)
        latency_s, inside, finds_none = (
            rng.expovariate(1 / slower),
            rng.randrange(1, 60),
            rng.random() < waits,
        )
        if finds_none:
            assert each.hold_back(now) == collected.hold_back(now)
        each.observe(latency_s, inside, now)
        if now < collected.due:
            collected.latencies.append(latency_s)
            collected.crowd += inside
        else:
            collected.observe(latency_s, inside, now)
        assert (collected.limit, collected.quiet) == (each.limit, each.quiet)


def test_a_stale_limit_is_given_up_when_somebody_is_held_back():
    law = Law(Config(initial_limit=100), random.Random(1).random, 0.0)
    law.limit = 7.0
    assert not law.hold_back(30.0)
    assert law.limit == 7.0
    assert law.hold_back(91.0)
    assert law.limit == 100.0


@pytest.mark.parametrize(
    ("waits", "overloaded"),
    [
        ([0.3], False),  # one handler that held the loop
        ([0.3, 0.1, 0.03, 0.01], False),  # and what it had piled up
        ([0.06, 0.06, 0.01, 0.06, 0.06], False),  # one short wait between
        ([0.06, 0.06, 0.06, 0.06], True),
        ([0.06, 0.07, 0.09, 0.12], True),
    ],
)
def test_only_a_wait_that_stands_is_overload(waits, overloaded):
    standing, now = Standing(0.1), 0.0
    for wait_s in waits:
        now += wait_s
        standing.met(wait_s, 0.05, now)
    assert standing.overloaded is overloaded


def test_overload_ends_when_for_an_interval_nobody_had_to_be_refused():
    standing = Standing(0.1)
    standing.declare(1.0)
    standing.refused(1.5)
    standing.met(0.0, 0.05, 1.55)
    assert standing.overloaded
    standing.met(0.0, 0.05, 1.65)
    assert not standing.overloaded


def test_a_wait_twice_as_long_as_the_long_one_before_is_overload_while_it_goes_on():
    standing = Standing(0.1)
    standing.met(0.12, 0.05, 1.0)
    assert not standing.meets(0.2, 0.05, 1.2)
    assert standing.meets(0.25, 0.05, 1.25)


@pytest.mark.parametrize(("priority", "level"), [(-3, 0), (0, 0), (2, 2), (3, 3), (99, 3)])
def test_any_priority_has_a_level(priority, level):
    assert level_of(priority) == level


@given(st.floats(1, 5000), st.floats(0, 0.9))
def test_places_fall_with_the_level_and_are_never_none(limit, reserve):
    found = places(limit, reserve)
    assert found == sorted(found, reverse=True)
    assert found[-1] >= 1
    assert abs(found[0] - limit) <= 1


@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "serve", "expire"]), st.integers(0, 3))))
def test_a_line_knows_how_many_wait(steps):
    line, waiting, now = Line(), [], 0.0
    for step, level in steps:
        now += 0.01
        if step == "join":
            waiting.append(Waiter(level, now, now + 0.05 * (level + 1), None))
            line.join(waiting[-1])
        elif step == "leave" and waiting:
            line.leave(waiting.pop(level % len(waiting)))
        elif step == "serve":
            served = line.serve(0, [1, 1, 1, 1], newest=bool(level % 2))
            assert (served is None) == (not waiting)
            if served is not None:
                assert served.level == min(one.level for one in waiting)
                waiting.remove(served)
        elif step == "expire":
            for one in line.expired(now, 0.08, everyone=True):
                waiting.remove(one)
            assert all(now < one.expires and now - one.since < 0.08 for one in waiting)
        assert line.size == len(waiting)
        assert line.oldest_s(now) == max((now - one.since for one in waiting), default=0.0)


def test_the_gate_refuses_the_lower_as_long_as_the_higher_had_to_be():
    gate = Gate(0.005, 0.1)
    assert gate.lets_in(LOW, 0.0, 0.005, True, 1.0)
    assert not gate.lets_in(HIGH, 0.006, 0.005, True, 1.0)
    assert gate.lets_in(CRITICAL, 0.030, 0.005, False, 1.0)
    gate.shut(HIGH, 1.0)
    assert not gate.lets_in(LOW, 0.0, 0.005, True, 1.05)
    assert gate.lets_in(HIGH, 0.0, 0.005, True, 1.05)
    assert gate.lets_in(LOW, 0.0, 0.005, True, 1.11)


def test_a_refusal_says_what_to_do_and_when():
    refusal = Overloaded(2.5)
    assert isinstance(refusal, Unavailable)
    assert refusal.status == 503
    document = json.loads(refusal.body("요청-1"))
    assert document["type"] == "urn:holdfast:problem:overloaded"
    assert document["request_id"] == "요청-1"
    assert document["retryable"] is True
    assert "Retry-After" in document["hint"]
    assert dict(refusal.headers())[b"retry-after"] == b"3"
    assert refusal.headers() is not refusal.headers()


def test_refused_callers_are_asked_back_at_different_times():
    found = refusals(1.0, 4.0, random.Random(1).random)
    times = [one.retry_after_s for one in found]
    assert len(set(times)) == KINDS
    assert min(times) == 1.0
    assert max(times) == 5.0
    assert times != sorted(times)
    assert len({dict(one.headers())[b"retry-after"] for one in found}) == 5
