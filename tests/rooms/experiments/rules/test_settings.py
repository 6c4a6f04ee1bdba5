"""Settings that cannot be are refused by name, and people are no bots."""

import re

import pytest

from holdfast.rooms.experiments.rules.experiments import Measure, Metric
from holdfast.rooms.experiments.rules.settings import BOTS, Config


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"header": "x-변형"}, "header"),
        ({"header": "x-variant\r\nset-cookie"}, "header"),
        ({"header": "x variant"}, "header"),
        ({"device_header": "기기"}, "device_header"),
        ({"bots": "(bot"}, "bots"),
    ],
)
def test_what_cannot_be_is_named(given, named):
    with pytest.raises(ValueError, match=f"^{named} = "):
        Config(**given)


def test_two_metrics_of_one_name_are_refused():
    metric = Metric("bought", measure=Measure(action="buy"))
    with pytest.raises(ValueError, match="'bought' stands there twice"):
        Config(metrics=[metric, metric])


def test_no_header_and_no_bots_can_be():
    assert Config(header="", bots="").header == ""


@pytest.mark.parametrize(
    ("agent", "is_bot"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Mozilla/5.0 (compatible; Yeti/1.1; +http://naver.me/spd)", True),
        ("Mozilla/5.0 (compatible; Daum/4.1; +http://cs.daum.net/faq/15/4118.html)", True),
        ("facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com", True),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", True),
        ("kube-probe/1.29", True),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 DaumApps/6.5.0", False),
        ("Mozilla/5.0 (Linux; Android 10; CUBOT P40) Chrome/90.0 Mobile Safari/537.36", False),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-S911N) Chrome/110.0 Mobile Safari/537.36;KAKAOTALK 2410230",
            False,
        ),
        ("Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 NAVER(inapp; search; 1000; 12.6.0; 15PRO)", False),
    ],
)
def test_bots_are_known_by_their_agents_and_people_in_apps_are_none(agent, is_bot):
    assert bool(re.search(BOTS, agent, re.IGNORECASE)) is is_bot
