"""The tables of the ledger: rows, daily sums kept with them, and which batches have been written."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, bindparam, delete, func, select

from holdfast.kernel.room import Migration
from holdfast.ports.storage import Sql
from holdfast.ports.upsert import incoming, insert_ignore, upsert
from holdfast.rooms.llm.rules.ledger import Entry, Place, Sum

_meta = MetaData()

rows = Table(
    "llm_ledger",
    _meta,
    Column("id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("upstream_model", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
    Column("tokens_cached", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("unpriced", BigInteger, nullable=False),
    Column("latency_ms", BigInteger, nullable=False),
    Column("paid_by", Text, nullable=False),
    Index("llm_ledger_by_time", "at_ms"),
)
spend = Table(
    "llm_spend",
    _meta,
    Column("day", Text, primary_key=True),
    Column("dimension", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
    Column("tokens_cached", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("free", BigInteger, nullable=False),
)
batches = Table(
    "llm_ledger_batches",
    _meta,
    Column("id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)


def _create(op: Any) -> None:
    _meta.create_all(op.get_bind())


MIGRATIONS = (Migration(2, "ledger: rows, daily sums, batches", _create),)

_NUMBERS = ("calls", "failures", "tokens_in", "tokens_out", "tokens_cached", "cost", "free")
_ONCE = insert_ignore(batches, ("id",))
_ROW = insert_ignore(rows, ("id",))
_SUM = upsert(
    spend, ("day", "dimension", "id"), {name: spend.c[name] + incoming(spend)[name] for name in _NUMBERS}
)
_sums = tuple(func.sum(spend.c[name]) for name in _NUMBERS)
_BY_ID = (
    select(spend.c.id, *_sums)
    .where(spend.c.dimension == bindparam("of"), spend.c.day >= bindparam("since"))
    .group_by(spend.c.id)
    .order_by(func.sum(spend.c.cost).desc(), func.sum(spend.c.tokens_in).desc(), spend.c.id)
    .limit(bindparam("most"))
)
_BY_DAY = (
    select(spend.c.day, spend.c.id, *(spend.c[name] for name in _NUMBERS))
    .where(spend.c.dimension == bindparam("of"), spend.c.day >= bindparam("since"))
    .order_by(spend.c.day, spend.c.cost.desc(), spend.c.id)
    .limit(bindparam("most"))
)
_NEWEST = (
    select(*rows.c)
    .where(rows.c.at_ms >= bindparam("since_ms"))
    .order_by(rows.c.at_ms.desc())
    .limit(bindparam("most"))
)
_OLD = delete(rows).where(
    rows.c.id.in_(select(rows.c.id).where(rows.c.at_ms < bindparam("before_ms")).limit(bindparam("most")))
)
_OLD_BATCHES = delete(batches).where(batches.c.at_ms < bindparam("before_ms"))


class LedgerStore:
    """The ledger in the database. Raises Unavailable."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def write(
        self, batch: str, at_ms: int, entries: Sequence[Entry], sums: Mapping[Place, Sum]
    ) -> None:
        """Rows and sums in one transaction; a batch of this id that was written before changes nothing."""
        async with self._sql.transaction() as tx:
            if not await tx.run(_ONCE, {"id": batch, "at_ms": at_ms}):
                return
            if entries:
                await tx.run_many(_ROW, [_row(entry) for entry in entries])
            # In the order of their keys, so that two writers never wait for each other.
            await tx.run_many(
                _SUM,
                [
                    {
                        "day": day,
                        "dimension": dimension,
                        "id": id,
                        **msgspec.structs.asdict(sums[day, dimension, id]),
                    }
                    for day, dimension, id in sorted(sums)
                ],
            )

    async def by_id(self, dimension: str, since_day: str, most: int) -> list[tuple[str, Sum]]:
        """The sums of each id since that day, the dearest first."""
        found = await self._sql.fetch(_BY_ID, {"of": dimension, "since": since_day, "most": most})
        return [(row[0], Sum(*(int(number) for number in row[1:]))) for row in found]

    async def by_day(self, dimension: str, since_day: str, most: int) -> list[tuple[str, str, Sum]]:
        """(day, id, sum) since that day."""
        found = await self._sql.fetch(_BY_DAY, {"of": dimension, "since": since_day, "most": most})
        return [(row[0], row[1], Sum(*(int(number) for number in row[2:]))) for row in found]

    async def newest(self, since_ms: int, most: int) -> list[Entry]:
        """The newest rows, newest first."""
        names = rows.c.keys()
        found = await self._sql.fetch(_NEWEST, {"since_ms": since_ms, "most": most})
        return [_entry(dict(zip(names, row, strict=True))) for row in found]

    async def forget(self, before_ms: int, most: int) -> int:
        """Delete at most `most` rows that are older; the sums stay. How many there were."""
        return await self._sql.run(_OLD, {"before_ms": before_ms, "most": most})

    async def forget_batches(self, before_ms: int) -> None:
        """Forget which batches were written before then."""
        await self._sql.run(_OLD_BATCHES, {"before_ms": before_ms})


def _row(entry: Entry) -> dict[str, Any]:
    row = msgspec.structs.asdict(entry)
    row["estimated"], row["unpriced"] = int(entry.estimated), int(entry.unpriced)
    return row


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(**{**row, "estimated": bool(row["estimated"]), "unpriced": bool(row["unpriced"])})
