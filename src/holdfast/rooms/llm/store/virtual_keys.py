"""The table of virtual keys, and the revision that says whether anything in it has changed."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, bindparam, select, update

from holdfast.kernel.room import Migration
from holdfast.ports.storage import Sql
from holdfast.ports.upsert import upsert
from holdfast.rooms.llm.rules.virtual_keys import VirtualKey

_meta = MetaData()

keys = Table(
    "llm_keys",
    _meta,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("disabled", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)
"""What is looked for has a column; the rest is the key's JSON, so that a new field needs no migration."""
revision = Table(
    "llm_keys_revision",
    _meta,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)


def _create(op: Any) -> None:
    _meta.create_all(op.get_bind())


MIGRATIONS = (Migration(3, "virtual keys", _create),)

CHANNEL = "holdfast:llm:keys"
"""Says on the shared store that a key has changed."""

_c = keys.c
_ADD = keys.insert()
_FIND = select(_c.document, _c.disabled, _c.digest).where(_c.digest == bindparam("of"))
_GET = select(_c.document, _c.disabled).where(_c.id == bindparam("of"))
_LIST = select(_c.document, _c.disabled).order_by(_c.created_ms, _c.id).limit(bindparam("most"))
_REVOKE = update(keys).where(_c.id == bindparam("of")).values(disabled=1)
_CHANGED = upsert(revision, ("name",), {"number": revision.c.number + 1})
_REVISION = select(revision.c.number)


class KeyStore:
    """Keys in the database. Raises Unavailable."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def add(self, key: VirtualKey, digest: str) -> None:
        """Keep a new key."""
        row = {
            "id": key.id,
            "digest": digest,
            "created_ms": key.created_ms,
            "disabled": 0,
            "document": msgspec.json.encode(key).decode(),
        }
        async with self._sql.transaction() as tx:
            await tx.run(_ADD, row)
            await tx.run(_CHANGED, {"name": "keys", "number": 1})

    async def find(self, digest: str) -> tuple[VirtualKey, str] | None:
        """The key of this digest, with the digest as it is kept."""
        rows = await self._sql.fetch(_FIND, {"of": digest})
        return (_key(rows[0][0], rows[0][1]), rows[0][2]) if rows else None

    async def get(self, id: str) -> VirtualKey | None:
        """The key of this id."""
        rows = await self._sql.fetch(_GET, {"of": id})
        return _key(*rows[0]) if rows else None

    async def all(self, most: int) -> Sequence[VirtualKey]:
        """The keys in the order they were made."""
        return [_key(*row) for row in await self._sql.fetch(_LIST, {"most": most})]

    async def revoke(self, id: str) -> bool:
        """Disable for good; whether there is such a key."""
        async with self._sql.transaction() as tx:
            found = await tx.run(_REVOKE, {"of": id})
            if found:
                await tx.run(_CHANGED, {"name": "keys", "number": 1})
        return bool(found)

    async def revision(self) -> int:
        """A number that grows with every change."""
        rows = await self._sql.fetch(_REVISION)
        return int(rows[0][0]) if rows else 0


def _key(document: str, disabled: int) -> VirtualKey:
    key = msgspec.json.decode(document, type=VirtualKey)
    return msgspec.structs.replace(key, disabled=bool(disabled))
