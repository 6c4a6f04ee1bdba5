"""What every SQL driver promises. One suite; `test_contract.py` runs it over all of them."""

import asyncio
import math
import random
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam

from holdfast.kernel.errors import BadInput, Conflict, Unavailable
from holdfast.kernel.room import Migration
from holdfast.ports.upsert import incoming, insert_ignore, upsert
from holdfast.stores.driver import Driver

METADATA = sa.MetaData()
THINGS = sa.Table(
    "things",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text),
    sa.Column("weight", sa.Float),
    sa.Column("payload", sa.LargeBinary),
    sa.Column("small", sa.Integer),
    sa.Column("count", sa.BigInteger, nullable=False),
)
PARTS = sa.Table(
    "parts",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("thing_id", sa.BigInteger, sa.ForeignKey("things.id"), nullable=False),
)


def _create(op: Any) -> None:
    METADATA.create_all(op.get_bind())


MIGRATIONS = [Migration(1, "things and their parts", _create)]

INSERT = sa.insert(THINGS)
GET = sa.select(*THINGS.c).where(THINGS.c.id == bindparam("id"))
IDS = sa.select(THINGS.c.id).order_by(THINGS.c.id)
SOME = sa.select(THINGS.c.id).where(THINGS.c.id.in_(bindparam("ids", expanding=True))).order_by(THINGS.c.id)
PAGE = IDS.limit(bindparam("most")).offset(bindparam("skip"))
RENAME = sa.update(THINGS).where(THINGS.c.id == bindparam("which")).values(name=bindparam("new"))
DELETE = sa.delete(THINGS).where(THINGS.c.count < bindparam("below"))
COUNT = sa.select(sa.func.count()).select_from(THINGS)
TOTALS = sa.select(sa.func.count(), sa.func.sum(THINGS.c.count), sa.func.avg(THINGS.c.count))
SAVE = upsert(THINGS, ("id",), ("name", "count"), where=THINGS.c.count <= incoming(THINGS)["count"])
ADD = upsert(THINGS, ("id",), {"count": THINGS.c.count + incoming(THINGS)["count"]}, returning=("count",))
ONCE = insert_ignore(THINGS, ("id",), returning=("id",))
READ_TO_WRITE = sa.select(THINGS.c.count).where(THINGS.c.id == bindparam("id")).with_for_update()
SET = sa.update(THINGS).where(THINGS.c.id == bindparam("which")).values(count=bindparam("to"))
RETURNING = sa.insert(THINGS).values(id=bindparam("key"), count=7).returning(THINGS.c.id, THINGS.c.count)
INSERT_PART = sa.insert(PARTS)

CONTENDERS = 8


async def answers(sql: Driver) -> bool:
    """Whether it has a place and an answer in time, which a busy machine has not at every moment."""
    try:
        await sql.ping()
    except Unavailable:
        return False
    return True


def thing(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "count": 0, **more}


class SqlContract:
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("name", "한글 이름과 🦦"),
            ("name", ""),
            ("name", "line\nbreak\ttab \x1b[31m \x7f"),
            ("name", "긴 글 " * 400_000),
            ("name", None),
            ("weight", 0.1),
            ("weight", -0.0),
            ("weight", math.inf),
            ("weight", 5e-324),
            ("weight", 1.7976931348623157e308),
            ("weight", None),
            ("payload", bytes(range(256))),
            ("payload", b""),
            ("payload", b"\0" * 1_000_000),
            ("payload", None),
            ("small", -(2**31)),
            ("small", 2**31 - 1),
            ("count", -(2**63)),
            ("count", 2**63 - 1),
        ],
    )
    async def test_values_come_back_as_they_were(self, sql: Driver, column: str, value: Any) -> None:
        row = {
            "id": 1,
            "name": None,
            "weight": None,
            "payload": None,
            "small": None,
            "count": 0,
            column: value,
        }
        assert await sql.run(INSERT, row) == 1
        (found,) = await sql.fetch(GET, {"id": 1})
        assert found == tuple(row.values())
        assert [type(cell) for cell in found] == [type(cell) for cell in row.values()]

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("name", "NUL \0 inside"),
            ("name", "\udcff"),
            ("name", 5),
            ("name", b"bytes"),
            ("weight", math.nan),
            ("weight", 10**400),
            ("weight", "1.0"),
            ("payload", "text"),
            ("small", 2**31),
            ("count", 2**63),
            ("count", 1.5),
            ("count", "1"),
        ],
    )
    async def test_what_one_database_refuses_is_refused_by_all(
        self, sql: Driver, column: str, value: Any
    ) -> None:
        with pytest.raises(BadInput, match=column):
            await sql.run(INSERT, thing(1) | {column: value})
        assert await sql.fetch(IDS) == []

    async def test_run_says_how_many_rows_it_touched(self, sql: Driver) -> None:
        assert await sql.run_many(INSERT, [thing(n, count=n) for n in range(10)]) == 10
        assert await sql.run(RENAME, {"which": 3, "new": "셋"}) == 1
        assert await sql.run(RENAME, {"which": 99, "new": "none"}) == 0
        assert await sql.run(DELETE, {"below": 4}) == 4
        assert await sql.fetch(IDS) == [(n,) for n in range(4, 10)]

    async def test_many_rows_are_written_all_or_none(self, sql: Driver) -> None:
        rows = [thing(n) for n in range(2_000)]
        with pytest.raises(Conflict):
            await sql.run_many(INSERT, [*rows, thing(0)])
        assert await sql.fetch(IDS) == []
        assert await sql.run_many(INSERT, rows) == 2_000
        assert await sql.run_many(INSERT, []) == 0

    @pytest.mark.parametrize("more", [{}, {"payload": b"\x00\xff"}], ids=["plain", "with bytes"])
    async def test_many_rows_at_once_are_as_if_one_by_one(self, sql: Driver, more: dict[str, bytes]) -> None:
        texts = ["한글 이름과 🦦", "", None, "line\nbreak", '{"a","b"}', "NULL", "\\", "x"]
        weights = [0.1, -0.0, None, 1e308, 5e-324, math.pi, -1 / 3, 1e16]
        rows = [
            {"id": n, "name": text, "weight": weight, "small": n or None, "count": 2**63 - 1 - n, **more}
            for n, (text, weight) in enumerate(zip(texts, weights, strict=True))
        ]
        clashing = [rows[2] | {"name": "again"}, *rows[:5]]
        assert await sql.together([(ONCE, [*rows, *clashing])]) == [[(n,) for n in range(len(rows))]]
        read = sa.select(*(THINGS.c[name] for name in rows[0])).order_by(THINGS.c.id)
        assert await sql.fetch(read) == [tuple(row.values()) for row in rows]

    async def test_the_same_row_again_and_again_counts_each_time(self, sql: Driver) -> None:
        assert await sql.together([(ADD, [thing(1, count=1)] * 6)]) == [[(n,) for n in range(1, 7)]]

    async def test_clashes_and_broken_rules_are_told_apart(self, sql: Driver) -> None:
        await sql.run(INSERT, thing(1))
        with pytest.raises(Conflict) as caught:
            await sql.run(INSERT, thing(1))
        assert (caught.value.status, caught.value.retryable) == (409, False)
        with pytest.raises(Conflict):
            await sql.run(INSERT_PART, {"id": 1, "thing_id": 404})
        with pytest.raises(BadInput):
            await sql.run(INSERT, thing(2) | {"count": None})

    @pytest.mark.parametrize("size", [0, 1, 2, 3, 1000])
    async def test_lists_of_any_length(self, sql: Driver, size: int) -> None:
        await sql.run_many(INSERT, [thing(n) for n in range(1_200)])
        found = await sql.fetch(SOME, {"ids": list(range(size))})
        assert found == [(n,) for n in range(size)]

    async def test_pages(self, sql: Driver) -> None:
        await sql.run_many(INSERT, [thing(n) for n in range(10)])
        assert await sql.fetch(PAGE, {"most": 3, "skip": 4}) == [(4,), (5,), (6,)]

    async def test_sums_are_whole_and_means_are_not(self, sql: Driver) -> None:
        assert await sql.fetch(TOTALS) == [(0, None, None)]
        await sql.run_many(INSERT, [thing(1, count=3), thing(2, count=4)])
        (found,) = await sql.fetch(TOTALS)
        assert found == (2, 7, 3.5)
        assert [type(cell) for cell in found] == [int, int, float]

    async def test_an_insert_that_returns_is_kept(self, sql: Driver) -> None:
        assert await sql.fetch(RETURNING, {"key": 5}) == [(5, 7)]
        assert await sql.fetch(IDS) == [(5,)]

    async def test_wrong_names_are_named(self, sql: Driver) -> None:
        with pytest.raises(TypeError, match="missing: id; unknown: ident"):
            await sql.fetch(GET, {"ident": 1})
        with pytest.raises(TypeError, match="missing: id"):
            await sql.fetch(GET)

    async def test_upserts(self, sql: Driver) -> None:
        assert await sql.run(SAVE, {"id": 1, "name": "처음", "count": 5}) == 1
        assert await sql.run(SAVE, {"id": 1, "name": "later", "count": 6}) == 1
        assert await sql.run(SAVE, {"id": 1, "name": "stale", "count": 2}) == 0
        ((_, name, *_, count),) = await sql.fetch(GET, {"id": 1})
        assert (name, count) == ("later", 6)
        assert await sql.fetch(ADD, {"id": 1, "count": 4}) == [(10,)]
        assert await sql.fetch(ONCE, thing(1)) == []
        assert await sql.fetch(ONCE, thing(2)) == [(2,)]

    async def test_a_transaction_keeps_everything_or_nothing(self, sql: Driver) -> None:
        async with sql.transaction() as tx:
            assert await tx.run(INSERT, thing(1)) == 1
            assert await tx.run_many(INSERT, [thing(2), thing(3)]) == 2
            assert await tx.fetch(IDS) == [(1,), (2,), (3,)]

        async def fail_after(good: int, bad: int | None) -> None:
            async with sql.transaction() as inner:
                await inner.run(INSERT, thing(good))
                if bad is None:
                    raise KeyError
                await inner.run(INSERT, thing(bad))

        with pytest.raises(KeyError):
            await fail_after(4, None)
        with pytest.raises(Conflict):
            await fail_after(5, 1)
        assert await sql.fetch(IDS) == [(1,), (2,), (3,)]
        with pytest.raises(RuntimeError, match="has ended"):
            await tx.fetch(IDS)

    async def test_a_cancelled_transaction_is_undone(self, sql: Driver) -> None:
        written = asyncio.Event()

        async def work() -> None:
            async with sql.transaction() as tx:
                await tx.run(INSERT, thing(1))
                written.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await sql.fetch(IDS) == []
        assert sql.state()["checked_out"] == 0

    async def test_steps_together_give_what_each_returned(self, sql: Driver) -> None:
        assert await sql.together([]) == []
        assert await sql.together([(INSERT, []), (RETURNING, [])]) == [[], []]
        found = await sql.together(
            [
                (INSERT, [thing(n, count=n) for n in range(1_200)]),
                (RETURNING, [{"key": 2_000}, {"key": 2_001}]),
                (ADD, [{"id": 3, "count": 4}]),
                (ONCE, [thing(3), thing(3_000), thing(3_000)]),
                (SOME, [{"ids": [1]}, {"ids": [1, 2, 3]}, {"ids": []}, {"ids": [9]}]),
                (DELETE, [{"below": 2}]),
                (COUNT, [{}]),
            ]
        )
        kept = [(1_200 + 2 + 1 - 3,)]  # 0, 1 and 3000 count less than two
        seen = [(1,), (1,), (2,), (3,), (9,)]
        assert found == [[], [(2_000, 7), (2_001, 7)], [(7,)], [(3_000,)], seen, [], kept]
        assert await sql.together([(RETURNING, [{"key": 1}])]) == [[(1, 7)]]
        assert await sql.together([(COUNT, [{}])]) == [[(kept[0][0] + 1,)]]

    async def test_steps_together_happen_all_or_not_at_all(self, sql: Driver) -> None:
        await sql.run(INSERT, thing(1))
        for last in [(INSERT, [thing(3), thing(1)]), (INSERT_PART, [{"id": 1, "thing_id": 404}])]:
            with pytest.raises(Conflict):
                await sql.together([(INSERT, [thing(2)]), (RETURNING, [{"key": 5}, {"key": 6}]), last])
        with pytest.raises(BadInput):
            await sql.together([(INSERT, [thing(2)]), (INSERT, [thing(3) | {"count": None}])])
        with pytest.raises(Conflict):
            await sql.together([(RETURNING, [{"key": 5}, {"key": 5}])])
        with pytest.raises(TypeError, match="unknown: ident"):
            await sql.together([(INSERT, [thing(2)]), (GET, [{"ident": 1}])])
        assert await sql.fetch(IDS) == [(1,)]

    async def test_steps_together_that_are_cancelled_leave_nothing_half(self, sql: Driver) -> None:
        for turns in range(40):
            rows = [thing(turns * 1_000 + n) for n in range(700)]
            task = asyncio.create_task(sql.together([(INSERT, rows[:350]), (INSERT, rows[350:])]))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        ((count,),) = await sql.fetch(COUNT)
        assert count % 700 == 0
        state = sql.state()
        assert (state["checked_out"], state["waiting"]) == (0, 0)

    async def test_tasks_may_share_a_transaction(self, sql: Driver) -> None:
        async with sql.transaction() as tx:
            await asyncio.gather(*(tx.run(INSERT, thing(n)) for n in range(20)))
        assert len(await sql.fetch(IDS)) == 20

    async def test_eight_contenders_count_every_one(self, sql: Driver) -> None:
        async def contend() -> None:
            for _ in range(25):
                await sql.run(ADD, {"id": 1, "count": 1})

        await asyncio.gather(*(contend() for _ in range(CONTENDERS)))
        assert await sql.fetch(ADD, {"id": 1, "count": 0}) == [(25 * CONTENDERS,)]

    async def test_eight_contenders_read_and_write_in_turn(self, sql: Driver) -> None:
        await sql.run(INSERT, thing(1))

        async def contend() -> None:
            for _ in range(15):
                async with sql.transaction() as tx:
                    ((count,),) = await tx.fetch(READ_TO_WRITE, {"id": 1})
                    await tx.run(SET, {"which": 1, "to": count + 1})

        await asyncio.gather(*(contend() for _ in range(CONTENDERS)))
        ((*_, count),) = await sql.fetch(GET, {"id": 1})
        assert count == 15 * CONTENDERS

    async def test_of_eight_contenders_one_is_first(self, sql: Driver) -> None:
        for number in range(10):
            results = await asyncio.gather(*(sql.fetch(ONCE, thing(number)) for _ in range(CONTENDERS)))
            assert sorted(results) == [[]] * (CONTENDERS - 1) + [[(number,)]]

    async def test_ten_thousand_cancelled_leave_nothing_checked_out(self, sql: Driver) -> None:
        await sql.run(INSERT, thing(1))
        chance = random.Random(7)

        async def in_a_transaction() -> None:
            async with sql.transaction() as tx:
                await tx.run(ADD, {"id": 1, "count": 1})
                await tx.run(ADD, {"id": 1, "count": -1})

        def work() -> Any:
            return chance.choice(
                [
                    lambda: sql.fetch(GET, {"id": 1}),
                    lambda: sql.run(RENAME, {"which": 1, "new": "이름"}),
                    in_a_transaction,
                ]
            )()

        for _ in range(50):
            tasks = [asyncio.create_task(work()) for _ in range(200)]
            for task in chance.sample(tasks, len(tasks)):
                for _ in range(chance.randrange(3)):
                    await asyncio.sleep(0)
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            odd = [r for r in results if isinstance(r, Exception)]
            assert odd == []
        state = sql.state()
        assert (state["checked_out"], state["waiting"]) == (0, 0)
        assert await sql.fetch(ADD, {"id": 1, "count": 0}) == [(0,)]

    async def test_it_starts_and_stops_more_than_once(self, sql: Driver) -> None:
        await sql.start()
        await sql.ping()
        state = sql.state()
        assert state["pool_size"] >= 1
        assert state["opened_total"] >= 1
        await sql.stop()
        await sql.stop()
        for call in (
            sql.ping(),
            sql.fetch(IDS),
            sql.run(INSERT, thing(1)),
            sql.run_many(INSERT, [thing(1)]),
            sql.together([(INSERT, [thing(1)])]),
        ):
            with pytest.raises(Unavailable):
                await call
        with pytest.raises(Unavailable):
            async with sql.transaction():
                pass
        await sql.start()
        await sql.ping()
