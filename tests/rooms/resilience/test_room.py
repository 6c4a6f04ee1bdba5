import asyncio

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.rooms.resilience.rules.settings import Config, Dependency
from tests.rooms.resilience.world import CountingMeter, fine, gone, room_of
from tests.waiting import until

FAST = Dependency(failures=2, open_s=1000, shared=True)


async def fail(room, times=2, name="pay"):
    for _ in range(times):
        with pytest.raises(OSError, match="gone"):
            await room.guards.guard(name).call(gone)


def state(room, name="pay"):
    return room.guards.report(name).state


async def test_it_starts_twice_stops_twice_and_tells_its_last_figures():
    meter = CountingMeter()
    room = room_of(Config(dependencies={"pay": Dependency()}), meter=meter)
    await room.start()
    await room.start()
    await room.guards.guard("pay").call(fine)
    await room._supervisor.stop(1)
    await room.stop()
    await room.stop()
    assert meter.counts["calls_total", "pay", "ok"] == 1


async def test_each_declared_dependency_has_a_check_and_the_rest_one_together():
    room = room_of(Config(dependencies={"pay": Dependency(failures=2), "농장": Dependency()}))
    checks = {check.name: check for check in room.checks()}
    assert list(checks) == ["dependency pay", "dependency 농장", "dependencies added by code"]
    assert not any(check.required or check.engine for check in checks.values())
    await fail(room)
    found = await checks["dependency pay"].probe()
    assert found.status == "down"
    assert "last error OSError: gone" in found.detail
    assert (await checks["dependency 농장"].probe()).status == "ok"
    await fail(room, 5, "mail")
    assert (await checks["dependencies added by code"].probe()).status == "down"


async def test_a_probe_in_the_background_restores_service_by_itself():
    config = Config(dependencies={"pay": Dependency(failures=2, open_s=1000)}, probe_every_s=0.01)
    room = room_of(config, clock=SystemClock())
    back = asyncio.Event()

    async def probe():
        if not back.is_set():
            raise OSError("gone")

    room.guards.guard("pay", probe=probe)
    await room.start()
    await fail(room)
    assert state(room) == "open"
    back.set()
    await until(lambda: state(room) == "closed")
    await room._supervisor.stop(1)
    await room.stop()


async def test_rooms_hear_each_other_over_redis(shared):
    config = Config(dependencies={"pay": FAST}, share_every_s=3600)
    one, other = (room_of(config, clock=SystemClock(), shared=shared) for _ in range(2))
    for room in (one, other):
        await room.start()
    await fail(one)
    await until(lambda: state(other) == "open")
    await other.guards.reset("pay")
    await until(lambda: state(one) == "closed")
    for room in (one, other):
        await room._supervisor.stop(1)
        await room.stop()


async def test_rooms_find_out_from_each_other_through_the_database(sql):
    config = Config(dependencies={"pay": FAST}, share_every_s=0.02)
    one, other = (room_of(config, clock=SystemClock(), sql=sql) for _ in range(2))
    for room in (one, other):
        await room.start()
    await fail(one)
    await until(lambda: state(other) == "open")
    await one.guards.reset("pay")
    await until(lambda: state(other) == "closed")
    for room in (one, other):
        await room._supervisor.stop(1)
        await room.stop()


async def test_without_any_store_it_works_alone():
    room = room_of(Config(dependencies={"pay": FAST}))
    await room.start()
    await fail(room)
    assert state(room) == "open"
    assert room.guards.report("pay").shared == "away"
    assert (await room.guards.reset("pay")).state == "closed"
    await room._supervisor.stop(1)
    await room.stop()
