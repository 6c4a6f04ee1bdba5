"""The room as it is composed: life, health, commands."""

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.model import NoModel
from holdfast.ports.plain_jobs import PlainJobs
from holdfast.ports.services import NoMeter
from holdfast.rooms.knowledge.room import Config, KnowledgeRoom
from tests.rooms.knowledge.models import Quoting
from tests.waiting import until


def room_on(sql, folder, model=None):
    return KnowledgeRoom(
        Config(),
        sql=sql,
        model=model or Quoting(),
        jobs=PlainJobs(SystemClock()),
        clock=SystemClock(),
        meter=NoMeter(),
        supervisor=Supervisor(),
        data_dir=folder,
    )


async def test_it_says_how_it_is(sqlite, tmp_path):
    room = room_on(sqlite, tmp_path)
    [check] = room.checks()
    assert (await check.probe()).status == "down"
    await room.start()
    await room.start()
    await room.engine.wait(await room.engine.add("a.txt", "가나다 라마바."))
    found = await check.probe()
    assert (found.status, found.facts["versions_serving"]) == ("ok", 1)
    await room.stop()
    await room.stop()
    silent = room_on(sqlite, tmp_path, NoModel())
    await silent.start()
    assert (await silent.checks()[0].probe()).status == "degraded"
    await silent.stop()


async def test_the_sweep_runs_by_itself(sqlite, tmp_path):
    room = room_on(sqlite, tmp_path)
    taken = await room.engine.add("a.txt", "가나다 라마바.")
    await room.engine.wait(taken)
    await room.engine.documents._sweeper.delete("", taken.document_id, 1)
    await room.start()

    async def is_gone():
        return not await room.engine.store.states()

    await until(is_gone)
    await room.stop()
