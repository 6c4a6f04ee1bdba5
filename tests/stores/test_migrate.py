import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.room import Migration
from holdfast.stores.driver import Driver
from holdfast.stores.migrate import TABLE, Step, check_plans, migrate, outstanding, pending
from holdfast.stores.open import open_sql


def nothing(op: Any) -> None:
    pass


def plan(*versions: int) -> list[Migration]:
    return [Migration(version, f"step {version}", nothing) for version in versions]


def create_books(op: Any) -> None:
    op.create_table(
        "books",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("title", sa.Text, nullable=False),
    )


def add_author(op: Any) -> None:
    op.add_column("books", sa.Column("author", sa.Text, nullable=False, server_default="모름"))


def widen_title(op: Any) -> None:
    with op.batch_alter_table("books") as books:  # on SQLite this rebuilds the table
        books.alter_column("title", nullable=True)


def fail(op: Any) -> None:
    op.create_table("left_behind", sa.Column("id", sa.BigInteger, primary_key=True))
    raise RuntimeError("the disk said no")


BOOKS = [
    Migration(1, "books", create_books),
    Migration(2, "authors", add_author),
    Migration(3, "books without a title", widen_title),
]
STEPS = [Step("books", 1, "books"), Step("books", 2, "authors"), Step("books", 3, "books without a title")]
ALL = sa.select(sa.column("title"), sa.column("author")).select_from(sa.table("books"))
ADD = sa.insert(sa.table("books", sa.column("id", sa.BigInteger), sa.column("title", sa.Text)))
DONE = sa.select(*TABLE.c).order_by(TABLE.c.room, TABLE.c.version)


@pytest.mark.parametrize("versions", [(), (1,), (1, 2, 3)])
def test_whole_plans_pass(versions: tuple[int, ...]) -> None:
    check_plans({"room": plan(*versions)})


@pytest.mark.parametrize("versions", [(0,), (2,), (1, 3), (2, 1), (1, 1)])
def test_plans_with_gaps_are_refused(versions: tuple[int, ...]) -> None:
    with pytest.raises(Misconfigured, match="room are numbered"):
        check_plans({"room": plan(*versions)})


@pytest.mark.parametrize(
    ("applied", "left"), [([], [1, 2, 3]), ([1], [2, 3]), ([2, 1], [3]), ([1, 2, 3], [])]
)
def test_what_is_left_to_do(applied: list[int], left: list[int]) -> None:
    steps = outstanding({"room": plan(1, 2, 3)}, {"room": applied, "a room that is gone": [1, 2]})
    assert [migration.version for _, migration in steps] == left


@pytest.mark.parametrize(
    ("applied", "said"),
    [([1, 2, 3, 4], "has version 4 of room room, the code only 3"), ([1, 3], "are missing")],
)
def test_a_database_that_does_not_fit_the_code_is_refused(applied: list[int], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        outstanding({"room": plan(1, 2, 3)}, {"room": applied})


async def test_steps_are_taken_once_and_written_down(sql: Driver) -> None:
    assert await pending(sql, {"books": BOOKS}) == STEPS
    assert await pending(sql, {"books": BOOKS}) == STEPS
    assert await migrate(sql, {"books": BOOKS[:2]}, wall=lambda: 1750000000.25) == STEPS[:2]
    await sql.run(ADD, {"id": 1, "title": "코스모스"})
    assert await migrate(sql, {"books": BOOKS}) == STEPS[2:]
    assert await migrate(sql, {"books": BOOKS}) == []
    await sql.run(ADD, {"id": 2, "title": None})
    assert sorted(await sql.fetch(ALL), key=str) == [("코스모스", "모름"), (None, "모름")]
    rows = [row for row in await sql.fetch(DONE) if row[0] == "books"]
    assert [row[1:3] for row in rows] == [(step.version, step.summary) for step in STEPS]
    assert rows[0][3] == 1750000000250


async def test_a_step_that_fails_leaves_the_database_as_it_was(sql: Driver) -> None:
    plans = {"books": BOOKS, "broken": [Migration(1, "never works", fail)]}
    with pytest.raises(Misconfigured, match=r"migration 1 of room broken .*the disk said no"):
        await migrate(sql, plans)
    assert len(await pending(sql, plans)) == 4
    assert await migrate(sql, {"books": BOOKS}) == STEPS


async def test_a_database_newer_than_the_code_stops_the_start(sql: Driver) -> None:
    await migrate(sql, {"books": BOOKS})
    with pytest.raises(Misconfigured, match="has version 3 of room books, the code only 1"):
        await migrate(sql, {"books": BOOKS[:1]})


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_rebuilding_a_table_does_not_cascade(sql: Driver) -> None:
    def create_pages(op: Any) -> None:
        parent = sa.ForeignKey("books.id", ondelete="CASCADE")
        columns = [
            sa.Column("id", sa.BigInteger, primary_key=True),
            sa.Column("book_id", sa.BigInteger, parent),
        ]
        op.create_table("pages", *columns)

    await migrate(sql, {"books": BOOKS[:2], "pages": [Migration(1, "pages", create_pages)]})
    await sql.run(ADD, {"id": 1, "title": "코스모스"})
    pages = sa.table("pages", sa.column("id", sa.BigInteger), sa.column("book_id", sa.BigInteger))
    await sql.run(sa.insert(pages), {"id": 1, "book_id": 1})
    await migrate(sql, {"books": BOOKS})
    assert await sql.fetch(sa.select(sa.func.count()).select_from(pages)) == [(1,)]
    ((enforced,),) = await sql.fetch(sa.text("SELECT foreign_keys FROM pragma_foreign_keys"))
    assert enforced == 1


RACE = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from holdfast.kernel.clock import SystemClock
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_sql
from tests.stores.test_migrate import BOOKS

async def race():
    sql = open_sql(sys.argv[1], Path("."), SystemClock())
    await sql.start()
    sys.stdin.readline()
    print(len(await migrate(sql, {"books": BOOKS})))
    await sql.stop()

asyncio.run(race())
"""


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
async def test_four_processes_at_once_take_each_step_once(url: str, tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RACE, url, root),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ),
        )
        for _ in range(4)
    ]
    results = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [error for _, error in results] == [b""] * 4
    assert sorted(int(output) for output, _ in results) == [0, 0, 0, 3]
    sql = open_sql(url, tmp_path, SystemClock())
    await sql.start()
    assert await pending(sql, {"books": BOOKS}) == []
    await sql.stop()
