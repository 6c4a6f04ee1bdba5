"""The table, the rounding, and the ways to write a limit."""

import pytest

from holdfast.rooms.limits.rules.charge import Limit
from holdfast.rooms.limits.rules.policy import POLICIES, TIERS, Policy, faults, name_of, parse_rate, scaled


def test_the_table_is_the_promised_one():
    assert {name: (p.quota, p.window_s, p.burst) for name, p in POLICIES.items()} == {
        "submission": (10, 300, 3),
        "feedback_request": (20, 300, 5),
        "ai_generation": (5, 600, 2),
        "recommendation_request": (15, 300, 3),
        "login_attempt": (5, 300, 0),
        "api_call": (100, 60, 20),
    }
    assert TIERS == {"FREE": 1.0, "PREMIUM": 2.0, "ADMIN": 10.0}
    assert all(faults(policy) == "" for policy in POLICIES.values())


@pytest.mark.parametrize(
    ("quota", "burst", "factor", "expected"),
    [
        (10, 3, 0.8, (8, 2)),
        (5, 2, 0.8, (4, 1)),
        (10, 3, 0.7, (7, 2)),  # 10 * 0.7 is 6.999... in floats
        (100, 20, 1.1, (110, 22)),
        (5, 2, 0.01, (1, 0)),
        (15, 3, 1.5, (22, 4)),
    ],
)
def test_quota_and_burst_are_rounded_down_and_a_quota_is_at_least_one(quota, burst, factor, expected):
    limit = scaled(Policy("x", quota, 60, burst), factor)
    assert (limit.quota, limit.burst) == expected
    assert limit == Limit("x", *(limit.quota, 60.0, limit.burst))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10/minute", (10, 60.0, None)),
        ("10 per minute", (10, 60.0, None)),
        ("5 / 10 minutes", (5, 600.0, None)),
        ("100/60s", (100, 60.0, None)),
        ("100/60 + 20", (100, 60.0, 20)),
        ("1000/Hour+0", (1000, 3600.0, 0)),
        ("7/2d", (7, 172_800.0, None)),
        ("3/0.5s", (3, 0.5, None)),
    ],
)
def test_a_limit_may_be_written_in_words(text, expected):
    assert parse_rate(text) == expected


@pytest.mark.parametrize(
    "text", ["", "10", "ten/minute", "10/fortnight", "0/minute", "5/0s", "-1/s", "1/s/s"]
)
def test_what_is_no_limit_says_how_to_write_one(text):
    with pytest.raises(ValueError, match="10/minute"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Policy("Bad Name", 1, 1), "Bad Name"),
        (Policy("x", 0, 60), "action x: a quota of 0"),
        (Policy("x", 1, 0), "action x: a window of 0"),
        (Policy("x", 1, float("inf")), "action x: a window"),
        (Policy("x", 1, 60, -1), "action x: a burst of -1"),
        (Policy("x", 1, 60, by=()), "action x: counted by nothing"),
        (Policy("x", 1, 60, by=("user+shoe",)), "action x: cannot count by 'user+shoe'"),
        (Policy("x", 1, 60, priority=4), "action x: a priority of 4"),
        (Policy("x", 1, 60, algorithm="leaky"), "action x: algorithm 'leaky'"),
    ],
)
def test_a_bad_policy_names_itself(policy, said):
    assert faults(policy).startswith(said) or said in faults(policy)


def test_a_second_count_has_a_name_of_its_own():
    assert name_of("api_call", "user", True) == "api_call"
    assert name_of("api_call", "tenant+route", False) == "api_call-tenant-route"
