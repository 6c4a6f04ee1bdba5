"""Which inserts travel as arrays, and how."""

import pytest

from holdfast.stores.postgres_arrays import widened

HEAD = "INSERT INTO jobs (id, n) "
ONE = "VALUES ($1::VARCHAR, $2::BIGINT)"
MANY = "SELECT v1::VARCHAR, v2::BIGINT FROM unnest($1::TEXT[], $2::TEXT[]) AS given (v1, v2)"


CONFLICT = " ON CONFLICT DO NOTHING"


@pytest.mark.parametrize(
    "tail",
    [
        "",
        CONFLICT,
        " ON CONFLICT (id, n) DO NOTHING",
        " RETURNING jobs.id, jobs.n",
        f"{CONFLICT} RETURNING id",
    ],
)
def test_a_bare_insert_takes_arrays(tail: str) -> None:
    wide = widened(HEAD + ONE + tail)
    assert wide is not None
    assert wide.text == HEAD + MANY + tail
    assert wide.arrays([("가", 1), (None, -2), ("", None)]) == [("가", None, ""), ["1", "-2", None]]


@pytest.mark.parametrize(
    "text",
    [
        HEAD + ONE + " ON CONFLICT (id) DO UPDATE SET n = excluded.n",
        HEAD + "VALUES ($1::VARCHAR, 7)",
        HEAD + "VALUES ($1::VARCHAR, lower($2::VARCHAR))",
        HEAD + "VALUES ($1::BIGINT, $1::BIGINT)",
        HEAD + "VALUES ($1, $2)",
        HEAD + "SELECT jobs.id, $1::BIGINT FROM jobs",
        HEAD + "VALUES ($1::VARCHAR, $2::BYTEA)",
        "UPDATE jobs SET n = $1::BIGINT",
        HEAD + ONE + " RETURNING count(*)",
    ],
)
def test_all_else_goes_row_by_row(text: str) -> None:
    assert widened(text) is None
