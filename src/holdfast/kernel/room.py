"""The shape every room shares: what `app.py` may ask of it, all with an empty default."""

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from holdfast.kernel.route import Route


class Check(msgspec.Struct, frozen=True):
    """One question about one dependency, asked in the background by the health room."""

    name: str
    probe: Callable[[], Awaitable["Finding"]]
    timeout_s: float = 2.0
    interval_s: float = 5.0
    required: bool = False
    """Whether the service cannot do its work without it: then it decides readiness."""
    engine: bool = False
    """Whether it is one of the v2 engines that `GET /api/v2/health` reports."""


class Finding(msgspec.Struct, frozen=True):
    """What a check found: `ok`, `degraded` (works, worse) or `down`."""

    status: str = "ok"
    detail: str = ""
    facts: Mapping[str, Any] = {}


class Verb(msgspec.Struct, frozen=True):
    """One command of the CLI: `holdfast <name>`; a name with a space nests (`import items`)."""

    name: str
    summary: str
    run: Callable[[argparse.Namespace], Awaitable[int]]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    alone: bool = False
    """Whether it needs none of the rooms started: then no store is opened for it."""


class Migration(msgspec.Struct, frozen=True):
    """One forward step of a room's tables. `upgrade` gets alembic's Operations."""

    version: int
    summary: str
    upgrade: Callable[[Any], None]


class Room:
    """A capability. Subclasses override what they have; `start` and `stop` may be called twice."""

    name: ClassVar[str] = ""
    migrations: ClassVar[Sequence[Migration]] = ()

    async def start(self) -> None:
        """Called in `app.py`'s order, after migrations, before the first request."""

    async def stop(self) -> None:
        """Called in reverse order, after in-flight requests have ended."""

    def routes(self) -> Sequence[Route]:
        return ()

    def checks(self) -> Sequence[Check]:
        return ()

    def verbs(self) -> Sequence[Verb]:
        return ()
