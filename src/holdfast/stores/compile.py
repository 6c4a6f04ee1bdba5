"""Statements compiled once a driver: SQL text, and the order in which its parameters go.

SQLAlchemy's compiler costs hundreds of microseconds, a look-up of ours about one. A statement is
a constant of its room, so it is found again by identity; the cache holds it, so that no other
statement can take its place in memory, and is bounded, so that statements built per request cost
time instead of memory.

Values are checked against the declared column type before they travel, because the databases
disagree: PostgreSQL refuses NUL in text and a string for a number, SQLite takes both; SQLite turns
NaN into NULL. What one refuses is refused for both, as BadInput.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import count
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import CompileError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.ddl import ExecutableDDLElement
from sqlalchemy.sql.dml import Insert, UpdateBase
from sqlalchemy.sql.elements import ClauseElement, TextClause
from sqlalchemy.sql.selectable import Select, SelectBase

from holdfast.ports.storage import Step
from holdfast.ports.upsert import Upsert
from holdfast.stores.values import check_for, refuse_result

Values = tuple[Any, ...]

MAX_LIST = 16_384
"""Longest list for one expanding parameter; both databases stop near 32,766 parameters a statement."""
_CACHED = 1024
_PART = 500
"""Rows bound in one turn of the loop: a millisecond or so."""


class Statements:
    """The compiled statements of one driver."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: OrderedDict[tuple[int, Any], tuple[ClauseElement, Compiled]] = OrderedDict()

    def get(self, statement: ClauseElement, names: Mapping[str, Any] | None = None) -> "Compiled":
        """The statement, compiled; a bare insert once per set of column names."""
        columns = tuple(names) if names and _takes_columns(statement) else None
        key = (id(statement), columns)
        entry = self._known.get(key)
        if entry is not None:
            self._known.move_to_end(key)
            return entry[1]
        compiled = Compiled(statement, self._dialect, columns)
        self._known[key] = (statement, compiled)
        if len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return compiled

    def __len__(self) -> int:
        return len(self._known)


class Compiled:
    """One statement in one dialect: `bind` turns named values into text and values in order."""

    __slots__ = ("_checks", "_constants", "_expanding", "_names", "_plans", "_sql", "returns", "writes")

    def __init__(self, statement: ClauseElement, dialect: Dialect, columns: tuple[str, ...] | None) -> None:
        self._sql = sql = _compile(statement, dialect, columns)
        self.writes = _writes(statement)
        """Whether it changes rows or locks them, and so needs a writing transaction."""
        self.returns = not (sql.isinsert or sql.isupdate or sql.isdelete) or bool(sql.effective_returning)
        """Whether it may give rows: of text nobody knows before it runs."""
        names = list(dict.fromkeys(sql.positiontup or ()))
        binds = {name: sql.binds[name] for name in names}
        self._expanding = tuple(sorted(sql.bind_names[bind] for bind in sql.post_compile_params))
        self._constants = {name: bind.effective_value for name, bind in binds.items() if not bind.required}
        self._names = frozenset(name for name, bind in binds.items() if bind.required)
        self._checks = {name: check_for(bind.type) for name, bind in binds.items()}
        self._plans: OrderedDict[tuple[int, ...], _Plan] = OrderedDict()

    def bind(self, parameters: Mapping[str, Any] | None) -> tuple[str, Values]:
        """SQL text and values in order; raises TypeError for wrong names, BadInput for wrong values."""
        given = parameters or {}
        if given.keys() != self._names:
            self._complain(given)
        plan = self._plans.get(()) if not self._expanding else None
        if plan is None:
            given, sizes = self._spread(given)
            plan = self._plans.get(sizes) or self._plan(sizes)
        return plan.text, plan.values(given)

    def _spread(self, given: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[int, ...]]:
        """Lists padded to a power of two by repeating the last value, so that few texts are ever prepared."""
        lists: dict[str, list[Any]] = {}
        for name in self._expanding:
            items = list(given[name] if name in given else self._constants[name] or ())
            if len(items) > MAX_LIST:
                raise TypeError(f"{name!r} lists {len(items)} values; split it into parts of {MAX_LIST}")
            if items:
                items += items[-1:] * ((1 << (len(items) - 1).bit_length()) - len(items))
            lists[name] = items
        spread = dict(given)
        spread.update(
            (f"{name}_{i}", item) for name, items in lists.items() for i, item in enumerate(items, 1)
        )
        return spread, tuple(len(lists[name]) for name in self._expanding)

    def _plan(self, sizes: tuple[int, ...]) -> "_Plan":
        placeholders: dict[str, Any] = dict.fromkeys(self._names)
        placeholders.update((name, [None] * size) for name, size in zip(self._expanding, sizes, strict=True))
        if self._expanding:
            state = self._sql.construct_expanded_state(placeholders)
            text, order = state.statement, list(state.positiontup or ())
            source = {part: name for name, parts in state.parameter_expansion.items() for part in parts}
        else:
            text, order, source = self._sql.string, list(self._sql.positiontup or ()), {}
        fields: list[tuple[str | None, Any]] = [
            (name, self._checks[source.get(name, name)])
            if name in source or name in self._names
            else (None, self._constants[name])
            for name in order
        ]
        plan = _Plan(text, fields)
        self._plans[sizes] = plan
        if len(self._plans) > 64:
            self._plans.popitem(last=False)
        return plan

    def _complain(self, given: Mapping[str, Any]) -> None:
        wrong = {
            "missing": sorted(self._names - given.keys()),
            "unknown": sorted(given.keys() - self._names),
        }
        said = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in wrong.items() if names)
        raise TypeError(f"the statement's parameters do not match ({said}): {self._sql.string[:200]}")


class _Plan:
    """Which value goes where: a named one with its check, or a constant of the statement.

    A name that stands in several places is checked once; who follows picks the values in order.
    """

    __slots__ = ("_constants", "_named", "_order", "text")

    def __init__(self, text: str, fields: list[tuple[str | None, Any]]) -> None:
        self.text = text
        self._named = list({name: (name, rest) for name, rest in fields if name is not None}.values())
        places = {name: at for at, (name, _) in enumerate(self._named)}
        self._constants = [rest for name, rest in fields if name is None]
        constant = count(len(self._named))
        order = [next(constant) if name is None else places[name] for name, _ in fields]
        self._order = None if order == list(range(len(order))) else itemgetter(*order, *order[:1])

    def values(self, given: Mapping[str, Any]) -> Values:
        found = [
            None if (value := given[name]) is None else check(name, value) for name, check in self._named
        ]
        found += self._constants
        # One place more than there are, for an itemgetter of one gives no tuple.
        return tuple(found) if self._order is None else self._order(found)[:-1]


def _compile(statement: ClauseElement, dialect: Dialect, columns: tuple[str, ...] | None) -> SQLCompiler:
    form = statement.for_dialect(dialect.name) if isinstance(statement, Upsert) else statement
    if isinstance(form, ExecutableDDLElement):
        raise TypeError("tables are made by migrations; the Sql port runs queries and changes of rows")
    keys = list(columns) if columns else None
    try:
        # As if for many rows: otherwise PostgreSQL's form of a plain insert also returns the new key.
        sql = form.compile(dialect=dialect, column_keys=keys, for_executemany=isinstance(form, Insert))
    except CompileError as error:
        raise TypeError(f"the statement does not compile for {dialect.name}: {error}") from None
    assert isinstance(sql, SQLCompiler)
    if sql.insert_prefetch or sql.update_prefetch:
        names = ", ".join(column.key for column in [*sql.insert_prefetch, *sql.update_prefetch])
        raise TypeError(f"columns with a Python default are not supported, pass the value: {names}")
    _check_results(form)
    return sql


def _check_results(statement: ClauseElement) -> None:
    """Refuse columns whose values need converting on the way out: the drivers hand rows over as they come."""
    columns = statement.selected_columns if isinstance(statement, Select) else ()
    for column in columns:
        refuse_result(column.type, column.key or "")


def _takes_columns(statement: ClauseElement) -> bool:
    """A bare insert: its columns are the names of the values given."""
    if isinstance(statement, Upsert):
        return not statement.names_values
    return isinstance(statement, Insert) and not (
        statement._values or statement._multi_values or statement.select is not None
    )


def _writes(statement: ClauseElement) -> bool:
    if isinstance(statement, Upsert):
        return True
    if isinstance(statement, TextClause):
        return not statement.text.lstrip().upper().startswith(("SELECT", "VALUES", "EXPLAIN"))
    if isinstance(statement, Select) and statement._for_update_arg is not None:
        return True
    return not isinstance(statement, SelectBase) or any(
        isinstance(part, UpdateBase) for part in visitors.iterate(statement)
    )


async def bind_rows(compiled: Compiled, rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[Values]]:
    """The text once and the values of each row, letting the loop breathe between parts of a long list."""
    text = ""
    values: list[Values] = []
    for start in range(0, len(rows), _PART):
        if start:
            await asyncio.sleep(0)
        for row in rows[start : start + _PART]:
            text, bound = compiled.bind(row)
            values.append(bound)
    return text, values


class Bound(NamedTuple):
    """One text, the values of each row that it is run with, and whether it may give rows."""

    text: str
    values: list[Values]
    returns: bool


async def bind_steps(statements: Statements, steps: Sequence[Step]) -> list[list[Bound]]:
    """Every step, bound; rows whose lists differ in length differ in text, and stand apart in their order."""
    bound: list[list[Bound]] = []
    for statement, rows in steps:
        parts: list[Bound] = []
        names: Any = None
        for start in range(0, len(rows), _PART):
            if start:
                await asyncio.sleep(0)
            for row in rows[start : start + _PART]:
                if names is None or row.keys() != names:
                    compiled, names = statements.get(statement, row), row.keys()
                text, values = compiled.bind(row)
                if not parts or parts[-1].text != text:
                    parts.append(Bound(text, [], compiled.returns))
                parts[-1].values.append(values)
        bound.append(parts)
    return bound
