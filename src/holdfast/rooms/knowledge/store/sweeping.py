"""Deleting: what is called off is found no more at once; its rows go after, a few at a time."""

from typing import Any

from holdfast.ports.storage import Sql
from holdfast.rooms.knowledge.store import tables
from holdfast.rooms.knowledge.store.index import Index, slices
from holdfast.rooms.knowledge.store.vectors import drop_orphans, drop_trials

_AT_ONCE = 32
FAILED_MS = 86_400_000
"""How long what a failed version had is kept: its job may be replayed until then."""


class Sweeper:
    """What ends documents and versions in the database. Raises Unavailable."""

    def __init__(self, sql: Sql, index: Index) -> None:
        self._sql = sql
        self._index = index

    async def delete(self, tenant: str, document_id: str, now_ms: int) -> bool:
        """Nothing of the document is found from now on, and whoever works on it is told. False: not there."""
        async with self._sql.transaction() as tx:
            values = {"of_document": document_id, "of_tenant": tenant, "now_ms": now_ms}
            if not await tx.run(tables.CALL_OFF, values):
                return False
            await tx.run(tables.RETIRE_DOCUMENT, {"of_document": document_id})
            await tx.run(tables.TOUCH, {"tenant": tenant, "revision": now_ms})
        return True

    async def erase(self, tenant: str, now_ms: int) -> int:
        """Delete everything of a tenant, rows and all; how many documents it had."""
        async with self._sql.transaction() as tx:
            count = await tx.run(tables.CALL_OFF_ALL, {"of_tenant": tenant, "now_ms": now_ms})
            await tx.run(tables.RETIRE_TENANT, {"of_tenant": tenant})
            await tx.run(tables.TOUCH, {"tenant": tenant, "revision": now_ms})
        while await self.sweep(tenant):
            pass
        async with self._sql.transaction() as tx:
            await drop_trials(tx, tenant)
            await tx.run(tables.FORGET_TENANT, {"of_tenant": tenant})
        return count

    async def sweep(self, tenant: str | None = None, now_ms: int = 0) -> int:
        """Remove rows of some versions that ended and documents that were deleted; how many of these.

        Also of versions that had failed a day before `now_ms`; the newest of a document keep their own row,
        which says why. Call it until it gives 0.
        """
        statement = tables.DOOMED if tenant is None else tables.DOOMED_OF
        values: dict[str, Any] = {"most": _AT_ONCE, "failed_before_ms": now_ms - FAILED_MS}
        if tenant is not None:
            values["tenant"] = tenant
        doomed = await self._sql.fetch(statement, values)
        for no, owner, chunks, is_kept in doomed:
            await self._remove(no, owner, chunks, keep=bool(is_kept))
        gone = await self._sql.fetch(tables.EMPTY_DOCUMENTS, {"most": _AT_ONCE})
        for (document_id,) in gone:
            async with self._sql.transaction() as tx:
                await tx.run(tables.DROP_TAGS, {"of_document": document_id})
                await tx.run(tables.DROP_DOCUMENT, {"of_document": document_id})
        return len(doomed) + len(gone)

    async def _remove(self, no: int, tenant: str, chunks: int, *, keep: bool) -> None:
        for low, high in reversed(slices(no, chunks)):
            async with self._sql.transaction() as tx:
                if not await tx.fetch(tables.CHUNKS, {"low": low, "high": high, "most": 1}):
                    continue  # another process has swept it
                await self._index.drop(tx, tenant, low, high)
                await drop_orphans(tx, low, high)
                await tx.run(tables.DROP_CHUNKS, {"low": low, "high": high})
                await tx.run(tables.DROP_RANKS, {"low": low, "high": high})
        async with self._sql.transaction() as tx:
            for statement in (tables.DROP_TEXT, tables.DROP_UPLOAD):
                await tx.run(statement, {"of_version": no})
            await tx.run(tables.EMPTIED if keep else tables.DROP_VERSION, {"of_version": no})
