"""The commands, as somebody types them."""

import argparse

import pytest

from holdfast.kernel.errors import Problem
from tests.rooms.limits.rooms import Harness


async def run(house, name, *words):
    verb = next(verb for verb in house.room.verbs() if verb.name == name)
    parser = argparse.ArgumentParser()
    verb.arguments(parser)
    return await verb.run(parser.parse_args(words))


async def test_explain_prints_every_step_and_the_present_count(capsys):
    house = Harness("[limits]\ntimezone = 'Asia/Seoul'")
    moment = ["--at", "2026-11-21T10:00", "--load", "0.95"]
    asked = ["--user", "U", "--action", "submission", "--tier", "PREMIUM"]
    assert await run(house, "limits explain", *asked, *moment) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "submission: 16 per 300 s + 4 burst for user:U"
    assert [line.split(":")[0].strip() for line in said[1:]] == [
        "table", "tier", "hour", "load", "rounding", "algorithm", "key", "now",
    ]  # fmt: skip
    assert said[-1] == "  now: 20 left, whole again in 0 s (source: local)"


async def test_what_is_explained_is_what_is_charged(capsys):
    house = Harness()
    assert house.admitted(200, user="U", tier="PREMIUM") == 240 - 40
    await run(house, "limits explain", "--user", "U", "--action", "api_call", "--tier", "premium")
    said = capsys.readouterr().out
    assert "api_call: 200 per 60 s + 40 burst for user:U" in said
    assert "now: 40 left" in said


async def test_a_login_is_explained_by_address(capsys):
    house = Harness()
    assert await run(house, "limits explain", "--action", "login_attempt", "--ip", "2001:db8::1") == 0
    assert "for ip:2001:db8::/64" in capsys.readouterr().out


async def test_an_unknown_action_and_a_bad_time_say_what_to_do_in_one_line():
    house = Harness()
    with pytest.raises(Problem) as unknown:
        await run(house, "limits explain", "--action", "nothing")
    assert "actions are: ai_generation, api_call" in unknown.value.line()
    with pytest.raises(Problem) as late:
        await run(house, "limits explain", "--action", "api_call", "--at", "soon")
    assert "2026-11-21T10:00" in late.value.line()


async def test_list_shows_the_table_and_what_it_comes_to(capsys):
    assert await run(Harness("[limits]\nenabled = false"), "limits list") == 0
    said = capsys.readouterr().out
    row = next(line.split() for line in said.splitlines() if line.startswith("submission"))
    assert row == [
        "submission",
        "10/300",
        "s",
        "+3",
        "user",
        "gcra",
        "0",
        "10",
        "+3",
        "20",
        "+6",
        "100",
        "+30",
    ]
    assert "limits are off" in said
