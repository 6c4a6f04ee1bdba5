"""Parameters of statements whose type both databases know.

A parameter in a select list has no type of its own on PostgreSQL; and one whose type SQLAlchemy knows is
checked for that type alone, which counts where a statement has twenty.
"""

from sqlalchemy import BigInteger, Text, bindparam, cast
from sqlalchemy.sql.elements import ColumnElement


def given_text(name: str) -> ColumnElement[str]:
    """The parameter `name` as text."""
    return cast(bindparam(name, type_=Text), Text)


def given_whole(name: str) -> ColumnElement[int]:
    """The parameter `name` as a whole number of 64 bits."""
    return cast(bindparam(name, type_=BigInteger), BigInteger)
