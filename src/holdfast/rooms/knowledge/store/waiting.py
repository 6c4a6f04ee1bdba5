"""Pending versions and the jobs that make them: a repeated query, so that no upload waits for nobody."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, update

from holdfast.ports.storage import Sql
from holdfast.rooms.knowledge.rules.stored import PENDING
from holdfast.rooms.knowledge.store.tables import uploads, versions

_v = versions.c
_stored = (
    select(func.coalesce(func.sum(func.length(uploads.c.bytes)), 0))
    .where(uploads.c.version == _v.no)
    .scalar_subquery()
)
_PENDING = (
    select(_v.no, _v.tenant, _v.job_id, _v.created_ms, _v.size_bytes, _stored)
    .where(_v.state == PENDING, _v.no > bindparam("after"))
    .order_by(_v.no)
    .limit(bindparam("most"))
)
_ONE = _PENDING.where(_v.no == bindparam("no"))
_NAME_JOB = (
    update(versions)
    .where(_v.no == bindparam("of_version"), _v.state == PENDING)
    .values(job_id=bindparam("new_job_id"))
)
_JOBS = select(_v.job_id).where(_v.state == PENDING, _v.job_id != "", _v.tenant == bindparam("tenant"))
_JOBS_OF_ONE = _JOBS.where(_v.document_id == bindparam("document_id"))


class Waiter(NamedTuple):
    """A pending version: whose it is, its job if it has one, and how much of its upload is there."""

    version: int
    tenant: str
    job_id: str
    created_ms: int
    size_bytes: int
    stored_bytes: int

    @property
    def is_whole(self) -> bool:
        return self.stored_bytes == self.size_bytes


class Waiting:
    """The pending versions of all tenants. Raises Unavailable."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def pending(self, after: int = 0, most: int = 100) -> Sequence[Waiter]:
        """Those numbered above `after`, in order."""
        return [Waiter(*row) for row in await self._sql.fetch(_PENDING, {"after": after, "most": most})]

    async def one(self, version: int) -> Waiter | None:
        """This version, where it is pending."""
        rows = await self._sql.fetch(_ONE, {"after": 0, "most": 1, "no": version})
        return Waiter(*rows[0]) if rows else None

    async def name_job(self, version: int, job_id: str) -> bool:
        """Write down which job makes the version; False when it is not pending any more."""
        return bool(await self._sql.run(_NAME_JOB, {"of_version": version, "new_job_id": job_id}))

    async def jobs(self, tenant: str, document_id: str = "") -> list[str]:
        """The jobs that work for a tenant, or for one of its documents."""
        if document_id:
            rows = await self._sql.fetch(_JOBS_OF_ONE, {"tenant": tenant, "document_id": document_id})
        else:
            rows = await self._sql.fetch(_JOBS, {"tenant": tenant})
        return [str(row[0]) for row in rows]
