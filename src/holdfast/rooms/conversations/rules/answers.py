"""What the room answers over HTTP."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast.rooms.conversations.rules.context import Line, Sizes, Source
from holdfast.rooms.conversations.rules.turns import Message, message_id


class Limits(msgspec.Struct, frozen=True):
    """What this conversation may take."""

    message_bytes: int
    messages: int
    first_token_s: float
    total_s: float


class Started(msgspec.Struct, frozen=True):
    """A new conversation. Of a caller whom nobody knows, the id is what gives access: keep it secret."""

    conversation_id: str
    persona: str
    language: str
    greeting: str
    created_at: str
    expires_at: str
    limits: Limits


class Rated(msgspec.Struct, frozen=True):
    """What the user thought of an answer, as it is kept."""

    conversation_id: str
    message_id: str
    score: int
    text: str
    at: str


class Quote(msgspec.Struct, frozen=True):
    """A verified quote from an earlier message: `text[start:end] == quote`, in characters."""

    message_id: str
    start: int
    end: int
    quote: str


class Used(msgspec.Struct, frozen=True):
    """What an answer took."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    estimated: bool = False


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, as JSON and as the last event of a stream."""

    conversation_id: str
    message_id: str
    status: str
    text: str
    persona: str = ""
    model: str = ""
    provider: str = ""
    generated_by: str = ""
    finish_reason: str = ""
    degraded: bool = False
    cached: bool = False
    usage: Used = Used()
    citations: tuple[Quote, ...] = ()
    recalled: tuple[str, ...] = ()
    error: dict[str, Any] | None = None
    """Why the answer is not whole: code, detail, hint, retryable."""
    first_token_ms: int | None = None
    total_ms: int = 0
    replayed: bool = False
    """Whether it is the stored answer of an earlier request with the same key."""


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of the log."""

    message_id: str
    role: str
    text: str
    status: str
    at: str
    done_at: str | None = None
    facts: dict[str, Any] | None = None


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation and its messages, the oldest first."""

    conversation_id: str
    user_id: str
    persona: str
    language: str
    created_at: str
    updated_at: str
    expires_at: str
    summary: str
    messages: tuple[Told, ...]
    next_after: str | None
    """Pass it as `after` for the next messages; null when these are the last."""


class Known(msgspec.Struct, frozen=True):
    """An entity that was mentioned."""

    kind: str
    value: str


class Digest(msgspec.Struct, frozen=True):
    """One of the last exchanges in short."""

    user: str
    assistant: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the model would be given for `message`, to the letter, and what the conversation remembers."""

    conversation_id: str
    persona: str
    language: str
    seq: int
    version: int
    intent: str
    entities: tuple[Known, ...]
    summary: str
    summarised: int
    """Exchanges in the summary."""
    summarised_by_model: int
    digests: tuple[Digest, ...]
    messages: tuple[Line, ...]
    recalled: tuple[Source, ...]
    sizes: Sizes
    state_bytes: int
    state_budget_bytes: int


class Listed(msgspec.Struct, frozen=True):
    """One conversation of a list."""

    conversation_id: str
    persona: str
    created_at: str
    updated_at: str
    expires_at: str
    messages: int


class Listing(msgspec.Struct, frozen=True):
    """A user's conversations, the newest first."""

    user_id: str
    conversations: tuple[Listed, ...]
    next_after: str | None


class Erased(msgspec.Struct, frozen=True):
    """What was erased."""

    conversations: int


def iso(ms: int) -> str:
    """Epoch milliseconds as an ISO 8601 UTC stamp."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def answered(conversation_id: str, message: Message, *, replayed: bool = False) -> Answered:
    """The answer in this row of the log, whatever became of it."""
    told = {
        **message.facts,
        "conversation_id": conversation_id,
        "message_id": message_id(message.seq),
        "status": message.status,
        "text": message.text,
        "total_ms": max(0, message.done_ms - message.at_ms),
        "replayed": replayed,
    }
    return msgspec.convert(told, Answered)


def told(message: Message) -> Told:
    """One row of the log as it is shown."""
    return Told(
        message_id=message_id(message.seq),
        role=message.role,
        text=message.text,
        status=message.status,
        at=iso(message.at_ms),
        done_at=iso(message.done_ms) if message.done_ms and message.role != "user" else None,
        facts=message.facts or None,
    )
