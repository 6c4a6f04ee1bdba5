from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.sqlite import pysqlite

from holdfast.ports.upsert import insert_ignore, upsert
from holdfast.stores import compile as compiling
from holdfast.stores.compile import Statements, bind_rows

T = sa.Table(
    "t",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("made", sa.BigInteger, default=lambda: 5),
)
BOOKS = sa.Table(
    "books", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("name", sa.Text)
)
PLAIN = sa.table("t", sa.column("id", sa.BigInteger), sa.column("name", sa.Text))
SOME = sa.select(PLAIN.c.id).where(
    PLAIN.c.id.in_(bindparam("ids", expanding=True)), PLAIN.c.name != "x", PLAIN.c.name == bindparam("name")
)


def sqlite() -> Statements:
    return Statements(pysqlite.dialect(paramstyle="qmark"))


def postgres() -> Statements:
    return Statements(asyncpg.dialect())


def test_each_database_gets_its_own_marks() -> None:
    found = sa.select(PLAIN.c.id).where(PLAIN.c.name == bindparam("name"), PLAIN.c.id > bindparam("after"))
    text, values = sqlite().get(found).bind({"after": 3, "name": "글"})
    assert (" ".join(text.split()), values) == (
        "SELECT t.id FROM t WHERE t.name = ? AND t.id > ?",
        ("글", 3),
    )
    text, values = postgres().get(found).bind({"after": 3, "name": "글"})
    assert text.endswith("t.name = $1::VARCHAR AND t.id > $2::BIGINT")
    assert values == ("글", 3)


@pytest.mark.parametrize("statements", [sqlite(), postgres()])
def test_a_name_used_twice_and_constants_find_their_places(statements: Statements) -> None:
    twice = sa.select(PLAIN.c.id).where(
        sa.or_(PLAIN.c.name == bindparam("q"), PLAIN.c.name > bindparam("q")), PLAIN.c.id == 7
    )
    text, values = statements.get(twice).bind({"q": "a"})
    assert values == (("a", "a", 7) if "?" in text else ("a", 7))


def test_a_statement_is_compiled_once_and_found_by_identity() -> None:
    statements = sqlite()
    assert statements.get(SOME) is statements.get(SOME)
    insert = sa.insert(PLAIN)
    one, both = {"id": 1}, {"id": 1, "name": "a"}
    assert statements.get(insert, one) is statements.get(insert, dict(one))
    assert statements.get(insert, one) is not statements.get(insert, both)
    assert statements.get(insert, both).bind(both) == ("INSERT INTO t (id, name) VALUES (?, ?)", (1, "a"))


def test_statements_built_per_call_do_not_pile_up() -> None:
    statements = sqlite()
    constant = sa.select(PLAIN.c.id)
    kept = statements.get(constant)
    for number in range(compiling._CACHED + 100):
        statements.get(sa.select(PLAIN.c.id).where(PLAIN.c.id == number)).bind({})
        assert statements.get(constant) is kept
    assert len(statements) == compiling._CACHED


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=70))
def test_lists_keep_their_values_and_few_texts(ids: list[int]) -> None:
    statements = sqlite()
    text, values = statements.get(SOME).bind({"ids": ids, "name": "n"})
    assert text.count("?") == len(values)
    assert set(values[:-2]) == set(ids)
    assert values[-2:] == ("x", "n")
    assert len(values) - 2 in {0, 1, 2, 4, 8, 16, 32, 64, 128}


def test_a_list_that_stands_in_the_statement_is_kept() -> None:
    fixed = sa.select(PLAIN.c.id).where(PLAIN.c.id.in_([1, 2, 3]), PLAIN.c.name == bindparam("name"))
    assert sqlite().get(fixed).bind({"name": "n"})[1] == (1, 2, 3, 3, "n")
    assert postgres().get(fixed).bind({"name": "n"})[1] == ("n", 1, 2, 3, 3)


def test_a_list_beyond_the_limit_says_what_to_do() -> None:
    with pytest.raises(TypeError, match="split it into parts of 16384"):
        sqlite().get(SOME).bind({"ids": range(16_385), "name": "n"})


@pytest.mark.parametrize(
    ("given_", "said"),
    [({}, "missing: ids, name"), ({"ids": [1], "name": "a", "extra": 1}, "unknown: extra")],
)
def test_names_that_do_not_match_are_named(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        sqlite().get(SOME).bind(given_)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (sa.insert(T), "columns with a Python default are not supported, pass the value: made"),
        (sa.schema.CreateTable(T), "tables are made by migrations"),
        (sa.select(sa.literal(True)), "BOOLEAN|Boolean"),
    ],
)
def test_what_the_port_does_not_do_is_refused(statement: Any, said: str) -> None:
    values = {"id": 1, "name": "a"}
    with pytest.raises(TypeError, match=said):
        sqlite().get(statement, values).bind(values)


@pytest.mark.parametrize(
    ("statement", "writes"),
    [
        (sa.select(PLAIN.c.id), False),
        (sa.union(sa.select(PLAIN.c.id), sa.select(PLAIN.c.id)), False),
        (sa.select(PLAIN.c.id).with_for_update(), True),
        (sa.select(sa.delete(PLAIN).returning(PLAIN.c.id).cte("gone").c.id), True),
        (sa.insert(PLAIN).returning(PLAIN.c.id), True),
        (sa.update(PLAIN).values(name="a"), True),
        (sa.delete(PLAIN), True),
        (upsert(BOOKS, ("id",), ("name",)), True),
        (sa.text("  select 1"), False),
        (sa.text("UPDATE t SET name = 'a'"), True),
        (sa.text("WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone"), True),
    ],
)
def test_it_knows_what_writes(statement: Any, writes: bool) -> None:
    assert postgres().get(statement, {"id": 1, "name": "a"}).writes is writes


def test_a_plain_insert_returns_nothing_by_itself() -> None:
    values = {"id": 1}
    for statement in (sa.insert(BOOKS), insert_ignore(BOOKS, ("id",))):
        assert "RETURNING" not in postgres().get(statement, values).bind(values)[0]


async def test_rows_are_bound_in_order() -> None:
    rows = [{"id": number, "name": str(number)} for number in range(1_201)]
    text, values = await bind_rows(sqlite().get(sa.insert(PLAIN), rows[0]), rows)
    assert text == "INSERT INTO t (id, name) VALUES (?, ?)"
    assert values == [(number, str(number)) for number in range(1_201)]
    with pytest.raises(TypeError, match="missing: name"):
        await bind_rows(sqlite().get(sa.insert(PLAIN), rows[0]), [*rows, {"id": 1}])
