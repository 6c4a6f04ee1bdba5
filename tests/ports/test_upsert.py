"""The SQL of each form; what it does to rows, every driver is asked in stores/contract.py."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from holdfast.ports.upsert import Upsert, incoming, insert_ignore, upsert

T = sa.Table(
    "t",
    sa.MetaData(),
    sa.Column("a", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("n", sa.BigInteger),
)
DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}


def tail(statement: Upsert, dialect: str) -> str:
    text = str(statement.for_dialect(dialect).compile(dialect=DIALECTS[dialect]))
    return " ".join(text.split()).partition(" ON ")[2]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (insert_ignore(T), "CONFLICT DO NOTHING"),
        (insert_ignore(T, ("a",)), "CONFLICT (a) DO NOTHING"),
        (upsert(T, ("a",), ("n",)), "CONFLICT (a) DO UPDATE SET n = excluded.n"),
        (
            upsert(T, ("a",), {"n": T.c.n + incoming(T).n}),
            "CONFLICT (a) DO UPDATE SET n = (t.n + excluded.n)",
        ),
        (
            upsert(T, ("a",), ("n",), where=T.c.n < incoming(T).n),
            "CONFLICT (a) DO UPDATE SET n = excluded.n WHERE t.n < excluded.n",
        ),
    ],
)
def test_both_databases_are_told_the_same(dialect: str, statement: Upsert, said: str) -> None:
    assert tail(statement, dialect) == said


@pytest.mark.parametrize("dialect", DIALECTS)
def test_it_returns_columns_and_takes_expressions(dialect: str) -> None:
    statement = upsert(T, ("a",), ("n",), values={"a": sa.bindparam("key"), "n": 1}, returning=("n",))
    assert statement.names_values
    compiled = statement.for_dialect(dialect).compile(dialect=DIALECTS[dialect])
    assert {"key", "n"} <= compiled.params.keys()
    assert "RETURNING" in str(compiled)


def test_nothing_to_clash_on_or_to_change_is_refused() -> None:
    for key, update in (((), ("n",)), (("a",), ())):
        with pytest.raises(ValueError, match="needs the key"):
            upsert(T, key, update)


def test_another_database_is_refused() -> None:
    with pytest.raises(ValueError, match="no upsert is known for 'oracle'"):
        insert_ignore(T).for_dialect("oracle")


def test_it_prints_as_sql() -> None:
    assert str(insert_ignore(T)).startswith("INSERT INTO t")
