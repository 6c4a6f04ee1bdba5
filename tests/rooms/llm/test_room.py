"""The llm room put together: what it offers, its health, and what it costs to be careful."""

import random

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.cache import NoCache
from holdfast.ports.guards import PlainGuards
from holdfast.ports.model import Ask, ModelFailed, Passage, Turn
from holdfast.ports.services import NoEventLog, NoMeter
from holdfast.rooms.llm.room import Config, LlmRoom
from holdfast.rooms.llm.rules.settings import Deployment, ModelSettings
from tests.rooms.llm.money.conftest import sqlite as sqlite

NOBODY_LISTENS = "http://127.0.0.1:9/v1"


def room_of(sql, config=None, clock=None, production=False):
    clock = clock or SystemClock()
    supervisor = Supervisor()
    supervisor.open()
    room = LlmRoom(
        config or Config(),
        clock=clock,
        ids=IdSource(),
        meter=NoMeter(),
        log=NoEventLog(),
        supervisor=supervisor,
        guards=PlainGuards(clock=clock),
        cache=NoCache(),
        sql=sql,
        shared=None,
        nodes=1,
        production=production,
        rng=random.Random(7),
    )
    return room, supervisor


async def stopped(room, supervisor):
    await supervisor.stop(5.0)
    await room.stop()


def question(text="서울의 인구는 얼마입니까?"):
    passage = Passage("도시", "서울의 인구는 약 940만 명이다.")
    return Ask(messages=(Turn("user", text),), passages=(passage,))


async def test_with_no_settings_at_all_it_quotes_and_is_well(sqlite):
    room, supervisor = room_of(sqlite)
    await room.start()
    reply = await room.model.complete(question())
    assert "940만" in reply.text
    assert reply.generated_by == "extractive"
    found = await next(check for check in room.checks() if check.name == "llm").probe()
    assert (found.status, found.facts["deployments"]) == ("ok", ["extractive"])
    page = room._page()
    assert (page.calls, page.degraded, page.under_way) == (1, 0, 0)
    await stopped(room, supervisor)


async def test_health_says_who_is_held_back(sqlite):
    deployments = {
        name: Deployment(base_url=NOBODY_LISTENS, failures=1, attempts=1, probe=False) for name in "ab"
    }
    room, supervisor = room_of(sqlite, Config(deployments=deployments), clock=ManualClock())
    await room.start()
    check = next(check for check in room.checks() if check.name == "llm")
    told = []
    for model in "ab":
        with pytest.raises(ModelFailed):
            await room.model.complete(Ask(messages=(Turn("user", "안녕"),), model=model))
        found = await check.probe()
        told.append((found.status, found.facts["held_back"]))
    assert told == [("degraded", ["a"]), ("down", ["a", "b"])]
    await stopped(room, supervisor)


async def test_a_fallback_to_the_extractive_model_needs_no_provider(sqlite):
    config = Config(
        deployments={"a": Deployment(base_url=NOBODY_LISTENS, attempts=1)},
        models={"a": ModelSettings(fallbacks=("extractive",))},
    )
    room, supervisor = room_of(sqlite, config)
    await room.start()
    reply = await room.model.complete(question())
    assert (reply.provider, "940만" in reply.text) == ("extractive", True)
    await stopped(room, supervisor)


async def test_a_probe_is_told_to_the_ledger(sqlite):
    room, supervisor = room_of(sqlite, Config(deployments={"a": Deployment(base_url=NOBODY_LISTENS)}))
    await room.start()
    path = room.paths.of("a").paths[0]
    with pytest.raises(Exception, match="connect"):
        await room.paths._probe_of(path)()
    await stopped(room, supervisor)
    (row,) = await room.money.ledger._store.newest(0, 10)
    assert (row.purpose, row.outcome, row.user) == ("probe", "failed:connection", "")


async def test_a_name_that_leads_nowhere_stops_the_start(sqlite):
    with pytest.raises(Misconfigured, match="gone"):
        room_of(sqlite, Config(default_model="gone"))


@pytest.mark.parametrize(
    ("asked_for", "production", "required"),
    [(None, False, False), (None, True, True), (True, False, True), (False, True, False)],
)
async def test_virtual_keys_are_asked_for_in_production_unless_told(sqlite, asked_for, production, required):
    room, _ = room_of(sqlite, Config(keys_required=asked_for), production=production)
    assert room._gateway._keys_required is required


async def test_what_it_offers(sqlite):
    room, _ = room_of(sqlite)
    paths = {route.path for route in room.routes()}
    assert {"/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/models/{model:path}"} <= paths
    assert "/api/v1/monitoring/metrics/llm" in paths
    assert {verb.name for verb in room.verbs()} == {"llm keys", "llm spend"}
