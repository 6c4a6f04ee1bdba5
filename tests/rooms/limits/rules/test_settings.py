"""The `[limits]` section, as the file gives it."""

import tomllib

import pytest

from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.limits.rules.policy import POLICIES
from holdfast.rooms.limits.rules.settings import Config


def read(text="", env=None):
    overrides = tomllib.loads(text)
    return load_settings({"limits": Config}, overrides=overrides, env=env).section("limits", Config)


def test_silence_means_the_table():
    config = read()
    assert config.policies() == dict(POLICIES)
    assert config.enabled
    assert config.timezone == "UTC"
    assert [(band.since, band.until, band.factor) for band in config.bands()] == [(9, 18, 0.8), (23, 6, 1.5)]


def test_actions_are_changed_and_added():
    config = read("""
        [limits]
        algorithm = "sliding_counter"
        [limits.actions]
        api_call = "50/minute + 5"
        export = {limit = "3 per hour", by = ["user", "tenant+route"], priority = 3, algorithm = "gcra"}
        submission = {burst = 0}
    """)
    found = config.policies()
    assert (found["api_call"].quota, found["api_call"].window_s, found["api_call"].burst) == (50, 60.0, 5)
    assert found["api_call"].algorithm == "sliding_counter"
    assert found["export"].by == ("user", "tenant+route")
    assert (found["export"].algorithm, found["export"].priority) == ("gcra", 3)
    assert (found["submission"].quota, found["submission"].burst) == (10, 0)
    assert found["login_attempt"].by == ("ip",)


def test_tiers_and_hours():
    config = read("""
        [limits]
        tiers = {premium = 3.0, Partner = 5.0}
        hours = [{from = 0, to = 24, factor = 0.5}]
    """)
    assert config.all_tiers() == {"FREE": 1.0, "PREMIUM": 3.0, "ADMIN": 10.0, "PARTNER": 5.0}
    assert [band.covers(hour) for band in config.bands() for hour in (0, 12, 23)] == [True] * 3
    assert read("[limits]\nhours = []").bands() == []


def test_routes_come_before_our_own():
    config = read("""
        [[limits.routes]]
        path = "/api/v2/recommend/personalized"
        method = "post"
        action = ["ai_generation", "submission"]
        cost = 2
        by = "tenant"
        priority = 0
    """)
    rule = config.rules()[0]
    assert (rule.method, rule.actions, rule.cost) == ("POST", ("ai_generation", "submission"), 2)
    assert (rule.by, rule.priority) == (("tenant",), 0)


def test_actions_may_come_from_the_environment():
    config = read(env={"HOLDFAST_LIMITS_ACTIONS": '{"api_call": "7/s"}', "HOLDFAST_LIMITS_ENABLED": "false"})
    assert config.policies()["api_call"].quota == 7
    assert not config.enabled


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limits.actions]\napi_call = 'often'", "action api_call: 'often' is no limit"),
        ("[limits.actions]\nmine = {burst = 3}", "action mine: it needs a limit"),
        ("[limits.actions]\n'Bad Name' = '1/s'", "Bad Name"),
        ("[limits.actions.api_call]\nby = 'shoe'", "action api_call: cannot count by 'shoe'"),
        ("[limits.actions.api_call]\nlimt = '1/s'", "limt"),
        ("[limits]\neverywhere = 'nothing'", "everywhere names 'nothing'"),
        ("[limits]\ntiers = {FREE = inf}", "tiers.FREE"),
        ("[limits]\ntiers = {FREE = 0}", "tiers"),
        ("[[limits.routes]]\npath = '/x'\naction = 'nope'", "/x names 'nope'"),
        ("[[limits.routes]]\npath = '/x'\nby = 'shoe'", "/x cannot count by 'shoe'"),
        ("[[limits.routes]]\npath = 'x'", "path"),
        ("[limits]\nhours = [{from = 9, to = 25, factor = 1}]", "hours"),
    ],
)
def test_a_bad_setting_names_itself(text, said):
    with pytest.raises(Misconfigured) as caught:
        read(text)
    assert said in str(caught.value)
