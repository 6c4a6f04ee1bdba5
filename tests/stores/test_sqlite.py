import asyncio
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import Misconfigured, Unavailable
from holdfast.stores import sqlite_open
from holdfast.stores.config import Config
from holdfast.stores.migrate import migrate
from holdfast.stores.sqlite import SqliteSql
from tests.stores import contract
from tests.waiting import until

_NUMBERS = sa.select(sa.literal_column("1").label("x")).cte("numbers", recursive=True)
_NUMBERS = _NUMBERS.union_all(sa.select(_NUMBERS.c.x + sa.literal_column("1")))
ENDLESS = sa.select(sa.func.count()).select_from(_NUMBERS)
PATIENT = Config(readers=2, deadline_s=20.0, busy_timeout_s=20.0)
HASTY = Config(readers=2, deadline_s=0.5, busy_timeout_s=0.1)


@pytest.fixture
async def sql(tmp_path: Path) -> AsyncIterator[SqliteSql]:
    driver = SqliteSql(tmp_path / "store.db", PATIENT, SystemClock())
    await driver.start()
    await migrate(driver, {"contract": contract.MIGRATIONS})
    yield driver
    await driver.stop()


async def test_the_file_is_in_wal_mode_with_foreign_keys(sql: SqliteSql) -> None:
    assert await sql.fetch(sa.text("SELECT journal_mode FROM pragma_journal_mode")) == [("wal",)]
    assert await sql.fetch(sa.text("SELECT foreign_keys FROM pragma_foreign_keys")) == [(1,)]
    assert sql.path is not None
    assert sql.path.with_name("store.db-wal").exists()


async def test_a_reader_cannot_write(sql: SqliteSql) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        await sql._read(lambda connection: connection.execute("DELETE FROM things"))


async def test_reads_go_on_while_a_transaction_is_open(sql: SqliteSql) -> None:
    async with sql.transaction() as tx:
        await tx.run(contract.INSERT, contract.thing(1))
        assert await sql.fetch(contract.IDS) == []
    assert await sql.fetch(contract.IDS) == [(1,)]


async def test_a_cancelled_statement_stops_and_frees_its_thread(sql: SqliteSql) -> None:
    tasks = [asyncio.create_task(sql.fetch(ENDLESS)) for _ in range(2)]
    while sql.state()["checked_out"] < 2:
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    assert all(
        isinstance(result, asyncio.CancelledError)
        for result in await asyncio.gather(*tasks, return_exceptions=True)
    )
    assert sql.state()["checked_out"] == 0
    assert await sql.fetch(contract.IDS) == []


async def test_a_statement_past_the_deadline_is_stopped(tmp_path: Path) -> None:
    sql = SqliteSql(tmp_path / "store.db", HASTY)
    await sql.start()
    with pytest.raises(Unavailable, match="did not answer in time") as caught:
        await sql.fetch(ENDLESS)
    assert caught.value.retry_after_s == 1.0
    assert sql.state()["checked_out"] == 0
    await until(lambda: contract.answers(sql))
    await sql.stop()


async def test_an_interrupted_transaction_says_so(sql: SqliteSql) -> None:
    slow = sa.text(
        "INSERT INTO things (id, count) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
        "SELECT x + running(), 0 FROM n"
    )
    begun = threading.Event()

    def running() -> int:
        begun.set()
        return 0

    await sql._lanes[0].see_through(lambda connection: connection.create_function("running", 0, running))

    async def work() -> None:
        async with sql.transaction() as tx:
            await tx.run(contract.INSERT, contract.thing(-1))
            inner = asyncio.create_task(tx.run(slow))
            await asyncio.to_thread(begun.wait, 30)
            inner.cancel()
            await asyncio.wait([inner])
            await tx.run(contract.INSERT, contract.thing(-2))

    with pytest.raises(Unavailable, match="gave this transaction up"):
        await work()
    assert await sql.fetch(contract.IDS) == []


async def test_nothing_gets_in_before_the_start_is_complete(tmp_path: Path) -> None:
    sql = SqliteSql(tmp_path / "store.db", PATIENT)
    starting = asyncio.create_task(sql.start())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="closed"):
        await sql.ping()
    await starting
    await sql.ping()
    await sql.stop()


async def test_another_process_that_writes_is_waited_for_and_then_reported(
    sql: SqliteSql, tmp_path: Path
) -> None:
    hasty = SqliteSql(tmp_path / "store.db", HASTY)
    await hasty.start()
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as caught:
        await hasty.run(contract.INSERT, contract.thing(1))
    assert caught.value.status == 503
    assert caught.value.retry_after_s is not None
    other.execute("COMMIT")
    other.close()
    assert await sql.run(contract.INSERT, contract.thing(1)) == 1
    await hasty.stop()


async def test_a_writer_in_line_past_the_deadline_gets_503(tmp_path: Path) -> None:
    sql = SqliteSql(tmp_path / "store.db", HASTY)
    await sql.start()
    async with sql.transaction():
        with pytest.raises(Unavailable, match="no place within"):
            await sql.run(contract.INSERT, contract.thing(1))
    assert sql.state()["refused_total"] == 1
    await sql.stop()


async def test_a_full_disk_is_reported_and_survived(sql: SqliteSql) -> None:
    def limit(pages: int) -> None:
        return sql._lanes[0].see_through(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())

    await limit(1)
    with pytest.raises(Unavailable, match="disk is full"):
        await sql.run(contract.INSERT, contract.thing(1) | {"payload": b"x" * 1_000_000})
    await limit(1_000_000)
    assert await sql.run(contract.INSERT, contract.thing(1) | {"payload": b"x" * 1_000_000}) == 1


@pytest.mark.parametrize("content", [b"this is not a database, it is a letter" * 100, None])
async def test_what_cannot_be_opened_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "store.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    sql = SqliteSql(path)
    with pytest.raises(Misconfigured, match=r"store\.db"):
        await sql.start()
    await sql.stop()


def test_a_journal_mode_other_than_wal_stops_the_start(tmp_path: Path) -> None:
    # A file held in exclusive mode elsewhere is one of the ways in which the pragma changes nothing.
    held = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    held.execute("CREATE TABLE t (x)")
    held.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Misconfigured, match="locked by another process"):
        sqlite_open.connect(tmp_path / "store.db", synchronous="normal", patience_s=0.1, read_only=False)
    held.close()
    memory = sqlite3.connect(":memory:")
    with pytest.raises(Misconfigured, match="journal mode 'memory'"):
        sqlite_open._use_wal(memory, tmp_path / "store.db", 0.1)
    memory.close()


FORKED = """
import asyncio, os, sys
from pathlib import Path
import sqlalchemy as sa
from holdfast.kernel.errors import Misconfigured
from holdfast.stores.sqlite import SqliteSql

sql = SqliteSql(Path(sys.argv[1]))
PING = sa.text("SELECT 1")

async def parent():
    await sql.start()
    child = os.fork()
    if child == 0:
        os._exit(0 if in_child() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert await sql.fetch(PING) == [(1,)]
    await sql.stop()

def in_child():
    async def work():
        try:
            await sql.fetch(PING)
            return False
        except Misconfigured as problem:
            assert "start() again" in problem.hint
        await sql.start()
        assert await sql.fetch(PING) == [(1,)]
        await sql.stop()
        return True
    asyncio._set_running_loop(None)
    return asyncio.new_event_loop().run_until_complete(work())

asyncio.run(parent())
"""


def test_a_forked_child_starts_anew_and_leaves_the_parent_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(tmp_path / "store.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


COUNTING = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from holdfast.stores.config import Config
from holdfast.stores.sqlite import SqliteSql
from tests.stores import contract

async def count():
    sql = SqliteSql(Path(sys.argv[1]), Config(deadline_s=60, busy_timeout_s=60))
    await sql.start()
    for _ in range(50):
        await sql.run(contract.ADD, {"id": 1, "count": 1})
        async with sql.transaction() as tx:
            ((found,),) = await tx.fetch(contract.READ_TO_WRITE, {"id": 1})
            await tx.run(contract.SET, {"which": 1, "to": found + 1})
    await sql.stop()

asyncio.run(count())
"""


async def test_four_processes_count_every_one(sql: SqliteSql) -> None:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", textwrap.dedent(COUNTING), str(sql.path), root]
    processes = [await asyncio.create_subprocess_exec(*command, env=dict(os.environ)) for _ in range(4)]
    codes = await asyncio.gather(*(process.wait() for process in processes))
    assert codes == [0, 0, 0, 0]
    assert await sql.fetch(contract.ADD, {"id": 1, "count": 0}) == [(400,)]
