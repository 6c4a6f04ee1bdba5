"""The tables of what decides assignment: definitions, overrides, one version over them all, their history."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, insert

from holdfast.kernel.room import Migration

_meta = MetaData()

definitions = Table(
    "experiments_definitions",
    _meta,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
"""`kind` is `flag`, `segment`, `layer` or `holdout`; `body` the noun in JSON, its generation included."""

overrides = Table(
    "experiments_overrides",
    _meta,
    Column("flag", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("variant", Text, nullable=False),
)

version = Table(
    "experiments_version",
    _meta,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)
"""One row. Whoever changes anything locks it first: so changes are one after another."""

history = Table(
    "experiments_history",
    _meta,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("before", Text),
    Column("after", Text),
)
"""Every change by the version that it made. `before` and `after` are JSON; NULL where there was nothing."""

Index("experiments_history_of", history.c.kind, history.c.name, history.c.version)


def _create(op: Any) -> None:
    bind = op.get_bind()
    _meta.create_all(bind)
    bind.execute(insert(version).values(id=1, version=0))


MIGRATION = Migration(1, "flags, segments, layers, the holdout, overrides and their history", _create)
