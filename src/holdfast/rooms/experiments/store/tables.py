"""All migrations of the room, in order; each family of tables stands in a file of its own."""

from holdfast.kernel.room import Migration
from holdfast.rooms.experiments.store import ab_tables, release_tables, rules_tables

MIGRATIONS: tuple[Migration, ...] = (
    rules_tables.MIGRATION,
    release_tables.MIGRATION,
    ab_tables.MIGRATION,
)
