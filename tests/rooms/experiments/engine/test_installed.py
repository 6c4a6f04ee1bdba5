"""Flags for code that is handed nothing: of the room that was started last, and of none before."""

import pytest

import holdfast
from holdfast import experiments
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import NoMeter
from holdfast.rooms.experiments.room import ExperimentsRoom
from holdfast.rooms.experiments.rules.flags import Flag, Rule
from holdfast.rooms.experiments.rules.settings import Config
from tests.rooms.experiments.openfeature.world import Log

RANKER = Flag("ranker", {"control": 10, "treatment": 20}, rules=(Rule(variant="treatment"),))


async def room_of(database):
    log = Log()
    supervisor = Supervisor()
    supervisor.open()
    room = ExperimentsRoom(
        Config(),
        sql=database,
        shared=None,
        clock=SystemClock(),
        ids=IdSource(7),
        meter=NoMeter(),
        log=log,
        supervisor=supervisor,
    )
    return room, log


def asked():
    return experiments.variant("ranker", "alice", otherwise="nothing"), experiments.value(
        "ranker", 1, "alice"
    )


async def test_it_speaks_to_the_room_that_was_started_last_until_that_stops(sqlite_database):
    first, _ = await room_of(sqlite_database)
    last, log = await room_of(sqlite_database)
    async with sqlite_database.transaction() as tx:
        await first.changes.rules.put_flag(tx, RANKER, "kim", 0)
    assert asked() == ("nothing", 1)
    await first.start()
    await last.start()
    assert asked() == ("treatment", 20)
    holdfast.experiments.track("구매", user_id="김철수", value=39_000)
    (event,) = log.told
    assert (event.action, event.user_id, event.facts) == ("구매", "김철수", {"value": 39_000})
    await first.stop()
    assert asked() == ("treatment", 20)
    await last.stop()
    assert asked() == ("nothing", 1)
    for room in (first, last):
        await room._supervisor.stop(1)


def test_names_that_are_not_there_are_still_an_error():
    with pytest.raises(AttributeError, match="nowhere"):
        holdfast.nowhere  # noqa: B018 - to read it is the test
