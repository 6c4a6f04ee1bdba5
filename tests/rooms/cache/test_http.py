"""The admin addresses and commands, over a real engine, alone and on a real shared store."""

import argparse
import asyncio
import contextlib
from random import Random

import msgspec
import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import BadInput
from holdfast.kernel.event import Event
from holdfast.kernel.route import Call
from holdfast.ports.services import NoMeter
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.engine.parts import Parts
from holdfast.rooms.cache.engine.sessions import Sessions
from holdfast.rooms.cache.engine.shared import SharedTier
from holdfast.rooms.cache.engine.verbs import Verbs
from holdfast.rooms.cache.engine.warmup import Warmup
from holdfast.rooms.cache.http import CacheHttp, InvalidateBody, Stats, routes
from holdfast.rooms.cache.rules.entry import HybridClock
from holdfast.rooms.cache.rules.sessions import SessionSettings
from holdfast.rooms.cache.rules.settings import Config
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.rooms.cache.door import Door, answers
from tests.waiting import until


def parts_of(shared: RedisShared | None = None, name: str = "node") -> tuple[Parts, SharedTier | None]:
    clock, order, rng = SystemClock(), HybridClock(), Random(1)
    engine = CacheEngine(
        Config(),
        clock=clock,
        meter=NoMeter(),
        rng=rng,
        order=order,
        now_us=None if shared is None else shared.clock_us,
    )
    tier = None
    if shared is not None:
        tier = SharedTier(shared, hears=engine, clock=clock, rng=rng, node_id=name, stamps=order)
        engine.connect(tier)
    kinds = engine.keeper.kinds
    parts = Parts(
        engine,
        sessions=Sessions(SessionSettings(), all_kinds=kinds, clock=clock, meter=NoMeter(), shared=shared),
        warmup=Warmup(engine, file=None, limit=0, concurrency=2),
        tier=None if tier is None else tier.state,
    )
    return parts, tier


@contextlib.asynccontextmanager
async def node(url: str, name: str, **settings):
    """A node on the shared store, joined."""
    shared = RedisShared(url, SharedConfig(budget_ms=2000, **settings))
    await shared.start()
    parts, tier = parts_of(shared, name)
    await tier.start()
    await until(lambda: tier.state()["is_joined"])
    try:
        yield parts
    finally:
        await parts.engine.stop()
        await tier.stop()
        await shared.stop()


async def value() -> str:
    return "사과"


def call(body: object = None) -> Call:
    return Call(Event(), body=body)


def test_every_address_is_for_administrators():
    found = {(route.method, route.path) for route in routes(CacheHttp(parts_of()[0])) if not route.public}
    assert found == {
        ("GET", "/admin/cache/stats"),
        ("POST", "/admin/cache/invalidate"),
        ("POST", "/admin/cache/warmup"),
    }


async def test_the_addresses_are_closed_without_the_token():
    door = Door(answers(), routes=routes(CacheHttp(parts_of()[0])), open_admin=False)
    assert (await door.get("/admin/cache/stats")).status == 401
    opened = await door.get("/admin/cache/stats", headers=[("Authorization", "Bearer swordfish")])
    assert opened.status == 200
    assert opened.headers["cache-control"] == "no-store"
    stats = msgspec.json.decode(opened.body, type=Stats)
    assert (stats.hit_rate, stats.shared.configured, stats.shared.status) == (0.0, False, "none")


async def test_statistics_by_tier_and_kind():
    parts, _ = parts_of()
    gate = asyncio.Event()

    async def slow() -> str:
        await gate.wait()
        return "x"

    waiting = [
        asyncio.create_task(parts.engine.get_or_set("농장:1", slow, kind="farm_list")) for _ in range(5)
    ]
    await until(lambda: parts.engine.stats()["loading"])
    for _ in range(5):
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*waiting)
    for _ in range(15):
        await parts.engine.get_or_set("농장:1", slow, kind="farm_list")
    await parts.sessions.create("u")
    stats = (await CacheHttp(parts).stats(call())).content
    [kind] = stats.kinds
    assert (kind.kind, kind.ttl_s, kind.entries, kind.loads) == ("farm_list", 300.0, 1, 1)
    assert (kind.memory_hits, kind.misses, kind.stampedes_prevented) == (15, 5, 4)
    assert kind.hit_rate == stats.hit_rate == 0.75
    assert kind.size_bytes > 0
    assert stats.memory.size_bytes == kind.size_bytes
    assert stats.sessions.active == 1


@pytest.mark.parametrize("body", [InvalidateBody(), InvalidateBody(prefix="")])
async def test_a_request_that_names_nothing_says_what_to_give(body):
    with pytest.raises(BadInput) as refused:
        await CacheHttp(parts_of()[0]).invalidate(call(body))
    assert refused.value.status == 422
    assert all(word in refused.value.hint for word in ("keys", "tags", "prefix", "everything"))


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (InvalidateBody(keys=["a:1"]), {"a:2", "b:1"}),
        (InvalidateBody(tags=["홀수"]), {"a:2"}),
        (InvalidateBody(prefix="a:"), {"b:1"}),
        (InvalidateBody(keys=["b:1"], prefix="a:"), set()),
        (InvalidateBody(everything=True), set()),
    ],
)
async def test_what_was_named_is_dropped_and_told(body, left):
    parts, _ = parts_of()
    for key in ("a:1", "a:2", "b:1"):
        await parts.engine.set(key, key, tags=["홀수"] if key.endswith("1") else [])
    session = await parts.sessions.create("u")
    done = (await CacheHttp(parts).invalidate(call(body))).content
    assert (done.keys, done.tags, done.everything) == (len(body.keys), len(body.tags), body.everything)
    assert done.everywhere
    assert set(await parts.engine.get_many(["a:1", "a:2", "b:1"])) == left
    assert await parts.sessions.get(session.id) is not None, "nobody is logged out by an invalidation"


async def test_a_warm_up_says_how_many_were_loaded():
    parts, _ = parts_of()

    async def load(key: str) -> str:
        if key == "bad":
            raise RuntimeError("no")
        return key

    parts.warmup.loader("dashboard", lambda: ["a", "나", "bad"], load)
    done = (await CacheHttp(parts).warmup(call())).content
    assert (done.loaded, done.failed, done.fetched) == (2, 1, 0)
    assert await parts.engine.get("나", kind="dashboard") == "나"


def options(**given) -> argparse.Namespace:
    return argparse.Namespace(**{"key": None, "tag": None, "prefix": None, "all": False, **given})


async def test_commands_without_a_shared_store_name_the_call_that_helps(capsys):
    verbs = Verbs(parts_of()[0])
    assert [verb.name for verb in verbs.all()] == ["cache stats", "cache invalidate", "cache warmup"]
    assert await verbs.stats(options()) == 2
    assert "GET /admin/cache/stats" in capsys.readouterr().err
    assert await verbs.invalidate(options(tag=["농장"])) == 2
    said = capsys.readouterr().err
    assert 'POST /admin/cache/invalidate {"tags":["농장"]}' in said
    assert "cannot be reached from here" in said
    assert await verbs.warmup(options()) == 2
    assert "POST /admin/cache/warmup" in capsys.readouterr().err


async def test_commands_act_on_every_node_through_the_shared_store(redis_database, capsys):
    async with node(redis_database, "server") as server, node(redis_database, "command") as command:
        await server.engine.get_or_set("farm:1", value, tags=["농장"])
        await server.engine.get_or_set("farm:2", value)
        verbs = Verbs(command)
        assert await verbs.invalidate(options()) == 2
        assert "--key" in capsys.readouterr().err
        assert await verbs.invalidate(options(tag=["농장"], key=["x"])) == 0
        assert "tag '농장'" in capsys.readouterr().out
        await until(lambda: server.engine.fresh("farm:1") is None)
        assert server.engine.fresh("farm:2") is not None
        assert await verbs.invalidate(options(all=True)) == 0
        await until(lambda: server.engine.fresh("farm:2") is None)
        await server.sessions.create("u")
        assert await verbs.stats(options()) == 0
        said = capsys.readouterr().out
        assert "is_up" in said
        assert "sessions_active     1" in said
        assert await verbs.warmup(options()) == 0
        stats = (await CacheHttp(server).stats(call())).content
        assert (stats.shared.configured, stats.shared.status) == (True, "up")
        assert stats.shared.age_s is not None
        await command.engine.get_or_set("shared", value)
        assert await server.engine.get_or_set("shared", value) == "사과"
        assert (await CacheHttp(server).stats(call())).content.shared.hits == 1


async def test_while_the_store_is_away_commands_say_so_and_the_server_says_not_everywhere(own_redis, capsys):
    async with node(own_redis.url, "one", heartbeat_s=0.05, failures=1) as parts:
        own_redis.kill()
        await until(lambda: not parts.tier()["is_up"])
        done = (await CacheHttp(parts).invalidate(call(InvalidateBody(tags=["t"])))).content
        assert not done.everywhere
        stats = (await CacheHttp(parts).stats(call())).content
        assert stats.shared.status == "down"

        async def at_once(seconds: float) -> None:
            await asyncio.sleep(0)

        assert await Verbs(parts, pause=at_once).invalidate(options(key=["k"])) == 2
        assert "does not answer" in capsys.readouterr().err
