"""The room as a whole: it starts and stops, looks for changes by itself, and no request suffers from it."""

import asyncio

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.context import Sources
from holdfast.kernel.event import Event
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import NoEventLog
from holdfast.rooms.experiments.room import Config, ExperimentsRoom
from holdfast.rooms.experiments.store import tables
from holdfast.stores.config import Config as StoreConfig
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_sql
from tests.meters import RecordingMeter
from tests.rooms.experiments.world import Passage, rolled
from tests.servers import PostgresServer, running
from tests.waiting import until


def room_on(database, supervisor=None):
    return ExperimentsRoom(
        Config(poll_s=0.01, flush_s=0.01, turn_s=0.01),
        sql=database,
        shared=None,
        clock=SystemClock(),
        ids=IdSource(),
        meter=RecordingMeter(),
        log=NoEventLog(),
        supervisor=supervisor or Supervisor(),
    )


async def put(room, flag):
    async with room.changes.rules.sql.transaction() as tx:
        await room.changes.rules.put_flag(tx, flag, "test", 1)


def request(room):
    """A request through the door, and what it was assigned."""
    ctx = Passage(Event(user_id="u"), Sources(SystemClock(), IdSource()))
    room.changes.door.assign({"path": "/api", "headers": []}, ctx)
    return ctx.variants


@pytest.fixture
def durable_postgres():
    """A server that a test may kill, and that then still has what was committed."""
    with running(PostgresServer(durable=True)) as server:
        yield server


async def test_it_starts_twice_and_stops_twice(sqlite_database):
    supervisor = Supervisor()
    room = room_on(sqlite_database, supervisor)
    for _ in range(2):
        await room.start()
    await supervisor.stop(1)
    for _ in range(2):
        await room.stop()


async def test_two_processes_see_a_change_by_looking(sqlite_database):
    supervisor = Supervisor()
    one, two = room_on(sqlite_database, supervisor), room_on(sqlite_database, supervisor)
    await one.start()
    await two.start()
    await put(one, rolled(routes=("/api",)))
    await until(lambda: request(one) == request(two) == {"ranker": "treatment"})
    await supervisor.stop(1)
    await one.stop()
    await two.stop()


async def test_while_its_database_is_dead_no_request_fails_and_it_recovers(durable_postgres, tmp_path):
    database = open_sql(durable_postgres.url, tmp_path, SystemClock(), StoreConfig(deadline_s=5.0))
    await database.start()
    await migrate(database, {"experiments": tables.MIGRATIONS}, SystemClock().wall)
    room = room_on(database)
    rulebook = room.changes.rulebook
    await put(room, rolled(routes=("/api",)))
    await rulebook.refresh()
    await asyncio.to_thread(durable_postgres.kill)
    await rulebook.refresh()
    assert rulebook.stale
    assert request(room) == {"ranker": "treatment"}
    assert room.changes.variant("ranker", "somebody else") == "treatment"
    assert (await room.checks()[0].probe()).status == "degraded"
    await asyncio.to_thread(durable_postgres.start)
    while rulebook.stale:
        await rulebook.refresh()
    await put(room, rolled(0, routes=("/api",), generation=1))
    await rulebook.refresh()
    assert request(room) == {"ranker": "control"}
    await database.stop()


@pytest.mark.parametrize("what", ["routes", "verbs", "checks"])
def test_it_has_addresses_commands_and_a_check(what, tmp_path):
    assert len(getattr(room_on(None), what)()) > 0
