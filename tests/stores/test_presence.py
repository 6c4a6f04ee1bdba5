"""What every presence promises: locks that live exactly as long as their holder."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.errors import Conflict, Unavailable
from holdfast.ports.presence import Presence
from holdfast.stores.open import open_signals
from holdfast.stores.postgres_presence import PostgresPresence
from holdfast.stores.postgres_standing import Standing
from holdfast.stores.presence_names import file_name, lock_key
from holdfast.stores.sqlite_presence import SqlitePresence
from tests.servers import PostgresServer
from tests.stores.signalling import child, said
from tests.waiting import until

NAMES = ["호스트/워커 1", "a" * 300, "a" * 301, "../etc", ".", "", "child", "Child"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_database"))
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
async def opened(url: str, tmp_path: Path) -> AsyncIterator[Callable[[], Presence]]:
    """Presences as processes of their own would have them."""
    async with AsyncExitStack() as stack:

        def one() -> Presence:
            if url.startswith("postgresql"):
                presence: Presence = PostgresPresence(Standing(url), SystemClock(), settle_s=0.0)
            else:
                presence = open_signals(url, tmp_path, SystemClock()).presence
            stack.push_async_callback(presence.close)
            return presence

        yield one


async def frees(presence: Presence, name: str, *but: str) -> bool:
    """Whether `name` alone is free of these."""
    return await presence.free([*but, name]) == [name]


async def free_again(presence: Presence) -> bool:
    """Whether nobody holds any of NAMES."""
    return await presence.free(NAMES) == NAMES


@pytest.mark.parametrize("write", [file_name, lock_key])
def test_every_name_has_a_lock_of_its_own(write: Callable[[str], object]) -> None:
    assert len({write(name) for name in NAMES}) == len(NAMES)
    assert all(len(os.fsencode(file_name(name))) <= 255 and "/" not in file_name(name) for name in NAMES)


async def test_what_is_held_is_not_free(opened: Callable[[], Presence]) -> None:
    one, two = opened(), opened()
    for name in NAMES[:3]:
        await one.hold(name)
    assert await two.free(NAMES) == NAMES[3:]
    assert await one.free(NAMES) == NAMES[3:]
    assert await two.free([]) == []
    for presence in (one, two):
        with pytest.raises(Conflict):
            await presence.hold(NAMES[0])
    assert one.lost() == []
    await one.close()
    await one.close()
    await until(lambda: free_again(two))  # a server lets go when it has seen the end
    await two.hold(NAMES[0])


async def test_of_eight_contenders_one_holds(opened: Callable[[], Presence]) -> None:
    watcher = opened()
    for turn in range(5):
        contenders = [opened() for _ in range(8)]
        results = await asyncio.gather(
            *(contender.hold("slot") for contender in contenders),
            *(watcher.free(["slot"]) for _ in range(4)),
            return_exceptions=True,
        )
        assert results[:8].count(None) == 1, turn
        assert await watcher.free(["slot"]) == []
        for contender in contenders:
            await contender.close()
        await until(lambda: frees(watcher, "slot"))  # a server lets go when it has seen the end


@pytest.mark.parametrize("how", ["hold", "fork"])
async def test_a_killed_holder_is_free(
    url: str, tmp_path: Path, opened: Callable[[], Presence], how: str
) -> None:
    watcher = opened()
    with child(how, url, tmp_path) as process:
        assert await said(process) == "held"
        assert await watcher.free(["child"]) == []
        process.kill()
        process.wait()
        await until(lambda: frees(watcher, "child"))
        await watcher.hold("child")


async def test_a_removed_lock_file_is_told_and_made_again(tmp_path: Path) -> None:
    one, two = SqlitePresence(tmp_path / "alive"), SqlitePresence(tmp_path / "alive")
    await one.hold("w")
    (tmp_path / "alive" / "w.lock").unlink()
    assert one.lost() == ["w"]
    assert await two.free(["w"]) == ["w"]
    assert await one.free([]) == []
    assert one.lost() == []
    assert await two.free(["w"]) == []
    await one.close()
    await two.close()
    assert list((tmp_path / "alive").iterdir()) == []


async def test_no_lock_file_is_left_over(tmp_path: Path) -> None:
    with child("hold", f"sqlite:///{tmp_path / 'x.db'}", tmp_path) as process:
        assert await said(process) == "held"
        process.kill()
        process.wait()
    watcher = SqlitePresence(tmp_path / "alive")
    assert [path.name for path in (tmp_path / "alive").iterdir()] == ["child.lock"]
    assert await watcher.free(["child"]) == ["child"]
    assert list((tmp_path / "alive").iterdir()) == []


async def test_a_restart_of_the_server_is_survived(own_postgres: PostgresServer) -> None:
    clock = ManualClock()
    one = PostgresPresence(Standing(own_postgres.url), SystemClock(), settle_s=0.0)
    two = PostgresPresence(Standing(own_postgres.url), clock, settle_s=0.0)
    newcomer = PostgresPresence(Standing(own_postgres.url), SystemClock(), settle_s=3600.0)
    await one.hold("w")
    assert await two.free(["w", "nobody"]) == ["nobody"]
    own_postgres.kill()
    await until(lambda: one.lost() == ["w"])
    assert await two.free(["w", "nobody"]) == []
    with pytest.raises(Unavailable):
        await one.hold("another")
    own_postgres.start()
    await until(lambda: one.lost() == [])
    await until(lambda: frees(two, "nobody", "w"))
    assert await newcomer.free(["nobody"]) == [], "the server has been up for less than the time to settle"
    for presence in (one, two, newcomer):
        await presence.close()


async def test_nobody_is_free_until_those_who_live_are_back(postgres_database: str) -> None:
    clock = ManualClock()
    standing = Standing(postgres_database)
    watcher = PostgresPresence(standing, clock, settle_s=0.1)
    await until(lambda: frees(watcher, "nobody"))
    server_ends = "SELECT pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(Unavailable):
        await standing.ask(lambda it: it.execute(server_ends))
    await until(lambda: standing.is_up)
    assert await watcher.free(["nobody"]) == []
    clock.advance(0.2)
    await until(lambda: frees(watcher, "nobody"))
    await watcher.close()


async def test_a_ghost_of_our_own_is_outlived(postgres_database: str) -> None:
    """The old session still has the lock when the new one begins: it is taken as soon as it is gone."""
    ghost, watcher = [await asyncpg.connect(postgres_database) for _ in range(2)]
    one = PostgresPresence(Standing(postgres_database), SystemClock(), settle_s=0.0)
    await one.hold("w")
    waiting = asyncio.create_task(ghost.execute("SELECT pg_advisory_lock($1)", lock_key("w")))
    pids = (
        "SELECT pid, granted FROM pg_locks JOIN pg_database ON oid = database "
        "WHERE locktype = 'advisory' AND datname = current_database() ORDER BY granted"
    )
    rows: list[asyncpg.Record] = []

    async def both_are_there() -> bool:
        rows[:] = await watcher.fetch(pids)
        return len(rows) == 2

    await until(both_are_there)
    await watcher.execute("SELECT pg_terminate_backend($1)", rows[1]["pid"])
    await waiting
    await until(lambda: one.lost() == ["w"] and one._standing.is_up)
    await ghost.close()

    async def is_ours_again() -> bool:
        await one.free([])
        return one.lost() == []

    await until(is_ours_again)
    await watcher.close()
    await one.close()


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    signals = open_signals("postgresql://nobody@127.0.0.1:1/none", tmp_path, SystemClock())
    with pytest.raises(Unavailable):
        await signals.presence.hold("w")
    assert await signals.presence.free(["w"]) == []
    await signals.presence.close()
    await signals.bell.close()


def test_presence_goes_with_the_database(tmp_path: Path) -> None:
    here = open_signals("redis://cache", tmp_path, SystemClock(), default_file="jobs.db")
    assert isinstance(here.presence, SqlitePresence)
    there = open_signals("redis://cache, postgres://u@db/shop", tmp_path, SystemClock())
    assert isinstance(there.presence, PostgresPresence)
    assert urlsplit(there.presence._standing._url).scheme == "postgresql"
