"""The room as `app.py` sees it: its life, its checks, its cost before it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import NoEventLog, NoMeter
from holdfast.rooms.recommend.engine import numeric
from holdfast.rooms.recommend.room import Config, RecommendRoom
from holdfast.stores.migrate import migrate
from holdfast.stores.sqlite import SqliteSql


@pytest.fixture
async def sql(tmp_path: Path):
    sql = SqliteSql(tmp_path / "holdfast.db")
    await sql.start()
    await migrate(sql, {"recommend": RecommendRoom.migrations})
    yield sql
    await sql.stop()


def room(sql: SqliteSql, data_dir: Path, supervisor: Supervisor) -> RecommendRoom:
    return RecommendRoom(
        Config(),
        sql=sql,
        log=NoEventLog(),
        meter=NoMeter(),
        clock=SystemClock(),
        ids=IdSource(),
        data_dir=data_dir,
        supervisor=supervisor,
    )


async def test_a_room_lives_twice(sql: SqliteSql, tmp_path: Path) -> None:
    for _ in range(2):
        supervisor = Supervisor()
        found = room(sql, tmp_path, supervisor)
        check = found.checks()[0]
        assert check.engine
        assert (await check.probe()).status == "down"
        await found.start()
        await found.start()
        assert (await check.probe()).status == "ok"
        assert await supervisor.stop(5.0) == []
        await found.stop()
        await found.stop()
        assert (await check.probe()).status == "down"


def test_importing_the_room_loads_no_numpy() -> None:
    probe = (
        "import sys, holdfast.rooms.recommend.room as room;"
        "sys.exit(bool({'numpy', 'scipy', 'duckdb'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


async def test_without_numpy_the_start_names_the_line_to_install(
    sql: SqliteSql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numeric, "find_spec", lambda name: None)
    found = room(sql, tmp_path, Supervisor())
    assert "pip install 'holdfast[recommend]'" in found.missing()
    with pytest.raises(Misconfigured) as refused:
        await found.start()
    assert refused.value.hint == "pip install 'holdfast[recommend]'"
    assert "numpy" in (await found.checks()[0].probe()).detail


def test_the_verbs_are_those_of_the_cli(sql: SqliteSql, tmp_path: Path) -> None:
    names = [verb.name for verb in room(sql, tmp_path, Supervisor()).verbs()]
    assert names == [
        "import items",
        "import interactions",
        "recommend train",
        "recommend evaluate",
        "recommend rollback",
    ]
