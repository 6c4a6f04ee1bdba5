"""What is shown of jobs: one, many, what happened to them."""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
from sqlalchemy import BindParameter, bindparam, literal_column, or_, select
from sqlalchemy.sql.selectable import Select

from holdfast.ports.storage import Ledger
from holdfast.rooms.jobs.store import tables
from holdfast.rooms.jobs.store.rows import Attempt, Told
from holdfast.rooms.jobs.store.tables import IN_TIME, jobs, state_is, unordered

_j, _a, _e = jobs.c, tables.attempts.c, tables.events.c


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A job as its row stands."""

    id: str
    name: str
    queue: str
    lane: str
    state: str
    version: int
    tenant: str
    owner: str
    payload: str
    created_ms: int
    run_at_ms: int
    deadline_ms: int | None
    started_ms: int | None
    ended_ms: int | None
    attempts: int
    max_attempts: int
    crashes: int
    fence: int
    worker: str
    cancel_ms: int | None
    cancel_reason: str
    ending: str
    undo: int
    progress: float
    message: str
    error_kind: str
    error: str
    result: str | None
    unique_key: str | None
    batch: str
    after_job: str
    after_batch: str
    trace: str


_STORED = tuple(_j[name] for name in Stored.__struct_fields__)
_ATTEMPT = tuple(_a[name] for name in Attempt.__struct_fields__)
_TOLD = tuple(_e[name] for name in Told.__struct_fields__)

SOME = select(*_STORED).where(_j.id.in_(bindparam("ids", expanding=True)))
ATTEMPTS = (
    select(_a.job_id, *_ATTEMPT)
    .where(_a.job_id.in_(bindparam("ids", expanding=True)))
    .order_by(_a.job_id, _a.attempt)
)
EVENTS = (
    select(_e.job_id, *_TOLD)
    .where(_e.job_id.in_(bindparam("ids", expanding=True)), _e.seq > bindparam("after"))
    .order_by(_e.job_id, _e.seq)
)
RESULT = select(_j.state, _j.result).where(_j.id == bindparam("which"))


class Filters(msgspec.Struct, frozen=True):
    """What a list is of; empty fields do not narrow it."""

    state: str = ""
    queue: str = ""
    name: str = ""
    tenant: str = ""
    owner: str = ""
    error_kind: str = ""
    batch: str = ""
    before: str = ""
    """Only jobs enqueued before this one: their ids are lower."""


_OPEN = ("scheduled", "available", "running", "retrying")


@lru_cache(maxsize=256)
def _listing(state: str, named: tuple[str, ...], shared: bool = False) -> Select[tuple[object, ...]]:
    """The statement for one set of filters; the state is a literal, so that its index serves.

    `shared`: also what is of no owner.
    """
    statement = select(*_STORED)
    by_id = unordered() if state in _OPEN else _j.id
    if state:
        statement = statement.where(state_is(state))
    if state in ("scheduled", "retrying"):
        statement = statement.where(IN_TIME)  # what their index says, word for word
    for name in named:
        column = by_id if name == "before" else _j[name]
        asked: BindParameter[str] = bindparam(name)
        if name == "owner" and shared:
            statement = statement.where(or_(column == asked, column == literal_column("''")))
        else:
            statement = statement.where(column < asked if name == "before" else column == asked)
    return statement.order_by(by_id.desc()).limit(bindparam("most"))


STATES = ("scheduled", "available", "running", "retrying", "succeeded", "failed", "cancelled")


class Reading:
    """Reads beside the writers."""

    def __init__(self, sql: Ledger) -> None:
        self._sql = sql

    async def one(self, job_id: str) -> Stored | None:
        found = await self.some([job_id])
        return found.get(job_id)

    async def some(self, ids: Sequence[str]) -> dict[str, Stored]:
        """Those of these jobs that there are."""
        if not ids:
            return {}
        rows = await self._sql.fetch(SOME, {"ids": list(ids)})
        return {str(row[0]): Stored(*row) for row in rows}

    async def listed(self, filters: Filters, most: int) -> list[Stored]:
        """The newest first; an unknown state gives none."""
        if filters.state and filters.state not in STATES:
            return []
        given: dict[str, str] = {
            name: value for name, value in msgspec.structs.asdict(filters).items() if value
        }
        state = str(given.pop("state", ""))
        statement = _listing(state, tuple(sorted(given)))
        return [Stored(*row) for row in await self._sql.fetch(statement, {**given, "most": most})]

    async def seen_by(self, user: str, tenant: str, filters: Filters, most: int) -> list[Stored]:
        """Those of one tenant, or of none, that are the user's; of a tenant also those of no user.

        What belongs to nobody is in no list: its id is all that guards it.
        """
        if not (user or tenant) or (filters.state and filters.state not in STATES):
            return []
        given: dict[str, str] = {
            name: value for name, value in msgspec.structs.asdict(filters).items() if value
        }
        state = str(given.pop("state", ""))
        given |= {"tenant": tenant, "owner": user}
        statement = _listing(state, tuple(sorted(given)), shared=bool(tenant))
        return [Stored(*row) for row in await self._sql.fetch(statement, {**given, "most": most})]

    async def attempts(self, ids: Sequence[str]) -> dict[str, list[Attempt]]:
        """The attempts that ended, in order, of each job that has some."""
        found: dict[str, list[Attempt]] = {}
        if ids:
            for row in await self._sql.fetch(ATTEMPTS, {"ids": list(ids)}):
                found.setdefault(str(row[0]), []).append(Attempt(*row[1:]))
        return found

    async def events(self, ids: Sequence[str], after: int = 0) -> dict[str, list[Told]]:
        """The stored events numbered higher than `after`, in order, of each job that has some."""
        found: dict[str, list[Told]] = {}
        if ids:
            for row in await self._sql.fetch(EVENTS, {"ids": list(ids), "after": after}):
                found.setdefault(str(row[0]), []).append(Told(*row[1:]))
        return found

    async def result(self, job_id: str) -> tuple[str, str | None] | None:
        """State and result of a job."""
        rows = await self._sql.fetch(RESULT, {"which": job_id})
        return (str(rows[0][0]), rows[0][1]) if rows else None
