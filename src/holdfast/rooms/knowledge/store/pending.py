"""The lock under which everything of a version is written."""

from holdfast.ports.storage import Transaction
from holdfast.rooms.knowledge.rules.store_problems import VersionGone
from holdfast.rooms.knowledge.store import tables


async def hold(tx: Transaction, version: int) -> None:
    """Keep the version pending until the transaction ends; raises VersionGone when it is not."""
    if not await tx.run(tables.HOLD, {"of_version": version}):
        raise VersionGone()
