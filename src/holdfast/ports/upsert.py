"""Insert or ignore, insert or update: one statement for every database behind the Sql port.

SQLAlchemy's own `insert().on_conflict_...` belongs to one dialect each. A room states the intent
here, as a constant in its `store.py`; the driver asks for the form its database speaks.

    SAVE = upsert(items, key=("id",), update=("title", "changed_ms"))
    COUNT = upsert(views, key=("item_id",), update={"n": views.c.n + incoming(views).n})
    ONCE = insert_ignore(feedback, key=("idempotency_key",), returning=("idempotency_key",))
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.elements import ClauseElement, ColumnElement


def insert_ignore(
    table: Table,
    key: Sequence[str] = (),
    *,
    values: Mapping[str, Any] | None = None,
    returning: Sequence[str] = (),
) -> "Upsert":
    """Insert the row unless one with this `key` is there; an empty `key` means any unique constraint.

    `run` gives 1 when it was inserted and 0 when not; `returning` gives a row only when inserted.
    """
    return Upsert(table, tuple(key), {}, None, dict(values or {}), tuple(returning))


def upsert(
    table: Table,
    key: Sequence[str],
    update: Sequence[str] | Mapping[str, ColumnElement[Any] | str | float | None],
    *,
    where: ColumnElement[bool] | None = None,
    values: Mapping[str, Any] | None = None,
    returning: Sequence[str] = (),
) -> "Upsert":
    """Insert the row, or change the one that has its `key` (the columns of a unique constraint).

    `update` names the columns that take the incoming value, or maps columns to expressions, in
    which `incoming(table)` is the row that was to be inserted. `where` keeps the old row as it is
    when false. Values travel by column name, unless `values` maps columns to expressions.
    """
    if not key or not update:
        raise ValueError("an upsert needs the key that may clash and the columns to change")
    changes = (
        dict(update) if isinstance(update, Mapping) else {name: incoming(table)[name] for name in update}
    )
    return Upsert(table, tuple(key), changes, where, dict(values or {}), tuple(returning))


def incoming(table: Table) -> ReadOnlyColumnCollection[str, Any]:
    """The columns of the row that met another of the same key (SQL's `excluded`)."""
    return table.alias("excluded").c


class Upsert(ClauseElement):
    """The intent; `for_dialect` gives the statement."""

    inherit_cache = False

    def __init__(
        self,
        table: Table,
        key: tuple[str, ...],
        update: Mapping[str, Any],
        where: ColumnElement[bool] | None,
        values: Mapping[str, Any],
        returning: tuple[str, ...],
    ) -> None:
        self.table = table
        self.key = key
        self.update = update
        self.where = where
        self.values = values
        self.returning = returning

    @property
    def names_values(self) -> bool:
        """Whether the statement says its values itself, instead of taking them by column."""
        return bool(self.values)

    def for_dialect(self, name: str) -> Insert:
        """The insert of SQLAlchemy's dialect `name`: `sqlite` or `postgresql`."""
        if name not in ("sqlite", "postgresql"):
            raise ValueError(f"no upsert is known for {name!r}")
        statement = sqlite.insert(self.table) if name == "sqlite" else postgresql.insert(self.table)
        if self.values:
            statement = statement.values(dict(self.values))
        if self.update:
            statement = statement.on_conflict_do_update(
                index_elements=list(self.key), set_=dict(self.update), where=self.where
            )
        else:
            statement = statement.on_conflict_do_nothing(index_elements=list(self.key) or None)
        if self.returning:
            return statement.returning(*(self.table.c[column] for column in self.returning))
        return statement

    def __str__(self) -> str:
        return str(self.for_dialect("sqlite").compile(dialect=sqlite.dialect()))
