"""Rooms' migrations: each runs once, in order, whoever comes first.

The table `holdfast_migrations` has a row for each step taken. Everything pending runs in one
transaction under the database's own lock, so that four processes starting at once agree, and a
step that fails leaves the database as it was.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.room import Migration
from holdfast.stores.driver import Driver

Plans = Mapping[str, Sequence[Migration]]
"""Room name to its migrations, ascending."""

_METADATA = sa.MetaData()
TABLE = sa.Table(
    "holdfast_migrations",
    _METADATA,
    sa.Column("room", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("applied_at_ms", sa.BigInteger, nullable=False),
)


class Step(msgspec.Struct, frozen=True):
    """One migration of one room."""

    room: str
    version: int
    summary: str


async def pending(sql: Driver, plans: Plans) -> list[Step]:
    """What `migrate` would do; changes nothing. Raises Misconfigured as it does."""
    check_plans(plans)
    applied = await sql.with_schema(_applied, write=False)
    return [_step(room, migration) for room, migration in outstanding(plans, applied)]


async def migrate(sql: Driver, plans: Plans, wall: Callable[[], float] = time.time) -> list[Step]:
    """Take every step not yet taken; those taken by this call.

    Raises Misconfigured when versions have a gap, when the database is newer than the code, and
    when a step fails; then nothing has changed.
    """
    if not await pending(sql, plans):
        return []
    return await sql.with_schema(lambda connection: _upgrade(connection, plans, wall), write=True)


def check_plans(plans: Plans) -> None:
    """Raise Misconfigured unless every room's versions are 1, 2, 3 and so on."""
    for room, migrations in plans.items():
        versions = [migration.version for migration in migrations]
        if versions != list(range(1, len(versions) + 1)):
            raise Misconfigured(
                f"the migrations of room {room} are numbered {versions}",
                hint="number them 1, 2, 3 ... without a gap, in this order",
            )


def outstanding(plans: Plans, applied: Mapping[str, Sequence[int]]) -> list[tuple[str, Migration]]:
    """The steps still to take, room by room; raises Misconfigured when the database does not fit the code."""
    steps: list[tuple[str, Migration]] = []
    for room, migrations in plans.items():
        done = sorted(applied.get(room, ()))
        if len(done) > len(migrations):
            raise Misconfigured(
                f"the database has version {done[-1]} of room {room}, the code only {len(migrations)}",
                hint="start the newer release again, or restore the backup made before it",
            )
        if done != list(range(1, len(done) + 1)):
            raise Misconfigured(
                f"the database has versions {done} of room {room}: some are missing",
                hint="restore a backup; rows of holdfast_migrations must not be edited",
            )
        steps.extend((room, migration) for migration in migrations[len(done) :])
    return steps


def _step(room: str, migration: Migration) -> Step:
    return Step(room, migration.version, migration.summary)


def _applied(connection: sa.Connection) -> dict[str, list[int]]:
    applied: dict[str, list[int]] = {}
    if sa.inspect(connection).has_table(TABLE.name):
        for room, version in connection.execute(sa.select(TABLE.c.room, TABLE.c.version)):
            applied.setdefault(room, []).append(version)
    return applied


def _upgrade(connection: sa.Connection, plans: Plans, wall: Callable[[], float]) -> list[Step]:
    # Alembic is loaded only when there is something to do: it costs more than the rest of the start.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    _METADATA.create_all(connection)
    operations = Operations(MigrationContext.configure(connection))
    taken: list[Step] = []
    for room, migration in outstanding(plans, _applied(connection)):
        _take(operations, room, migration)
        stamp = {"applied_at_ms": int(wall() * 1000), **msgspec.structs.asdict(_step(room, migration))}
        connection.execute(sa.insert(TABLE), stamp)
        taken.append(_step(room, migration))
    return taken


def _take(operations: Any, room: str, migration: Migration) -> None:
    try:
        migration.upgrade(operations)
    except Exception as error:
        raise Misconfigured(
            f"migration {migration.version} of room {room} ({migration.summary}) failed: {error}",
            hint="nothing was changed; mend what it names and start again",
        ) from error
