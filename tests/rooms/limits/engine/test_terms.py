"""The RateLimit field is written once a slot, and is the exact one all the same."""

import math
import random

import pytest

from tests.rooms.limits.rooms import Harness


@pytest.mark.parametrize("limit", ["100/60 + 20", "22/300 + 4", "7/0.5s + 1", "1000000/60", "3/7d"])
async def test_the_field_always_says_what_is_left_and_when_it_is_whole(limit):
    house = Harness(f"[limits]\nnear = 0\nhours = []\n[limits.actions]\napi_call = '{limit}'")
    line = house.admission.plans.lines_of_action["api_call"][0]
    interval_s = line.policy.window_s / line.policy.quota
    rng = random.Random(5)
    for _ in range(2_000):
        house.clock.advance(rng.choice((0.0, interval_s, rng.random() * 3 * interval_s)))
        request = house.request(user="a")
        if house.admission.admit(request.scope, request) is not None:
            continue
        debt_s = house.admission.ledger.table["api_call|user:a"] - house.clock.monotonic()
        left = math.floor(line.policy.quota + line.policy.burst - debt_s / interval_s + 1e-5)
        expected = b'"api_call";r=%d;t=%d' % (left, math.ceil(debt_s - 1e-6))
        assert dict(request.headers)[b"ratelimit"] == expected
    assert all(len(terms.states) <= 1024 for terms in line.terms.values())
