import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import Misconfigured, Unavailable
from holdfast.stores.config import Config
from holdfast.stores.migrate import migrate
from holdfast.stores.postgres import PostgresSql
from tests.servers import PostgresServer
from tests.stores import contract
from tests.waiting import until

SLEEP = sa.text("SELECT pg_sleep(600)")


@pytest.fixture
async def sql(postgres_database: str) -> AsyncIterator[PostgresSql]:
    driver = PostgresSql(postgres_database, Config(pool_size=8, deadline_s=60.0))
    await driver.start()
    await migrate(driver, {"contract": contract.MIGRATIONS})
    yield driver
    await driver.stop()


ENDED = (
    "CASE WHEN datname = current_database() AND pid <> pg_backend_pid() THEN pg_terminate_backend(pid) END"
)
"""A condition that ends whatever it is asked of in this database, apart from who asks."""


async def backends(url: str, condition: str = "true") -> int:
    watcher = await asyncpg.connect(url)
    try:
        return int(
            await watcher.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                f"AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND {condition}"
            )
        )
    finally:
        await watcher.close()


async def none_left(url: str, condition: str) -> bool:
    return not await backends(url, condition)


@pytest.mark.slow
async def test_ten_thousand_cancelled_mid_query_leave_no_connection_behind(
    sql: PostgresSql, postgres_database: str
) -> None:
    chance = random.Random(3)
    living = [asyncio.create_task(sql.fetch(SLEEP)) for _ in range(16)]
    for _ in range(10_000 // 8):
        chance.shuffle(living)
        leaving, living = living[:8], living[8:]
        for task in leaving:
            task.cancel()
        ended = await asyncio.gather(*leaving, return_exceptions=True)
        assert [type(end) for end in ended] == [asyncio.CancelledError] * 8
        living += [asyncio.create_task(sql.fetch(SLEEP)) for _ in range(8)]
    for task in living:
        task.cancel()
    await asyncio.gather(*living, return_exceptions=True)
    state = sql.state()
    assert (state["checked_out"], state["waiting"]) == (0, 0)
    assert sql._pool.get_idle_size() + len(sql._at_hand) == sql._pool.get_size()
    await asyncio.gather(*(sql.ping() for _ in range(50)))
    await until(lambda: none_left(postgres_database, "state <> 'idle'"))

    async def eight_are_left() -> bool:
        return await backends(postgres_database) <= 8

    await until(eight_are_left)  # a session that was ended is listed for a moment longer


async def test_a_statement_past_the_deadline_is_cancelled_at_the_server(postgres_database: str) -> None:
    sql = PostgresSql(postgres_database, Config(pool_size=1, deadline_s=1.0))
    await sql.start()
    with pytest.raises(Unavailable, match="did not answer in time") as caught:
        await sql.fetch(SLEEP)
    assert caught.value.retry_after_s is not None
    await until(lambda: none_left(postgres_database, "query LIKE '%pg_sleep%' AND state = 'active'"))
    await until(lambda: contract.answers(sql))
    await sql.stop()


async def test_who_finds_the_pool_taken_gets_503_at_the_deadline(postgres_database: str) -> None:
    sql = PostgresSql(postgres_database, Config(pool_size=1, deadline_s=1.0))
    await sql.start()
    async with sql.transaction():
        with pytest.raises(Unavailable, match="no place within"):
            await sql.ping()
    await until(lambda: contract.answers(sql))
    await sql.stop()


async def test_a_deadlock_is_worth_a_retry_and_the_connections_come_back(sql: PostgresSql) -> None:
    await sql.run_many(contract.INSERT, [contract.thing(1), contract.thing(2)])
    both = asyncio.Barrier(2)

    async def cross(first: int, second: int) -> None:
        async with sql.transaction() as tx:
            await tx.run(contract.SET, {"which": first, "to": 1})
            await both.wait()
            await tx.run(contract.SET, {"which": second, "to": 1})

    results = await asyncio.gather(cross(1, 2), cross(2, 1), return_exceptions=True)
    (failed,) = [result for result in results if result is not None]
    assert isinstance(failed, Unavailable)
    assert failed.retryable
    assert sql.state()["checked_out"] == 0


async def test_a_release_costs_no_round_trip(sql: PostgresSql, postgres_database: str) -> None:
    for _ in range(5):
        await sql.ping()
    last = "query NOT LIKE 'SELECT 1' AND query ~* '(unlisten|reset|advisory)'"
    assert await backends(postgres_database, last) == 0
    assert sql.state()["opened_total"] == 1


@pytest.mark.parametrize(("synchronous", "commits"), [("normal", "off"), ("full", "on")])
async def test_a_full_commit_is_on_the_disk_whatever_the_server_does(
    postgres_database: str, synchronous: str, commits: str
) -> None:
    admin = await asyncpg.connect(postgres_database)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    await admin.close()
    sql = PostgresSql(postgres_database, Config(synchronous=synchronous))
    await sql.start()
    assert await sql.fetch(sa.text("SELECT current_setting('synchronous_commit')")) == [(commits,)]
    await sql.stop()


async def test_what_a_burst_opened_is_at_hand_and_goes_back_to_the_pool_unused(
    postgres_database: str,
) -> None:
    clock = ManualClock()
    sql = PostgresSql(postgres_database, Config(pool_size=4), clock)
    await sql.start()
    for _ in range(2):
        await asyncio.gather(*(sql.ping() for _ in range(4)))
    assert sql.state()["opened_total"] == 4
    assert sql._pool.get_idle_size() == 0
    clock.advance(61.0)
    await sql.ping()
    sql.give_back()
    await asyncio.gather(*sql._returning)
    assert sql._pool.get_idle_size() == 3, "the pool closes what it has for long; the one in use stays"
    clock.advance(61.0)
    sql.give_back()
    assert sql._timer is None, "nothing is left to look for"
    await sql.stop()
    await sql.start()
    await sql.ping()
    await sql.stop()


async def test_one_that_the_server_ends_at_hand_is_not_used_again(
    sql: PostgresSql, postgres_database: str
) -> None:
    await sql.ping()
    [(at_hand, _)] = sql._at_hand
    await backends(postgres_database, ENDED)
    await until(lambda: at_hand._con is None, "asyncpg has noticed")
    await sql.ping()
    assert sql.state()["opened_total"] == 2


async def test_one_that_the_server_ends_after_the_answer_is_not_kept(
    sql: PostgresSql, postgres_database: str
) -> None:
    async with sql._connection() as (connection, _):
        await backends(postgres_database, ENDED)
        await until(lambda: connection._con is None, "asyncpg has noticed")
    assert not sql._at_hand
    await sql.ping()


async def test_a_transaction_left_open_by_text_is_ended(sql: PostgresSql, postgres_database: str) -> None:
    await sql.run(sa.text("BEGIN"))
    assert await backends(postgres_database, "state LIKE 'idle in transaction%'") == 0


async def test_a_killed_server_gives_503_and_recovers_by_itself(own_postgres: PostgresServer) -> None:
    sql = PostgresSql(own_postgres.url, Config(pool_size=4, deadline_s=5.0))
    await sql.start()
    await migrate(sql, {"contract": contract.MIGRATIONS})
    outcomes: Counter[str] = Counter()
    odd: list[BaseException] = []
    stopping = asyncio.Event()

    async def in_a_transaction() -> None:
        async with sql.transaction() as tx:
            await tx.run(contract.ADD, {"id": 1, "count": 1})
            await tx.fetch(contract.IDS)

    async def load(number: int) -> None:
        calls = [
            lambda: sql.fetch(contract.IDS),
            in_a_transaction,
            lambda: sql.run(contract.ADD, {"id": 2, "count": 1}),
        ]
        while not stopping.is_set():
            try:
                await calls[number % 3]()
                outcomes["ok"] += 1
            except Unavailable as problem:
                outcomes["unavailable" if problem.retry_after_s else "without a time to retry"] += 1
            except Exception as error:
                odd.append(error)
                return

    async def reached(name: str, more: int) -> None:
        target = outcomes[name] + more
        await until(lambda: outcomes[name] >= target or odd)

    tasks = [asyncio.create_task(load(number)) for number in range(12)]
    for _ in range(3):
        await reached("ok", 200)
        await asyncio.to_thread(own_postgres.kill)
        await reached("unavailable", 100)
        await asyncio.to_thread(own_postgres.start)
        await reached("ok", 200)
    stopping.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks)
    assert odd == []
    assert set(outcomes) == {"ok", "unavailable"}
    state = sql.state()
    assert (state["checked_out"], state["waiting"]) == (0, 0)
    await sql.ping()
    await sql.stop()


async def test_a_server_that_is_down_at_the_start_is_unavailable(own_postgres: PostgresServer) -> None:
    await asyncio.to_thread(own_postgres.kill)
    sql = PostgresSql(own_postgres.url, Config(deadline_s=5.0))
    with pytest.raises(Unavailable):
        await sql.start()
    await asyncio.to_thread(own_postgres.start)
    await sql.start()
    await sql.ping()
    await sql.stop()


@pytest.mark.parametrize("change", [("/postgres", "/nowhere"), ("holdfast@", "nobody_known@")])
async def test_no_such_database_or_user_stops_the_start(
    own_postgres: PostgresServer, change: tuple[str, str]
) -> None:
    sql = PostgresSql(own_postgres.url.replace(*change), Config(deadline_s=5.0))
    with pytest.raises(Misconfigured, match="does not let us in"):
        await sql.start()


async def test_state_never_tells_the_password(tmp_path: Path) -> None:
    sql = PostgresSql("postgresql://user:geheim@db.example:5432/shop")
    assert sql.state()["database"] == "db.example:5432/shop"
    assert "geheim" not in str(sql.state())
