"""Conversations as they are shown."""

from collections.abc import Sequence

from holdfast.kernel.errors import BadInput
from holdfast.rooms.conversations.engine.engine import Conversations
from holdfast.rooms.conversations.engine.preparing import Prepared
from holdfast.rooms.conversations.rules.answers import (
    Conversation,
    Digest,
    Known,
    Limits,
    Listed,
    Listing,
    Shown,
    Started,
    iso,
    told,
)
from holdfast.rooms.conversations.rules.personas import chosen
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.rules.turns import Message, message_id
from holdfast.rooms.conversations.store.packed import packed_within
from holdfast.rooms.conversations.store.store import Kept

_LATEST_MS = 1 << 62


def started(kept: Kept, config: Config) -> Started:
    """A new conversation, its first words and its limits."""
    _, persona = chosen(kept.persona, config.personas)
    return Started(
        conversation_id=kept.id,
        persona=kept.persona,
        language=kept.language,
        greeting=persona.welcome(kept.language),
        created_at=iso(kept.created_ms),
        expires_at=iso(kept.expires_ms),
        limits=Limits(
            message_bytes=config.message_limit(persona),
            messages=config.length_limit(persona),
            first_token_s=config.first_token_s,
            total_s=config.total_s,
        ),
    )


def transcript(kept: Kept, messages: Sequence[Message], most: int) -> Conversation:
    """The conversation with up to `most` of these messages; one more than that says that there are more."""
    part = messages[:most]
    return Conversation(
        conversation_id=kept.id,
        user_id=kept.owner,
        persona=kept.persona,
        language=kept.language,
        created_at=iso(kept.created_ms),
        updated_at=iso(kept.updated_ms),
        expires_at=iso(kept.expires_ms),
        summary=" ".join(kept.state.summary),
        messages=tuple(told(message) for message in part),
        next_after=message_id(part[-1].seq) if len(messages) > most else None,
    )


def shown(kept: Kept, prepared: Prepared, config: Config) -> Shown:
    """What a model would be given, and what is remembered."""
    fitted, packed = packed_within(prepared.state, config.state_bytes)
    return Shown(
        conversation_id=kept.id,
        persona=kept.persona,
        language=prepared.language,
        seq=kept.seq,
        version=kept.version,
        intent=fitted.intent,
        entities=tuple(Known(kind, value) for kind, value in fitted.entities),
        summary=" ".join(fitted.summary),
        summarised=fitted.folded,
        summarised_by_model=fitted.modelled,
        digests=tuple(Digest(user, answer) for user, answer in fitted.digests),
        messages=prepared.context.messages,
        recalled=prepared.context.recalled,
        sizes=prepared.context.sizes,
        state_bytes=len(packed),
        state_budget_bytes=config.state_bytes,
    )


async def listing(engine: Conversations, owner: str, after: str, most: int) -> Listing:
    """A part of a user's conversations, the newest first; `after` is what the part before said."""
    before_ms, before_id = _place(after)
    rows = await engine.store.of_owner(owner, engine.now_ms(), before_ms, before_id, most + 1)
    part = rows[:most]
    return Listing(
        user_id=owner,
        conversations=tuple(
            Listed(found, persona, iso(created), iso(updated), iso(expires), count)
            for found, persona, created, updated, expires, count in part
        ),
        next_after=f"{part[-1][3]}.{part[-1][0]}" if len(rows) > most else None,
    )


def _place(after: str) -> tuple[int, str]:
    if not after:
        return _LATEST_MS, ""
    stamp, _, name = after.partition(".")
    if not (
        stamp.isascii() and stamp.isdigit() and len(stamp) < 18 and name.isascii() and name.isprintable()
    ):
        raise BadInput("`after` is no place in this list", hint="send next_after of the part before")
    return int(stamp), name
