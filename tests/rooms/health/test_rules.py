import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.room import Finding
from holdfast.rooms.health.rules import (
    Last,
    State,
    Watched,
    assess,
    masked,
    masked_text,
    overall,
    pause_s,
    readiness,
    worst,
)

statuses = st.sampled_from(["ok", "degraded", "down", "unknown"])
states = st.lists(
    st.builds(State, name=st.sampled_from("abcdef"), status=statuses, required=st.booleans()), max_size=6
)


def watched(status="ok", at=100.0, *, detail="", facts=None, running_since=None):
    last = Last(Finding(status, detail, facts or {}), at, 0.25)
    return Watched("db", 5.0, True, False, last=last, running_since=running_since)


@pytest.mark.parametrize(
    ("status", "age_s", "shown"),
    [
        ("ok", 0, "ok"),
        ("ok", 15, "ok"),
        ("ok", 15.1, "degraded"),
        ("degraded", 1, "degraded"),
        ("degraded", 60, "degraded"),
        ("down", 1, "down"),
        ("down", 60, "down"),
    ],
)
def test_an_answer_older_than_three_intervals_is_degraded_at_best(status, age_s, shown):
    state = assess(watched(status, at=100.0), 100.0 + age_s, 3.0)
    assert state.status == shown
    assert state.age_s == pytest.approx(age_s)


def test_a_stale_answer_says_how_old_it_is_and_keeps_what_it_said():
    assert assess(watched(detail="42 rows"), 140.0, 3.0).detail == "the last answer is 40.0 s old: 42 rows"


def test_a_check_that_never_answered_is_unknown_and_has_no_age():
    state = assess(Watched("db", 5.0, running_since=99.0), 100.0, 3.0)
    assert (state.status, state.age_s, state.running_s) == ("unknown", None, 1.0)


def test_a_probe_under_way_shows_for_how_long():
    assert assess(watched("down", running_since=40.0), 100.0, 3.0).running_s == 60.0


@pytest.mark.parametrize(
    ("found", "stopping", "status", "ready"),
    [
        ([], False, "ready", True),
        ([("ok", True), ("ok", False)], False, "ready", True),
        ([("degraded", True)], False, "ready", True),
        ([("down", False), ("unknown", False)], False, "ready", True),
        ([("down", True)], False, "down", False),
        ([("unknown", True)], False, "starting", False),
        ([("unknown", True), ("down", True)], False, "down", False),
        ([("ok", True)], True, "stopping", False),
        ([], True, "stopping", False),
    ],
)
def test_readiness(found, stopping, status, ready):
    shown = [State(f"c{n}", was, required) for n, (was, required) in enumerate(found)]
    verdict = readiness(shown, stopping=stopping)
    assert (verdict.status, verdict.ready) == (status, ready)
    assert bool(verdict.reasons) is not ready


def test_the_reasons_name_every_check_that_stands_in_the_way():
    shown = [State("db", "down", True, detail="refused"), State("disk", "unknown", True), State("x", "down")]
    assert readiness(shown, stopping=False).reasons == ["db is down: refused", "disk has not answered yet"]


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ([], "ok"),
        ([("ok", True)], "ok"),
        ([("unknown", False)], "degraded"),
        ([("down", False), ("ok", True)], "degraded"),
        ([("unknown", True)], "starting"),
        ([("down", True)], "down"),
    ],
)
def test_one_word_for_all(found, word):
    assert overall([State("c", was, required) for was, required in found], stopping=False) == word


@given(states, st.booleans())
def test_only_required_checks_and_the_stop_decide_readiness(found, stopping):
    optional_well = [state if state.required else State(state.name, "ok", required=False) for state in found]
    assert readiness(found, stopping=stopping) == readiness(optional_well, stopping=stopping)


@given(states)
def test_ok_means_every_check_is_ok(found):
    assert (worst(found) == "ok") == (overall(found, stopping=False) == "ok")
    assert (worst(found) == "ok") == all(state.status == "ok" for state in found)


@given(st.floats(0.01, 1e4), st.floats(0, 0.5), st.floats(0, 1, exclude_max=True))
def test_the_pause_stays_within_the_jitter(interval_s, jitter, chance):
    pause = pause_s(interval_s, jitter, chance)
    assert interval_s * (1 - jitter) * 0.999 <= pause <= interval_s * (1 + jitter) * 1.001


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://app:s3cret@db/shop", "postgresql://***@db/shop"),
        ("redis://:p@ss@cache:6379/0", "redis://***@cache:6379/0"),
        ("amqp://u:with/slash@mq", "amqp://***@mq"),
        ("host=db password=hunter2 dbname=x", "host=db password=*** dbname=x"),
        ("PGPASSWORD='a b c' refused", "PGPASSWORD=*** refused"),
        ('{"api_key": "sk-1", "n": 3}', '{"api_key": ***, "n": 3}'),
        ("https://x.test/?access_token=abc&page=2", "https://x.test/?access_token=***&page=2"),
        ("401 for Authorization: Bearer abc.def", "401 for Authorization: Bearer ***"),
        ("데이터베이스에 연결할 수 없습니다", "데이터베이스에 연결할 수 없습니다"),
        ("used 300 tokens: fine", "used 300 tokens: fine"),
    ],
)
def test_credentials_in_text_become_stars(text, shown):
    assert masked_text(text) == shown


def test_credentials_in_facts_become_stars_at_any_depth():
    facts = {
        "dsn": "host=db",
        "pool": {"db_password": "x", "size": 4, "url": "mysql://a:b@c/d"},
        "auth": [{"client_secret": "y"}],
        "token": {"value": "z", "left": 7},
        "input_tokens": "many",
    }
    assert masked(facts) == {
        "dsn": "***",
        "pool": {"db_password": "***", "size": 4, "url": "mysql://***@c/d"},
        "auth": [{"client_secret": "***"}],
        "token": {"value": "***", "left": 7},
        "input_tokens": "many",
    }


@given(
    st.sampled_from(["postgresql", "redis", "https"]),
    st.text("abcdefghXYZ0189!$%^&*()_+-=/?#", min_size=8, max_size=40),
)
def test_no_password_of_a_url_survives(scheme, password):
    assert password not in masked_text(f"cannot reach {scheme}://app:{password}@host/db now")


def test_what_is_shown_is_short_and_never_splits_a_character():
    shown = masked_text("가" * 100_000)
    assert len(shown.encode()) <= 500
    assert set(shown) == {"가"}
