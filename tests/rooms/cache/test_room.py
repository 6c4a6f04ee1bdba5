"""The cache room: what it is given, what it starts, what it tells."""

import asyncio

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import NoMeter
from holdfast.rooms.cache.engine.counts import Export, Tally
from holdfast.rooms.cache.room import CacheRoom, Config
from holdfast.rooms.cache.rules.kinds import KindSettings
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.meters import RecordingMeter
from tests.waiting import until


def make_room(data_dir, shared=None, meter=None, **settings):
    supervisor = Supervisor()
    room = CacheRoom(
        Config(**settings),
        clock=SystemClock(),
        meter=meter or NoMeter(),
        supervisor=supervisor,
        shared=shared,
        ids=IdSource(),
        data_dir=data_dir,
    )
    return room, supervisor


async def load():
    return "값"


async def test_a_room_alone_keeps_warms_and_remembers_over_a_restart(tmp_path):
    async def by_key(key):
        return key

    for _ in range(2):
        room, supervisor = make_room(tmp_path)
        room.warmup.loader("dashboard", lambda: ["가", "나"], by_key)
        await room.start()
        await room.start()
        await until(lambda room=room: room.warmup.last is not None)
        assert await room.engine.get_many(["가", "나"]) == {"가": "가", "나": "나"}
        assert await asyncio.to_thread(room.sync().get, "가") == "가"
        [check] = room.checks()
        assert (await check.probe()).status == "ok"
        assert not await supervisor.stop(5.0)
        await room.stop()
        await room.stop()
    assert "가" in (tmp_path / "cache-hot-keys.json").read_text("utf-8")


async def test_a_room_with_a_shared_store_says_when_nothing_is_heard(tmp_path, own_redis):
    shared = RedisShared(own_redis.url, SharedConfig(budget_ms=5_000, heartbeat_s=0.2), SystemClock())
    room, supervisor = make_room(tmp_path, shared)
    assert room.engine.keeper.is_cut_off
    await shared.start()
    await room.start()
    [check] = room.checks()
    try:
        await until(lambda: not room.engine.keeper.is_cut_off)
        assert await room.engine.get_or_set("k", load) == "값"
        assert (await check.probe()).status == "ok"
        own_redis.kill()
        await until(lambda: room.engine.keeper.is_cut_off)
        finding = await check.probe()
        assert (finding.status, finding.facts["shared"]["is_up"]) == ("degraded", False)
        assert await room.engine.get_or_set("other", load) == "값"
    finally:
        await supervisor.stop(5.0)
        await room.stop()
        await shared.stop()


async def test_what_was_counted_goes_to_the_meter_once(tmp_path):
    meter = RecordingMeter()
    room, _ = make_room(tmp_path, meter=meter)
    for _ in range(3):
        await room.engine.get_or_set("k", load, kind="dashboard")
    room.engine.export.flush()
    await room.engine.get_or_set("k", load, kind="dashboard")
    room.engine.export.flush()
    room.engine.export.flush()
    assert meter.values("holdfast_cache_memory_hits_total", "dashboard") == [2, 1]
    assert meter.values("holdfast_cache_misses_total", "dashboard") == [1]
    assert meter.values("holdfast_cache_loads_total", "dashboard") == [1]


def gauges(meter):
    """What the gauges of the second tier read now, by name."""
    start = "holdfast_cache_shared_"
    watched = {name: reads[0] for (name, _), reads in meter.told.items() if reads and callable(reads[0])}
    return {name.removeprefix(start): read() for name, read in watched.items() if name.startswith(start)}


NIL = dict.fromkeys(
    ("journal_markers", "journal_writes", "waiting", "leases_held", "poisoned", "replayed", "lost_writes"),
    0.0,
)


def test_without_a_shared_store_its_gauges_read_nil(tmp_path):
    meter = RecordingMeter()
    make_room(tmp_path, meter=meter)
    assert gauges(meter) == NIL


async def test_the_gauges_of_the_second_tier_tell_what_is_still_to_be_said(tmp_path, own_redis):
    shared = RedisShared(own_redis.url, SharedConfig(budget_ms=5_000, heartbeat_s=0.2), SystemClock())
    meter = RecordingMeter()
    room, supervisor = make_room(tmp_path, shared, meter)
    await shared.start()
    await room.start()
    going = asyncio.Event()

    async def slow():
        await going.wait()
        return "값"

    try:
        await until(lambda: not room.engine.keeper.is_cut_off)
        loading = asyncio.create_task(room.engine.get_or_set("slow", slow))
        await until(lambda: gauges(meter) == {**NIL, "leases_held": 1.0})
        own_redis.kill()
        await until(lambda: room.engine.keeper.is_cut_off)
        await room.engine.invalidate(tags=["t"])
        await room.engine.set("k", 1)
        going.set()
        assert await loading == "값"
        await until(lambda: gauges(meter) == {**NIL, "journal_markers": 1.0, "journal_writes": 2.0})
        own_redis.start()
        await until(lambda: gauges(meter) == {**NIL, "replayed": 2.0})
    finally:
        await supervisor.stop(5.0)
        await room.stop()
        await shared.stop()


@pytest.mark.parametrize(
    ("kind", "load_s", "life_s"),
    [
        ({}, 130.0, 7 * 86_400.0),
        ({"hard_s": 600, "ttl_s": 30 * 86_400, "jitter": 0, "fail_safe_s": 100}, 610.0, 30 * 86_400.0 + 100),
    ],
)
def test_the_second_tier_remembers_for_as_long_as_any_kind_loads_and_lives(tmp_path, kind, load_s, life_s):
    shared = RedisShared("redis://127.0.0.1:1", SharedConfig(), SystemClock())
    room, _ = make_room(tmp_path, shared, kinds={"slow": KindSettings(**kind)})
    assert room.tier._leases._max_load_s == load_s
    assert room.tier._max_lifetime_us == life_s * 1e6


def test_every_count_has_a_metric_and_a_place_in_the_figures():
    tally = Tally("default")
    assert {"hits", "misses", "stale", "negative", "joined", "evictions", "load_s"} <= set(tally.figures())
    meter = RecordingMeter()
    tally.evictions = 4
    Export(meter, lambda: [tally]).flush()
    assert meter.values("holdfast_cache_evictions_total", "default") == [4]


@pytest.mark.parametrize("wrong", [{"kinds": {"llm": {"ttl": 1}}}, {"max_bytes": 1}])
def test_wrong_settings_stop_the_start(wrong):
    from holdfast.kernel.config import load_settings
    from holdfast.kernel.errors import Misconfigured

    with pytest.raises(Misconfigured, match="cache"):
        load_settings({"cache": Config}, overrides={"cache": wrong})
