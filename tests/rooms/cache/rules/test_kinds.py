"""Kinds and their settings."""

import pytest

from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.cache.rules.kinds import KindSettings, find, merge
from holdfast.rooms.cache.rules.problems import UnknownKind
from holdfast.rooms.cache.rules.settings import Config


def loaded(**cache):
    return load_settings({"holdfast": KindSettings, "cache": Config}, overrides={"cache": cache}).section(
        "cache", Config
    )


def test_the_kinds_of_the_issue_stand_without_a_setting():
    kinds = merge({})
    assert {
        name: kinds[name].ttl_s
        for name in ("default", "dashboard", "farm_list", "recommendation", "llm", "prediction")
    } == {
        "default": 300,
        "dashboard": 60,
        "farm_list": 300,
        "recommendation": 1800,
        "llm": 3600,
        "prediction": 3600,
    }
    assert (kinds["session"].ttl_s, kinds["session_short"].ttl_s) == (86_400, 1_800)


def test_settings_go_over_what_is_known_and_that_over_the_default_kind():
    config = loaded(
        kinds={
            "default": {"ttl_s": 10, "fail_safe_s": 7},
            "llm": {"ttl_s": 20},
            "weather": {"stale_s": 5},
        }
    )
    kinds = merge(config.kinds)
    assert (kinds["default"].ttl_s, kinds["default"].fail_safe_s) == (10, 7)
    assert (kinds["llm"].ttl_s, kinds["llm"].hard_s, kinds["llm"].fail_safe_s) == (20, 120, 7)
    assert (kinds["dashboard"].ttl_s, kinds["dashboard"].fail_safe_s) == (60, 7)
    assert (kinds["weather"].name, kinds["weather"].ttl_s, kinds["weather"].stale_s) == ("weather", 10, 5)


@pytest.mark.parametrize(
    "wrong", [{"ttl": 5}, {"ttl_s": 0}, {"ttl_s": -1}, {"jitter": 2}, {"ttl_s": "long"}, {"max_bytes": -1}]
)
def test_a_wrong_setting_of_a_kind_stops_the_start(wrong):
    with pytest.raises(Misconfigured, match=r"cache\.kinds"):
        loaded(kinds={"llm": wrong})


def test_an_unknown_kind_is_told_with_the_known_ones():
    with pytest.raises(UnknownKind, match="dashboard, default") as found:
        find(merge({}), "dashbord")
    assert "[cache.kinds.dashbord]" in found.value.hint
