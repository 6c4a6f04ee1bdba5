"""Conversations in the database: one method a step, each as few statements as it takes."""

from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.kernel.codec import decode_json, encode_json
from holdfast.kernel.errors import Conflict
from holdfast.ports.storage import Row, Sql
from holdfast.rooms.conversations.rules.state import State
from holdfast.rooms.conversations.rules.turns import Message
from holdfast.rooms.conversations.store import tables
from holdfast.rooms.conversations.store.packed import pack, unpack

_COLUMNS = len(tables.conversations.columns)
ANY_VERSION = -1
_PART = 200
"""Conversations erased in one transaction."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """A conversation as it stands, with its newest messages in order."""

    id: str
    owner: str
    persona: str
    language: str
    created_ms: int
    updated_ms: int
    expires_ms: int
    version: int
    state: State
    state_bytes: int
    messages: tuple[Message, ...] = ()

    @property
    def newest(self) -> Message | None:
        return self.messages[-1] if self.messages else None

    @property
    def seq(self) -> int:
        """The number of the newest message; 0 before the first."""
        return self.messages[-1].seq if self.messages else 0


class Store:
    """Every read and write of the room."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def add(self, kept: Kept) -> None:
        """A new conversation."""
        await self._sql.run(
            tables.ADD,
            {
                "id": kept.id,
                "owner": kept.owner,
                "persona": kept.persona,
                "language": kept.language,
                "created_ms": kept.created_ms,
                "updated_ms": kept.updated_ms,
                "expires_ms": kept.expires_ms,
                "version": kept.version,
                "state": pack(kept.state),
            },
        )

    async def open(self, conversation_id: str) -> Kept | None:
        """The conversation and its newest messages, as one moment saw them; None when there is none."""
        rows = await self._sql.fetch(tables.OPEN, {"id": conversation_id})
        if not rows:
            return None
        messages = tuple(_message(row[_COLUMNS:]) for row in rows if row[_COLUMNS] is not None)
        return _kept(rows[0][:_COLUMNS], messages)

    async def claim(
        self,
        conversation_id: str,
        seq: int,
        text: str,
        terms: str,
        now_ms: int,
        until_ms: int,
        repeat: "Repeat",
        known: int = ANY_VERSION,
    ) -> bool | None:
        """Add message `seq` and its pending answer. False: a number or the key is taken.

        None: the conversation is gone, or its state is of another version than `known`.
        """
        try:
            added = await self._sql.run(
                tables.CLAIM,
                {
                    "id": conversation_id,
                    "seq": seq,
                    "answer_seq": seq + 1,
                    "text": text,
                    "terms": terms,
                    "now_ms": now_ms,
                    "until_ms": until_ms,
                    "key": repeat.key or None,
                    "known": known,
                    "digest": repeat.digest,
                },
            )
        except Conflict:
            return False
        return True if added else None

    async def finish(self, conversation_id: str, message: Message) -> bool:
        """What became of the pending answer; False when it is not pending any more."""
        changed = await self._sql.run(
            tables.FINISH,
            {
                "of": conversation_id,
                "number": message.seq,
                "becomes": message.status,
                "said": message.text,
                "ended_ms": message.done_ms,
                "known_by": message.terms,
                "told": encode_json(message.facts).decode(),
            },
        )
        return changed == 1

    async def leave(self, conversation_id: str, now_ms: int) -> int:
        """Mark what dead processes left pending as interrupted; how many."""
        told = {"error": {"code": "conversation-stopped", "detail": "the process that answered went away"}}
        return await self._sql.run(
            tables.LEAVE,
            {
                "of": conversation_id,
                "past_ms": now_ms,
                "ended_ms": now_ms,
                "told": encode_json(told).decode(),
            },
        )

    async def keep_state(
        self, conversation_id: str, version: int, state: bytes, now_ms: int, expires_ms: int
    ) -> bool:
        """Replace the state, if it is still version `version`."""
        changed = await self._sql.run(
            tables.KEEP_STATE,
            {
                "of": conversation_id,
                "known": version,
                "becomes": state,
                "changed_ms": now_ms,
                "ends_ms": expires_ms,
            },
        )
        return changed == 1

    async def message(self, conversation_id: str, seq: int) -> Message | None:
        rows = await self._sql.fetch(tables.ONE_MESSAGE, {"of": conversation_id, "number": seq})
        return _message(rows[0]) if rows else None

    async def messages(self, conversation_id: str, after: int, most: int) -> list[Message]:
        """The messages with higher numbers, in order."""
        rows = await self._sql.fetch(tables.MESSAGES, {"of": conversation_id, "after": after, "most": most})
        return [_message(row) for row in rows]

    async def by_key(self, conversation_id: str, key: str) -> tuple[str, Message] | None:
        """The digest of the message that came with this key, and its answer."""
        rows = await self._sql.fetch(tables.BY_KEY, {"of": conversation_id, "key": key})
        return (str(rows[0][0]), _message(rows[0][1:])) if rows else None

    async def terms(self, conversation_id: str, after: int, before: int) -> list[tuple[int, str]]:
        """Number and terms of the messages between two numbers, in order."""
        rows = await self._sql.fetch(
            tables.ARCHIVED_TERMS, {"of": conversation_id, "after": after, "before": before}
        )
        return [(row[0], row[1]) for row in rows]

    async def texts(
        self, conversation_id: str, numbers: Sequence[int], signs: int
    ) -> dict[int, tuple[str, str, int]]:
        """Role, the first `signs` characters of the text, and time of these messages."""
        rows = await self._sql.fetch(
            tables.TEXTS, {"of": conversation_id, "numbers": list(numbers), "signs": signs}
        )
        return {row[0]: (row[1], row[2], row[3]) for row in rows}

    async def of_owner(self, owner: str, now_ms: int, before_ms: int, before_id: str, most: int) -> list[Row]:
        """id, persona, created, updated, expires, messages; the newest first, from before that place."""
        return await self._sql.fetch(
            tables.OF_OWNER,
            {
                "owner": owner,
                "now_ms": now_ms,
                "before_ms": before_ms,
                "before_id": before_id,
                "most": most,
            },
        )

    async def ids_of_owner(self, owner: str) -> list[str]:
        """Some of the owner's conversations; none when there are no more."""
        return [
            str(row[0]) for row in await self._sql.fetch(tables.IDS_OF_OWNER, {"owner": owner, "most": _PART})
        ]

    async def expired(self, now_ms: int) -> list[str]:
        """Some conversations past their time; none when there are no more."""
        rows = await self._sql.fetch(tables.EXPIRED, {"now_ms": now_ms, "most": _PART})
        return [str(row[0]) for row in rows]

    async def erase(self, ids: Sequence[str]) -> int:
        """Remove conversations with everything in them; how many there were."""
        async with self._sql.transaction() as tx:
            gone = await tx.run(tables.DROP, {"ids": list(ids)})
            await tx.run(tables.DROP_MESSAGES, {"ids": list(ids)})
            await tx.run(tables.DROP_RATINGS, {"ids": list(ids)})
        return gone

    async def count(self) -> int:
        return int((await self._sql.fetch(tables.COUNT))[0][0])


class Repeat(msgspec.Struct, frozen=True):
    """The idempotency key of a message and the digest of what came with it; "" when it has none."""

    key: str = ""
    digest: str = ""


NO_REPEAT = Repeat()


def _kept(row: Row, messages: tuple[Message, ...]) -> Kept:
    named, owner, persona, language, created_ms, updated_ms, expires_ms, version, packed = row
    return Kept(
        named,
        owner,
        persona,
        language,
        created_ms,
        updated_ms,
        expires_ms,
        version,
        unpack(packed),
        len(packed),
        messages,
    )


def _message(row: Sequence[Any]) -> Message:
    seq, role, text, status, at_ms, done_ms, until_ms, terms, facts = row
    known = decode_json(facts) if facts != "{}" else {}
    return Message(seq, role, text, status, at_ms, done_ms, until_ms, terms, known)
