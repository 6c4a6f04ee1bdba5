"""Step by step, and the same as what is charged."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from holdfast.rooms.limits.rules.charge import Verdict
from holdfast.rooms.limits.rules.explain import Case, counted, explain, moment, told
from holdfast.rooms.limits.rules.factors import BANDS
from holdfast.rooms.limits.rules.policy import POLICIES, TIERS
from holdfast.rooms.limits.rules.problems import BadMoment

SEOUL = ZoneInfo("Asia/Seoul")


def case(**changes):
    policy = POLICIES[changes.pop("action", "ai_generation")]
    given = {
        "policy": policy,
        "name": policy.action,
        "priority": policy.priority,
        "tier": "premium",
        "wall_s": moment("2026-11-21T10:00", SEOUL),
        "load": 0.9,
        "identity": "user:김하늘",
    } | changes
    return explain(Case(**given), tiers=TIERS, bands=BANDS, zone=SEOUL)


def test_every_step_is_told():
    found = case()
    assert (found.tier_factor, found.hour_factor, found.load_factor) == (2.0, 0.8, 0.4)
    assert (found.quota, found.burst) == (3, 1)  # 5 and 2 times 0.64
    assert told(found) == [
        "ai_generation: 3 per 600 s + 1 burst for user:김하늘",
        "  table: ai_generation is 5 per 600 s + 2 burst",
        "  tier: PREMIUM x 2",
        "  hour: 2026-11-21 10:00 in Asia/Seoul is in the band 9-18 h x 0.8",
        "  load: 0.9, taken as 0.9, for priority 3 (low) x 0.4",
        "  rounding: 5 x 0.64 = 3.2, down to 3; burst 2 x 0.64 = 1.28, down to 1",
        "  algorithm: gcra, 4 at once, one more every 200 s",
        "  key: user:김하늘, counted as ai_generation|user:김하늘",
    ]


def test_a_tier_nobody_knows_says_why_it_is_free():
    assert "FREE, because 'gold' is not in the table," in case(tier="gold").steps[1]
    assert "FREE, because none is given," in case(tier="").steps[1]


def test_the_share_of_a_process_is_told():
    assert any(step == "share: 4 processes count apart, each 1 per 800 s" for step in case(nodes=4).steps)


def test_the_count_is_told():
    lines = told(counted(case(), Verdict(False, 0, 300.04, 120.0, source="shared")))
    assert lines[-1] == "  now: 0 left, whole again in 300.04 s, refused for 120 s (source: shared)"


def test_a_time_without_an_offset_is_the_teams():
    assert moment("2026-11-21T10:00", SEOUL) == datetime(2026, 11, 21, 1, tzinfo=UTC).timestamp()
    assert moment("2026-11-21T10:00Z", SEOUL) == datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp()
    with pytest.raises(BadMoment):
        moment("tomorrow", SEOUL)
