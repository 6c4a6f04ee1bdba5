"""What is asked again and again finds its rows by an index, never among all that has ended."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import pysqlite

from holdfast.rooms.jobs.store import reading, statements, tables, telling, upkeep

ASKED = {
    "lengths": upkeep.LENGTHS,
    "results": upkeep.DROP_RESULTS,
    "old": upkeep.OLD,
    "old dead": upkeep.OLD_DEAD,
    "strays": upkeep.STRAYS,
    "adopt ready": telling.ADOPT[0],
    "adopt in time": telling.ADOPT[1],
    "release batches": statements.RELEASE_BATCHES,
    **{
        f"list {state}": reading._listing(state, ("before",))
        for state in ("scheduled", "available", "running", "retrying", "failed", "cancelled")
    },
}


@pytest.fixture(scope="module")
def connection():
    engine = sa.create_engine("sqlite://")
    tables.jobs.metadata.create_all(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.parametrize("asked", ASKED)
def test_no_statement_walks_through_what_has_ended(connection, asked):
    made = ASKED[asked].compile(dialect=pysqlite.dialect(paramstyle="named"))
    given = {name: value if value is not None else 0 for name, value in made.params.items()}
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {made}", given).fetchall()
    steps = [row[3] for row in plan]
    walks = [
        step
        for step in steps
        if "jobs" in step
        and (step == "SCAN jobs" or "PRIMARY KEY (id<" in step or "PRIMARY KEY (id>" in step)
    ]
    assert walks == [], steps
    if asked == "release batches":
        assert any("jobs_in_batch (batch=? AND ended_ms=?)" in step for step in steps), steps
