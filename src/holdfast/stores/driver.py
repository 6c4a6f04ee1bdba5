"""What every SQL driver offers beyond the port: a life, and a door for migrations."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from holdfast.ports.storage import Sql, Together

T = TypeVar("T")


class Driver(Sql, Together, Protocol):
    """An Sql that can be started and stopped; both may be called twice."""

    dialect: str
    """`sqlite` or `postgresql`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def with_schema(self, work: Callable[[Connection], T], *, write: bool) -> T:
        """`work` off the event loop, in one transaction that no other process shares when `write`."""
        ...
