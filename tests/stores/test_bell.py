"""What every bell promises: what is new in one process is heard in the others, soon and not too often."""

import asyncio
from pathlib import Path

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.ports.presence import Bell
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_signals
from holdfast.stores.postgres_bell import PostgresBell
from holdfast.stores.postgres_standing import Standing
from holdfast.stores.ringing import Ringing
from holdfast.stores.sqlite import SqliteSql
from holdfast.stores.sqlite_bell import SqliteBell
from tests.servers import PostgresServer
from tests.stores import contract
from tests.stores.signalling import child, said
from tests.waiting import until


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_database"))
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture(params=["sqlite", "memory", "postgresql"])
def bell(request: pytest.FixtureRequest, tmp_path: Path) -> Bell:
    if request.param == "postgresql":
        return PostgresBell(Standing(request.getfixturevalue("postgres_database")))
    return SqliteBell(None if request.param == "memory" else tmp_path / "jobs.db")


async def test_a_bell_rung_in_another_process_is_heard(url: str, tmp_path: Path) -> None:
    with child("ring", url, tmp_path) as process:
        assert process.stdin is not None
        assert await said(process) == "ready"
        bell = open_signals(url, tmp_path, SystemClock()).bell
        heard: list[str] = []
        await bell.listen(heard.append)
        assert heard == []
        process.stdin.write("\n")
        process.stdin.flush()
        await until(lambda: "bulk" in heard)
        await bell.close()
        await bell.close()


async def test_what_is_written_without_a_ring_is_heard_on_sqlite(tmp_path: Path) -> None:
    sql = SqliteSql(tmp_path / "jobs.db")
    await sql.start()
    await migrate(sql, {"contract": contract.MIGRATIONS})
    bell, heard = SqliteBell(tmp_path / "jobs.db"), []
    await bell.listen(heard.append)
    await sql.run(contract.INSERT, contract.thing(1))
    await until(lambda: heard)
    assert set(heard) == {""}
    await bell.close()
    await sql.stop()


async def test_a_process_hears_itself_without_the_database(bell: Bell) -> None:
    heard: list[str] = []
    others: list[str] = []
    bell.ring("before anybody listens")
    await bell.listen(heard.append)
    await bell.listen(others.append)
    await asyncio.sleep(0)
    heard.clear()
    bell.ring("bulk")
    assert heard == [], "a ring never calls: whoever rings is in the middle of something"
    await until(lambda: "bulk" in heard and "bulk" in others)
    assert heard.count("bulk") == 1
    await bell.close()
    bell.ring("after the end")
    await asyncio.sleep(0)
    assert "after the end" not in heard


async def test_many_rings_are_few() -> None:
    sent: list[list[str]] = []
    ringing = Ringing(sent.append, window_s=3600.0)  # it ends when this test says so
    for turn in range(50):
        for topic in ("bulk", "live"):
            ringing.ring(topic)
        if turn < 5:
            await asyncio.sleep(0)
    assert sent == [["bulk", "live"]], "the first at once"
    ringing._go()
    assert sent == [["bulk", "live"]] * 2, "the rest together"
    ringing._go()
    assert ringing._timer is None
    ringing.ring("bulk")
    await asyncio.sleep(0)
    assert sent[2:] == [["bulk"]]
    ringing.stop()


async def test_a_window_ends_by_itself() -> None:
    sent: list[list[str]] = []
    ringing = Ringing(sent.append)
    ringing.ring("bulk")
    await until(lambda: sent)
    ringing.ring("live")
    await until(lambda: sent == [["bulk"], ["live"]])
    await until(lambda: ringing._timer is None)


def test_without_a_loop_a_ring_is_lost() -> None:
    SqliteBell(None).ring("bulk")


async def test_a_listener_that_fails_keeps_nobody_from_hearing() -> None:
    bell, heard, told = SqliteBell(None), [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fail(topic: str) -> None:
        raise KeyError(topic)

    await bell.listen(fail)
    await bell.listen(heard.append)
    bell.ring("bulk")
    await until(lambda: heard)
    assert heard == ["bulk"]
    assert [type(error) for error in told] == [KeyError]
    await bell.close()


async def test_a_bell_is_heard_after_a_restart_of_the_server(own_postgres: PostgresServer) -> None:
    ringer, listener = PostgresBell(Standing(own_postgres.url)), PostgresBell(Standing(own_postgres.url))
    heard: list[str] = []
    await listener.listen(heard.append)
    ringer.ring("one")
    await until(lambda: heard == ["one"])
    own_postgres.kill()
    await until(lambda: not listener._standing.is_up)
    told = ringer._sending
    ringer.ring("lost")
    await until(lambda: ringer._sending is not told and ringer._sending.done())
    own_postgres.start()
    await until(lambda: "" in heard)
    # The ringer comes back by itself, too, and rings may be lost until then.
    await until(lambda: ringer.ring("two") or "two" in heard)
    assert "lost" not in heard
    await ringer.close()
    await listener.close()


async def test_who_listens_while_the_server_is_away_hears_that_rings_were_missed(
    own_postgres: PostgresServer,
) -> None:
    own_postgres.kill()
    listener = PostgresBell(Standing(own_postgres.url))
    heard: list[str] = []
    await listener.listen(heard.append)
    own_postgres.start()
    await until(lambda: heard)
    assert heard == [""]
    await listener.close()


async def test_presence_and_bell_share_a_connection(postgres_database: str, tmp_path: Path) -> None:
    presence, bell = open_signals(postgres_database, tmp_path, SystemClock())
    assert isinstance(bell, PostgresBell)
    heard: list[str] = []
    await presence.hold("w")
    await bell.listen(heard.append)
    await presence.close()
    bell.ring("bulk")
    await until(lambda: heard == ["bulk"])
    await bell.close()
    assert not bell._standing.is_up
