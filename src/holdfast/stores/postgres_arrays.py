"""Many rows of one insert as one statement over arrays: PostgreSQL plans and runs it once, not once a row.

`INSERT .. VALUES ($1::VARCHAR, $2::BIGINT)` becomes `INSERT .. SELECT v1, v2::BIGINT FROM unnest(..)`: at a
hundred rows that takes two thirds of the time. The arrays are of texts, whatever the columns: of every other
array type asyncpg first asks the server, for milliseconds, on each connection. Not where a conflict changes
the row that is there: one statement may not change a row twice, and row by row the last of a key wins.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

FEW = 4
"""Rows up to which nothing is gained."""
_INSERT = re.compile(
    r"(INSERT INTO [^()]+ \([^()]+\) )VALUES \(((?:\$\d+::[A-Z]+(?:, )?)+)\)"
    r"((?: ON CONFLICT(?: \([^()]+\))? DO NOTHING)?(?: RETURNING [^()]+)?)"
)
_AS_TEXT: dict[str, Callable[[Any], str] | None] = {
    "VARCHAR": None,
    "BIGINT": str,
    "INTEGER": str,
    "FLOAT": repr,  # the shortest text that is read as the same number
}
"""How the values of a type become texts; bytes would become twice as long."""


class Wide:
    """An insert of many rows at once."""

    __slots__ = ("_as_text", "text")

    def __init__(self, text: str, as_text: list[Callable[[Any], str] | None]) -> None:
        self.text = text
        self._as_text = as_text

    def arrays(self, rows: Sequence[tuple[Any, ...]]) -> list[Sequence[str | None]]:
        """The rows' values, column by column."""
        return [
            column if as_text is None else [None if each is None else as_text(each) for each in column]
            for as_text, column in zip(self._as_text, zip(*rows, strict=True), strict=True)
        ]


@lru_cache(maxsize=1024)
def widened(text: str) -> Wide | None:
    """The insert over arrays; None where it is another kind of statement."""
    found = _INSERT.fullmatch(text)
    if found is None:
        return None
    values = [each.split("::") for each in found[2].split(", ")]
    numbered = [f"${n}" for n in range(1, len(values) + 1)]
    if [place for place, _ in values] != numbered or not all(kind in _AS_TEXT for _, kind in values):
        return None
    names = [f"v{n}" for n in range(1, len(values) + 1)]
    cast = ", ".join(f"{name}::{kind}" for name, (_, kind) in zip(names, values, strict=True))
    given = ", ".join(f"{place}::TEXT[]" for place in numbered)
    source = f"SELECT {cast} FROM unnest({given}) AS given ({', '.join(names)})"  # noqa: S608 - of numbers and types
    return Wide(f"{found[1]}{source}{found[3]}", [_AS_TEXT[kind] for _, kind in values])
